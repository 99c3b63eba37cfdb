// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/cursor.hpp"
#include "attune/serving/explanation.hpp"
#include "attune/serving/people.hpp"
#include "attune/serving/policy.hpp"
#include "attune/serving/shadow.hpp"
#include "attune/serving/telemetry.hpp"
#include "fuzz/verdict.hpp"
#include "serving/small_model.hpp"

namespace {

using namespace attune;
using test::require;

constexpr std::size_t kNames = 24, kUsers = 12;

// Bytes as choices; zeros once they are used up.
class Choices {
 public:
  Choices(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  bool left() const { return at_ < size_; }
  std::uint8_t byte() { return left() ? data_[at_++] : std::uint8_t{0}; }
  std::size_t below(std::size_t end) { return byte() % end; }
  bool one_in(std::size_t n) { return below(n) == 0; }

 private:
  const std::uint8_t* data_;
  std::size_t size_, at_ = 0;
};

const TrainedModel& model(std::size_t number) {
  static const std::vector<TrainedModel> all{
      test::make_model({.items = 16, .users = 4, .events = 5, .dim = 8, .window = 8, .hop = 2, .version = "0"}),
      test::make_model({.seed = 2,
                        .items = 16,
                        .users = 6,
                        .events = 3,
                        .first_item = 6,
                        .dim = 8,
                        .window = 6,
                        .hop = 1,
                        .blend_weight = 0.5,
                        .timed = true,
                        .version = "1"}),
      test::make_model({.seed = 3, .items = 12, .users = 3, .first_item = 4, .encoder = false, .version = "2"}),
      test::make_model({.items = 4, .item_kind = IdKind::int64})};
  return all[number % all.size()];
}

// What the calls so far must have led to.
struct Session {
  explicit Session(Choices& choices_)
      : choices(choices_),
        recommender(
            Recommender::open(model(choices.below(3)),
                              {.max_items = 40,
                               .item_fields = {{"price", FieldType::number}, {"creator", FieldType::category}},
                               .cache_budget_bytes = choices.one_in(2) ? std::size_t{5'000} : std::size_t{1} << 20,
                               .history_budget_bytes = choices.one_in(4) ? std::size_t{64 * 1'500} : 0,
                               .warm_up_users = 4})) {
    for (std::size_t i = 0; i < kNames; ++i) items.push_back(test::item_name(i));
    for (std::size_t u = 0; u < kUsers; ++u) users.push_back(test::user_name(u));
    items.insert(items.end(), {"", "never seen"});
    users.insert(users.end(), {"", "nobody"});
  }

  const std::string& item() { return items[choices.below(items.size())]; }
  const std::string& user() { return users[choices.below(users.size())]; }
  Timestamp time() {
    switch (choices.below(6)) {
      case 0: return kNoTime;
      case 1: return -1;
      case 2: return std::numeric_limits<Timestamp>::max();
      default: return choices.byte();
    }
  }
  float number() {
    switch (choices.below(8)) {
      case 0: return std::numeric_limits<float>::quiet_NaN();
      case 1: return std::numeric_limits<float>::infinity();
      default: return static_cast<float>(choices.byte()) / 16.0f - 4.0f;
    }
  }

  Choices& choices;
  Recommender recommender;
  std::vector<std::string> items, users;
  std::set<std::string> removed;
  std::vector<Policy> policies{1};
  Cursor cursor;
};

// A request, what it refers to, and what an answer to it may hold.
struct Question {
  explicit Question(Session& session) : choices(session.choices), removed(session.removed) {
    request.user = session.user();
    request.k = choices.one_in(8) ? std::numeric_limits<std::size_t>::max() : choices.below(20);
    request.now = session.time();
    request.exclude_seen = choices.one_in(2);
    request.cool_down = static_cast<std::int64_t>(choices.below(3)) - 1;
    if (choices.one_in(2)) request.policy = &session.policies[choices.below(session.policies.size())];
    for (std::size_t i = choices.below(3); i > 0; --i) denied.push_back(session.item());
    for (std::size_t i = choices.below(3); i > 0; --i) pins.push_back({session.item(), choices.below(12)});
    for (std::size_t i = choices.below(6); i > 0; --i) allowed.push_back(session.item());
    request.deny = denied;
    request.pinned = pins;
    if (choices.one_in(3)) request.allow = std::span<const Id>(allowed);
    if (choices.one_in(3)) request.min_score = session.number();
    if (choices.one_in(3)) request.diversity = session.number();
    request.diversity_method = choices.one_in(2) ? DiversityMethod::mmr : DiversityMethod::dpp;
    request.diversity_pool = choices.below(30);
    if (choices.one_in(3)) request.cursor = &session.cursor;
  }

  void check(const Answer& answer) const {
    require(answer.items.size() <= request.k);
    std::set<std::string> ids;
    for (const Recommendation& item : answer.items) {
      require(std::isfinite(item.score));
      require(ids.emplace(item.item.text()).second);
      require(!removed.contains(std::string(item.item.text())));
      require(std::ranges::find(denied, item.item) == denied.end());
      if (item.pinned) {
        require(std::ranges::find(pins, item.item, &PinnedItem::item) != pins.end());
      } else {
        require(!request.allow || std::ranges::find(allowed, item.item) != allowed.end());
        require(!(item.score < request.min_score));
      }
    }
  }

  Choices& choices;
  const std::set<std::string>& removed;
  std::vector<Id> denied, allowed;
  std::vector<PinnedItem> pins;
  Request request;
};

Interaction event(Session& session) {
  static constexpr const char* kKinds[] = {"", "purchase", "dislike"};
  static constexpr const char* kIds[] = {"", "", "a", "b"};
  return {.user = session.user(),
          .item = session.item(),
          .timestamp = session.time(),
          .event = kKinds[session.choices.below(3)],
          .value = session.number(),
          .event_id = kIds[session.choices.below(4)]};
}

void observe(Session& session) {
  if (session.choices.one_in(2)) {
    session.recommender.observe(event(session));
    return;
  }
  std::vector<Interaction> events;
  for (std::size_t i = session.choices.below(4); i > 0; --i) events.push_back(event(session));
  std::optional<bool> told;
  const auto observed = session.recommender.observe_batch(events, [&](bool stored) {
    require(!told);
    told = stored;
  });
  require(observed.size() == events.size() && told);
}

void recommend(Session& session) {
  const Question question(session);
  const Answer answer = session.recommender.recommend(question.request);
  question.check(answer);
  if (question.request.cursor == nullptr) return;
  require(Cursor::from_token(session.cursor.token()).shown() == session.cursor.shown());
  if (session.cursor.ended() || session.choices.one_in(4)) session.cursor = {};
}

void recommend_otherwise(Session& session) {
  Question question(session);
  question.request.cursor = nullptr;
  const std::vector<Id> some{session.item(), session.item(), session.item()};
  switch (session.choices.below(6)) {
    case 0: {
      const std::vector<Timestamp> times{session.time(), session.time(), session.time()};
      question.check(session.recommender.recommend_history(some, question.request, times));
      break;
    }
    case 1: {
      const std::vector<Request> requests(2, question.request);
      for (const Answer& answer : session.recommender.recommend_batch(requests)) question.check(answer);
      break;
    }
    case 2: {
      const Answer ranked = session.recommender.rank(session.user(), some, session.time());
      for (const Recommendation& item : ranked.items) {
        require(std::isfinite(item.score) && std::ranges::find(some, item.item) != some.end());
        require(!session.removed.contains(std::string(item.item.text())));
      }
      break;
    }
    case 3: {
      const std::string user = session.user();
      const std::size_t events = session.choices.below(4), k = session.choices.below(3);
      const Explanation why =
          session.recommender.explain(user, some[0], {.now = session.time(), .events = events, .full = k == 1, .k = k});
      require(why.contributions.empty() || std::isfinite(why.score));
      for (const Contribution& one : why.contributions) require(std::isfinite(one.weight));
      break;
    }
    case 4: {
      const std::string user = session.user(), other = session.user();
      const SimilarUsers alike = session.recommender.similar_users(user, session.choices.below(5));
      for (const SimilarUser& one : alike.users) require(one.user != Id(user) && std::isfinite(one.score));
      const std::vector<Id> group{user, other};
      const auto strategy = session.choices.one_in(2) ? GroupStrategy::average : GroupStrategy::least_misery;
      question.request.pinned = {};
      const Answer together = session.recommender.recommend_group(group, question.request, {.strategy = strategy});
      require(together.items.size() <= question.request.k);
      for (const Recommendation& item : together.items) {
        require(std::isfinite(item.score) && !session.removed.contains(std::string(item.item.text())));
      }
      break;
    }
    default: {
      question.request.pinned = {};
      const Answer similar = session.recommender.similar_items(some[0], question.request);
      question.check(similar);
      for (const Recommendation& item : similar.items) require(item.item != some[0]);
    }
  }
}

void change_item(Session& session) {
  const std::string& id = session.item();
  if (session.choices.one_in(2)) {
    if (session.recommender.remove_item(id)) session.removed.insert(id);
    return;
  }
  Item item{.id = id};
  if (session.choices.one_in(2)) item.fields.push_back({"price", session.number()});
  if (session.choices.one_in(2)) item.fields.push_back({"creator", session.users[session.choices.below(3)]});
  if (session.choices.one_in(16)) item.fields.push_back({"creator", 3});
  if (session.choices.one_in(3)) item.available_from = session.time();
  if (session.choices.one_in(3)) item.available_until = session.time();
  session.recommender.upsert_item(item);
  session.removed.erase(id);
}

void compile(Session& session) {
  static constexpr const char* kFilters[] = {"", "price < 1", "not has(creator)",
                                             "creator in ('u0', 'u1') or price = 2", "nothing > 1"};
  PolicyRules rules{.filter = kFilters[session.choices.below(5)]};
  if (session.choices.one_in(2)) rules.boosts.push_back({kFilters[session.choices.below(5)], session.number()});
  if (session.choices.one_in(2)) rules.caps.push_back({"creator", session.choices.below(3)});
  session.policies.push_back(session.recommender.compile(rules));
  if (session.policies.size() > 4) session.policies.erase(session.policies.begin() + 1);
}

void change_model(Session& session) {
  switch (session.choices.below(4)) {
    case 0: session.recommender.shadow(model(session.choices.below(4)), {.share = session.number() + 0.5}); break;
    case 1: session.recommender.shadow_report(); break;
    case 2: session.recommender.end_shadow(); break;
    default: session.recommender.reload(model(session.choices.below(4)));
  }
}

void change_user(Session& session) {
  const std::string user = session.user();
  switch (session.choices.below(3)) {
    case 0:
      session.recommender.forget_user(user);
      require(session.recommender.export_user(user).empty());
      break;
    case 1: session.recommender.merge_users(user, session.user()); break;
    default: session.recommender.export_user(user);
  }
}

// What changes something may be refused; what serves may not.
void attempt(void (*change)(Session&), Session& session) {
  try {
    change(session);
  } catch (const Error&) {
  }
}

void call(Session& session) {
  switch (session.choices.below(10)) {
    case 0:
    case 1:
    case 2: return observe(session);
    case 3:
    case 4: return recommend(session);
    case 5: return recommend_otherwise(session);
    case 6: return attempt(change_item, session);
    case 7: return attempt(compile, session);
    case 8: return attempt(change_model, session);
    default: return attempt(change_user, session);
  }
}

}  // namespace

// Bytes are calls. Whatever their order, no answer holds what it may not hold.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Choices choices(data, size);
  Session session(choices);
  while (choices.left()) call(session);
  const RecommenderInfo info = session.recommender.info();
  require(info.items <= 80 && info.damaged_answers == 0 && info.ranker_failures == 0);
  require(!to_prometheus(session.recommender.stats()).empty());
  return 0;
}
