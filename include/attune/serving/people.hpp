// SPDX-License-Identifier: Apache-2.0
#pragma once

// People beside items: users alike, as friends or groups to suggest (Recommender::similar_users), and what users who
// watch together should see (Recommender::recommend_group). Calls from any number of threads.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attune/data/id_map.hpp"
#include "attune/recommender.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

// Who knows whom, in both directions. Not synchronised: const members from any number of threads while nobody changes
// it. It is the host's: forget users here as well.
class ATTUNE_EXPORT Friendships {
 public:
  explicit Friendships(IdKind users = IdKind::string) : ids_(users) {}
  // A delimited file with the columns user and friend. Throws Error(io_error, invalid_data) that names file and line.
  static Friendships read(const std::string& file, IdKind users = IdKind::string);

  // Nothing for a pair that is there already, for a user and himself, and for ids that IdMap does not accept.
  void add(const Id& user, const Id& friend_id);
  // Takes a time that grows with all users.
  void forget_user(const Id& user);

  bool are_friends(const Id& a, const Id& b) const noexcept;
  std::size_t size() const noexcept { return pairs_; }

  // A half for being friends, the other times the cosine of their sets of friends: common ones by the geometric mean of
  // how many each has (Salton's index: Lue & Zhou, Physica A 2011). In [0, 1].
  struct Closeness {
    Id user;
    float closeness;
    bool direct;  // a friend
  };
  // Of all users with whom it is above 0, but himself.
  std::vector<Closeness> close_to(const Id& user) const;

 private:
  IdMap ids_;
  std::vector<std::vector<UserHandle>> friends_;  // by handle, ascending
  std::size_t pairs_ = 0;
};

struct SimilarUsersOptions {
  std::size_t k = 10;
  const Friendships* friendships = nullptr;  // must outlive the call; null: none
  float friend_weight = 0.5f;                // times Friendships::Closeness, added to the score
  bool include_friends = true;               // false: without those who are friends already
};

struct SimilarUser {
  Id user;      // text lives as long as the answer
  float score;  // a cosine in [-1, 1], and what friendships add
};

struct SimilarUsers {
  std::vector<SimilarUser> users;  // the best first
  // Source::model: nearest by the cosine of the encoder's user vectors, each as of the user's last event. Vectors are
  // made by the first call, all of them (one full encode a user, in the executor of the recommender), and again by the
  // first behind a reload; other calls only make those of users who have done something since. They take 4 bytes for
  // each dimension, rounded up to 16, and about 100 for the user, up to
  // RecommenderOptions::user_vector_budget_bytes; those who come later have none. The scan of a million takes as long
  // as one of a million items. Users without a vector are in no such answer.
  // Source::counts, for a user without a vector: those who share most items, by the cosine of the sets of items
  // (Ochiai's coefficient), and what friendships add, of those with whom there is either. A scan of all events.
  Source source = Source::model;

 private:
  friend class Recommender;
  std::shared_ptr<const void> keep_alive_;
};

// How the members' scores of an item become one: their mean, or the score of the member who wants it least (average
// without misery and least misery: Masthoff, User Modeling and User-Adapted Interaction 2004).
enum class GroupStrategy : std::uint8_t { average, least_misery };

struct GroupOptions {
  GroupStrategy strategy = GroupStrategy::average;
  // Of each member's best, how many are looked at, at most; up to then an answer is exact. More costs time where tastes
  // differ much.
  std::size_t most_candidates = 10'000;
};

// recommend_group(users, request, options) is recommend(request) for all of `users` at once, each of whom counts once;
// Request::user is unused. Items that any of them has seen (with exclude_seen) or dislikes are left out; without `now`
// it happens at the last event of anybody. Members of whom the model has nothing to say, unknown ones among them, count
// only where that is so of all; then the counts speak, then popularity. A model's own ranker and calibration are about
// single users and not asked. Found by the threshold algorithm (Fagin, Lotem & Naor 2001): one full encode for each
// member at every depth of the lists, which begin at 100 and grow by four.

// onboarding_items(request) is a questionnaire for somebody of whom nothing is known: the best items are those whose
// answers (chosen or not) tell most about all others. Each next one makes f(S) = sum over items j of the largest mutual
// information I(X_i; X_j) in nats of any i in S grow most (Rashid, Karypis & Riedl, SIGKDD Explorations 2008, measure
// items by information; greedily, f comes to at least 1 - 1/e of the best: Nemhauser, Wolsey & Fisher 1978), and its
// score is by how much. A popular item whose choice goes with that of many others comes first, and no second one that
// tells the same. Counted over the histories of the model, at most 20,000 of them evenly spaced, among the 500 most
// chosen items that the request allows (k, now, allow, deny and the filter of the policy); Source::popularity where
// histories are missing: then by id. Deterministic.

}  // namespace attune::inline v0_1
