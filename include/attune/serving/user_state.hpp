// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histories of users, and their encoder caches, each under a budget of bytes. Histories are the truth, and stay unless
// they have a budget; caches are lazy: recording an event touches none, the next request catches up, the least recently
// used give way. Sharded and locked briefly; one user's requests wait for each other, different users' do not.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/detail/engine_interface.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

class ItemExposure;
struct UserCopy;    // what a record says
struct UserRecord;  // one user, with a mutex of its own

struct UserStateOptions {  // see RecommenderOptions
  std::size_t cache_budget_bytes = 0;
  StateStorage storage = StateStorage::float32;
  std::size_t history_budget_bytes = 0;
  std::int64_t history_ttl = 0;
  // Of events, by the number of their kind: see EventKind. Kinds beyond weigh 1; empty: all do.
  std::vector<float> kind_weights = {};
};

class ATTUNE_EXPORT UserStates {
 public:
  UserStates(IdKind kind, const UserStateOptions& options);
  ~UserStates();

  // Users that nobody knows yet come with these histories; records are made when first touched. `histories` holds
  // handles and event kinds as they are recorded here.
  void add_histories(std::shared_ptr<const Histories> histories);
  // Throws Error(invalid_argument) for histories of users with ids of the other kind, as add_histories does.
  void check_kind(const Histories& histories) const;
  // All that add_histories brought; null where it was never called.
  std::shared_ptr<const Histories> histories() const;

  IdKind kind() const noexcept;
  // What IdMap::accepts says: false for an id that no user can have.
  bool accepts(const Id& user) const noexcept;
  // Null for a user nobody knows.
  std::shared_ptr<UserRecord> find(const Id& user) const;
  // Whether anybody knows the user: a record, or a history that add_histories brought.
  bool contains(const Id& user) const noexcept;
  // What is known of a user now, empty for one nobody knows. Makes no record, and does not count as use.
  UserCopy read(const Id& user) const;
  // Calls visit(id, history) for everybody, one after the other; both are valid during the call, which may hold up the
  // user, and must not come back here.
  void visit(const std::function<void(const Id&, HistoryView)>& visit) const;
  // Adds to `ids` those who were asked for or observed since the call that left `mark`, those lately first; with a mark
  // that is empty, everybody. Leaves the mark for the next call.
  void used_since(std::vector<std::uint64_t>& mark, IdMap& ids) const;
  // For something that happens at a time. Precondition: accepts(user). The record may be let go before it is locked,
  // and is `forgotten` then: look again.
  std::shared_ptr<UserRecord> find_or_add(const Id& user, Timestamp at = kNoTime);

  // With the record locked: records one event in time order, after those of the same time (a late event of the history
  // is put where it belongs and the cache starts anew).
  Observed record(UserRecord& user, ItemHandle item, Timestamp time, std::uint8_t kind, float value,
                  std::string_view event_id) const;
  // With the record locked: false for an event id that the user has already; remembers it otherwise, as that of an
  // event of this item, time and kind. "" is never one.
  static bool remember_event(UserRecord& user, std::string_view event_id, ItemHandle item, Timestamp time,
                             std::uint8_t kind);

  // With the record locked: whether the user has an event of this id; "" is never one.
  static bool has_event(const UserRecord& user, std::string_view event_id) noexcept;

  // From then on nobody knows the user. Not at the same time as add_histories, nor as itself; a record that somebody
  // still holds becomes empty, and says that it is forgotten.
  void erase(const Id& user);

  // With the record locked: a cache of this generation, reused, or made by `engine` while others give way. Null where
  // the engine has none, the budget is smaller than one, or the user has one of a later generation.
  detail::EngineState* acquire_state(UserRecord& user, const detail::EngineInterface& engine, std::uint64_t generation);

  // Makes caches of a generation that is not served yet, for `most` of the users whose caches were used last.
  void warm_up(const detail::EngineInterface& next, std::uint64_t generation, std::size_t most, Workspace& workspace);

  // How often items were shown, and rewarded: of all users but those forgotten, also of those let go.
  const ItemExposure& exposure() const noexcept;

  std::size_t num_users() const noexcept;
  std::size_t cache_bytes() const noexcept;
  std::size_t history_bytes() const noexcept;  // of users with a record
  std::size_t users_let_go() const noexcept;   // so far, for want of room or of events

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune::inline v0_1
