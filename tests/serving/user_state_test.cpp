// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/user_state.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <utility>

#include "attune/error.hpp"
#include "catch.hpp"
#include "serving/item_exposure.hpp"
#include "serving/user_record.hpp"

using namespace attune;

namespace {

std::shared_ptr<const Histories> two_users() {
  auto histories = std::make_shared<Histories>();
  auto users = std::make_shared<IdMap>();
  users->insert("a");
  users->insert("b");
  histories->user_ids = users;
  histories->items = {3, 1, 3, 2};
  histories->times = {10, 20, 30, 5};
  histories->kinds = {0, 1, 0, 0};
  histories->values = {1, 2, 3, 4};
  histories->offsets = {0, 3, 4};
  return histories;
}

std::vector<ItemHandle> items(const UserRecord& user) { return user.items; }

// An engine whose states are as large as it says.
class SizedEngine final : public detail::EngineInterface {
 public:
  struct State final : detail::EngineState {
    explicit State(std::size_t size) : bytes(size) {}
    std::size_t memory_bytes() const noexcept override { return bytes; }
    void reset() noexcept override { ++resets; }
    std::size_t bytes;
    int resets = 0;
  };
  std::unique_ptr<detail::EngineState> make_state(StateStorage) const override {
    ++made;
    return bytes == 0 ? nullptr : std::make_unique<State>(bytes);
  }
  bool renew(detail::EngineState& state, StateStorage) const noexcept override {
    if (!renews || state.memory_bytes() != bytes) return false;
    state.reset();
    return true;
  }
  std::size_t size() const noexcept override { return 0; }
  ScoreKind kind() const noexcept override { return ScoreKind::cosine; }
  bool scorable(ItemHandle) const noexcept override { return false; }
  EngineAnswer recommend(HistoryView, const Context&, std::span<const std::uint64_t>, std::span<const float>,
                         std::size_t, detail::EngineState*, Workspace&) const override {
    return {};
  }
  Source score(HistoryView, const Context&, std::span<const ItemHandle>, std::span<float>, detail::EngineState*,
               Workspace&) const override {
    return Source::model;
  }
  std::optional<Neighbours> similar(ItemHandle, std::span<const std::uint64_t>, std::size_t,
                                    Workspace&) const override {
    return std::nullopt;
  }

  std::span<const float> user_vector(HistoryView, const Context&, detail::EngineState*, Workspace&) const override {
    if (fails) throw std::runtime_error("of the host's");
    return {};
  }

  std::size_t bytes = 100;
  mutable int made = 0;
  bool fails = false;
  bool renews = false;
};

detail::EngineState* acquire(UserStates& users, const char* id, const SizedEngine& engine,
                             std::uint64_t generation = 1) {
  const auto user = users.find_or_add(id);
  const std::lock_guard lock(user->mutex);
  return users.acquire_state(*user, engine, generation);
}

}  // namespace

TEST_CASE("A user of the model comes with his history when first asked for", "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 0});
  CHECK(users.find("a") == nullptr);
  users.add_histories(two_users());
  CHECK(users.num_users() == 2);
  const auto a = users.find("a");
  REQUIRE(a);
  CHECK(items(*a) == std::vector<ItemHandle>{3, 1, 3});
  CHECK(a->distinct == std::vector<ItemHandle>{1, 3});
  CHECK(a->times == std::vector<Timestamp>{10, 20, 30});
  CHECK(a->kinds == std::vector<std::uint8_t>{0, 1, 0});
  CHECK(a->weights == std::vector<float>{1, 2, 3});
  CHECK(users.find("a") == a);
  CHECK(users.find("c") == nullptr);
  users.find_or_add("c");
  CHECK(users.num_users() == 3);
}

TEST_CASE("Histories without times can be appended to", "[serving][user_state]") {
  auto histories = std::make_shared<Histories>(*two_users());
  histories->times.clear();
  UserStates users(IdKind::string, {.cache_budget_bytes = 0});
  users.add_histories(histories);
  const auto a = users.find("a");
  CHECK(a->last_time() == kNoTime);
  users.record(*a, 7, kNoTime, 0, 1, "");
  users.record(*a, 8, 1, 0, 1, "");
  CHECK(items(*a) == std::vector<ItemHandle>{3, 1, 3, 7, 8});
}

TEST_CASE("Users keep what they have when further histories come, and are counted once", "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 0});
  users.add_histories(two_users());
  users.record(*users.find_or_add("c"), 9, 1, 0, 1, "");
  users.record(*users.find("a"), 9, 40, 0, 1, "");

  auto more = std::make_shared<Histories>(*two_users());
  auto ids = std::make_shared<IdMap>();
  for (const char* id : {"b", "c", "d"}) ids->insert(id);
  more->user_ids = ids;
  more->items = {8, 8, 8, 8};
  more->offsets = {0, 1, 2, 4};
  users.add_histories(more);

  CHECK(users.num_users() == 4);
  CHECK(items(*users.find("a")) == std::vector<ItemHandle>{3, 1, 3, 9});
  CHECK(items(*users.find("b")) == std::vector<ItemHandle>{2});
  CHECK(items(*users.find("c")) == std::vector<ItemHandle>{9});
  CHECK(items(*users.find("d")) == std::vector<ItemHandle>{8, 8});
  CHECK(users.find("d")->weights == std::vector<float>{3, 4});
}

TEST_CASE("Histories of users with ids of the other kind are refused", "[serving][user_state]") {
  UserStates users(IdKind::int64, {.cache_budget_bytes = 0});
  CHECK_THROWS_AS(users.add_histories(two_users()), Error);
  CHECK(users.accepts(5));
  CHECK_FALSE(users.accepts("5"));
  CHECK_FALSE(users.accepts(Id()));
}

TEST_CASE("Events stand in the order of time, equal times in the order of arrival", "[serving][user_state]") {
  std::mt19937 random(5);
  const UserStates users(IdKind::string, {});
  UserRecord user;
  std::vector<std::pair<Timestamp, ItemHandle>> expected;
  for (ItemHandle i = 0; i < 300; ++i) {
    const auto time = static_cast<Timestamp>(random() % 40);
    CHECK(users.record(user, i, time, 0, 1, "") == Observed::recorded);
    expected.emplace_back(time, i);
  }
  std::ranges::stable_sort(expected, {}, &std::pair<Timestamp, ItemHandle>::first);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    REQUIRE(user.times[i] == expected[i].first);
    REQUIRE(user.items[i] == expected[i].second);
  }
}

TEST_CASE("The same event id twice is one event", "[serving][user_state]") {
  const UserStates users(IdKind::string, {});
  UserRecord user;
  CHECK(users.record(user, 1, 10, 0, 1, "e1") == Observed::recorded);
  CHECK(users.record(user, 2, 20, 0, 1, "e2") == Observed::recorded);
  CHECK(users.record(user, 3, 30, 0, 1, "e1") == Observed::duplicate);
  CHECK(users.record(user, 1, 10, 0, 1, "") == Observed::recorded);
  CHECK(items(user) == std::vector<ItemHandle>{1, 1, 2});
  CHECK(user.distinct == std::vector<ItemHandle>{1, 2});
}

TEST_CASE("Only an event in the past makes a cache start anew", "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 1000});
  const SizedEngine engine;
  auto* state = static_cast<SizedEngine::State*>(acquire(users, "a", engine));
  const auto user = users.find("a");
  users.record(*user, 1, 10, 0, 1, "");
  users.record(*user, 2, 10, 0, 1, "");
  CHECK(state->resets == 0);
  users.record(*user, 3, 9, 0, 1, "");
  CHECK(state->resets == 1);
}

TEST_CASE("A user who is erased is unknown, takes no memory, and comes again with nothing", "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 1000});
  users.add_histories(two_users());
  const SizedEngine engine;
  const auto a = users.find("a");
  acquire(users, "a", engine);
  acquire(users, "b", engine);
  for (const char* id : {"c", "d"}) users.find_or_add(id);
  REQUIRE(users.num_users() == 4);
  users.erase("a");
  users.erase("c");
  users.erase("nobody");
  users.erase(7);
  CHECK(users.num_users() == 2);
  CHECK(users.cache_bytes() == 100);
  CHECK(users.find("a") == nullptr);
  CHECK(users.find("c") == nullptr);
  CHECK(items(*users.find("b")) == std::vector<ItemHandle>{2});
  CHECK(users.find("d") != nullptr);
  CHECK(users.histories()->num_users() == 1);

  CHECK(a->forgotten);  // for whoever still holds it
  CHECK(a->items.empty());
  CHECK(users.acquire_state(*a, engine, 1) == nullptr);
  CHECK(items(*users.find_or_add("a")).empty());
  CHECK(users.find("a") != a);
  CHECK(users.num_users() == 3);
}

TEST_CASE("Caches stay within their budget and the least recently used gives way", "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 350});
  const SizedEngine engine;
  auto* a = acquire(users, "a", engine);
  auto* b = acquire(users, "b", engine);
  auto* c = acquire(users, "c", engine);
  CHECK(users.cache_bytes() == 300);
  CHECK(acquire(users, "a", engine) == a);
  auto* d = acquire(users, "d", engine);
  CHECK(users.cache_bytes() == 300);
  CHECK(d == b);  // its memory went on, fresh
  CHECK(static_cast<SizedEngine::State*>(d)->resets == 1);
  CHECK(users.find("b")->state == nullptr);
  CHECK(acquire(users, "c", engine) == c);
  CHECK(engine.made == 3);
}

TEST_CASE("A cache that cannot be had is null, not an error", "[serving][user_state]") {
  SizedEngine engine;
  SECTION("no room for one") {
    UserStates users(IdKind::string, {.cache_budget_bytes = 99});
    CHECK(acquire(users, "a", engine) == nullptr);
    CHECK(acquire(users, "a", engine) == nullptr);
    CHECK(engine.made == 1);
    CHECK(users.cache_bytes() == 0);
  }
  SECTION("an engine without states") {
    UserStates users(IdKind::string, {.cache_budget_bytes = 1000});
    engine.bytes = 0;
    CHECK(acquire(users, "a", engine) == nullptr);
  }
  SECTION("everything in use") {
    UserStates users(IdKind::string, {.cache_budget_bytes = 100});
    acquire(users, "a", engine);
    const auto a = users.find("a");
    const std::lock_guard in_use(a->mutex);
    std::thread([&] { CHECK(acquire(users, "b", engine) == nullptr); }).join();
    CHECK(a->state != nullptr);
  }
}

TEST_CASE("A cache of another generation is never handed out", "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 1000});
  const SizedEngine engine;
  acquire(users, "a", engine, 2);
  acquire(users, "b", engine, 1);
  CHECK(acquire(users, "a", engine, 1) == nullptr);  // a late request leaves the newer one alone
  CHECK(users.find("a")->generation == 2);
  CHECK(acquire(users, "b", engine, 2) != nullptr);
  CHECK(engine.made == 3);
  CHECK(users.cache_bytes() == 200);
}

TEST_CASE("Growing caches are measured again at each use", "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 300});
  const SizedEngine engine;
  auto* a = static_cast<SizedEngine::State*>(acquire(users, "a", engine));
  acquire(users, "b", engine);
  a->bytes = 250;
  CHECK(acquire(users, "a", engine) == a);
  CHECK(users.cache_bytes() == 250);
  CHECK(users.find("b")->state == nullptr);
  a->bytes = 301;
  CHECK(acquire(users, "a", engine) == nullptr);
  CHECK(users.cache_bytes() == 0);
}

TEST_CASE("Caches made ahead are the ones that the next generation gets, in the order of use",
          "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 1000});
  const SizedEngine today, tomorrow;
  Workspace workspace;
  for (const char* id : {"a", "b", "c"}) acquire(users, id, today);
  users.warm_up(tomorrow, 2, 2, workspace);
  CHECK(tomorrow.made == 2);
  CHECK(users.cache_bytes() == 500);
  const auto* ready = users.find("c")->next_state.get();
  REQUIRE(ready != nullptr);
  CHECK(users.find("a")->next_state == nullptr);

  const auto* c = acquire(users, "c", today);  // a request before the swap
  CHECK(c != ready);
  CHECK(users.cache_bytes() == 500);
  CHECK(acquire(users, "c", tomorrow, 2) == ready);
  CHECK(users.cache_bytes() == 400);
  acquire(users, "b", tomorrow, 2);
  CHECK(tomorrow.made == 2);
  CHECK(users.cache_bytes() == 300);
  acquire(users, "a", tomorrow, 2);
  CHECK(tomorrow.made == 3);
}

TEST_CASE("Where a cache cannot be made ahead the user goes without", "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 1000});
  const SizedEngine today;
  SizedEngine tomorrow;
  Workspace workspace;
  acquire(users, "a", today);
  tomorrow.fails = true;
  users.warm_up(tomorrow, 2, 2, workspace);
  CHECK(users.find("a")->next_state == nullptr);
  CHECK(acquire(users, "a", tomorrow, 2) != nullptr);
}

TEST_CASE("Caches made ahead respect the budget, and the least recently used gives way", "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 450});
  const SizedEngine today, tomorrow;
  Workspace workspace;
  for (const char* id : {"a", "b", "c"}) acquire(users, id, today);
  users.warm_up(tomorrow, 2, 3, workspace);
  CHECK(users.cache_bytes() == 400);
  CHECK(users.find("c")->next_state != nullptr);
  CHECK(users.find("b")->next_state != nullptr);
  CHECK(users.find("a")->state == nullptr);

  users.warm_up(tomorrow, 3, 3, workspace);  // that generation never came
  CHECK(users.cache_bytes() == 400);
  CHECK(users.find("c")->next_generation == 3);
}

TEST_CASE("A cache made ahead starts anew with a late event, and goes when its generation is left out",
          "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 1000});
  const SizedEngine engine;
  Workspace workspace;
  acquire(users, "a", engine);
  acquire(users, "b", engine);
  users.warm_up(engine, 2, 2, workspace);
  const auto a = users.find("a");
  auto* ready = static_cast<SizedEngine::State*>(a->next_state.get());
  users.record(*a, 1, 10, 0, 1, "");
  users.record(*a, 2, 9, 0, 1, "");
  CHECK(ready->resets == 1);

  const int made = engine.made;
  acquire(users, "b", engine, 3);
  CHECK(engine.made == made + 1);
  CHECK(users.find("b")->next_state == nullptr);
  CHECK(users.cache_bytes() == 300);
}

TEST_CASE("A swap makes caches of the memory that those before it have, where they are alike",
          "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 450});
  const SizedEngine today;
  SizedEngine tomorrow, another;
  tomorrow.renews = another.renews = true;
  another.bytes = 90;
  Workspace workspace;
  std::vector<const detail::EngineState*> before;
  for (const char* id : {"a", "b", "c", "d"}) before.push_back(acquire(users, id, today));
  users.warm_up(tomorrow, 2, 1, workspace);
  CHECK(users.find("a")->state == nullptr);
  CHECK(users.find("d")->next_state.get() == before[0]);
  CHECK(acquire(users, "d", tomorrow, 2) == before[0]);
  CHECK(users.cache_bytes() == 300);
  CHECK(acquire(users, "e", tomorrow, 2) == before[3]);
  CHECK(acquire(users, "c", tomorrow, 2) == before[2]);
  CHECK(static_cast<const SizedEngine::State*>(before[2])->resets == 1);
  CHECK(tomorrow.made == 0);

  acquire(users, "c", another, 3);
  CHECK(another.made == 1);
  CHECK(users.cache_bytes() == 390);
}

namespace {

std::string name_of(std::size_t i) { return std::string("user ").append(std::to_string(i)); }

}  // namespace

TEST_CASE("Histories stay within their budget, and those used least recently are let go", "[serving][user_state]") {
  constexpr std::size_t kBudget = 64 * 8192, kUsers = 5000;
  const IdKind kind = GENERATE(IdKind::string, IdKind::int64);
  UserStates users(kind, {.history_budget_bytes = kBudget});
  const auto touch = [&](std::size_t i) {
    const std::string name = name_of(i);
    return users.find_or_add(kind == IdKind::string ? Id(name) : Id(i));
  };
  for (std::size_t i = 0; i < kUsers; ++i) {
    const auto record = touch(i);
    const std::lock_guard lock(record->mutex);
    for (std::size_t e = 0; e <= i % 10; ++e) users.record(*record, static_cast<ItemHandle>(e), 1, 0, 1, "");
    touch(0);
    REQUIRE(users.history_bytes() <= kBudget);
  }
  CHECK(users.users_let_go() > kUsers / 2);
  CHECK(users.num_users() == kUsers - users.users_let_go());
  CHECK(touch(0)->items.size() == 1);
  CHECK(touch(kUsers - 1)->items.size() == 10);
  CHECK(touch(1)->items.empty());
}

TEST_CASE("Room for the events of a new user is made as they come, for a user of the model ahead",
          "[serving][user_state]") {
  UserStates users(IdKind::string, {});
  users.add_histories(two_users());
  const auto c = users.find_or_add("c");
  users.record(*c, 1, 1, 0, 1, "e");
  CHECK(c->bytes <= sizeof(UserRecord) + 200);
  CHECK(c->event_ids.capacity() >= c->items.capacity());
  const auto a = users.find("a");
  CHECK(a->items.capacity() >= 30);
  users.record(*a, 1, 1, 0, 1, "e");
  CHECK(a->event_ids.capacity() >= 30);
}

TEST_CASE("Who is let go has the history of the model again, and what somebody holds stays whole",
          "[serving][user_state]") {
  UserStates users(IdKind::string, {.cache_budget_bytes = 1000, .history_budget_bytes = 64});
  users.add_histories(two_users());
  const SizedEngine engine;
  acquire(users, "a", engine);
  const auto a = users.find("a");
  users.record(*a, 9, 40, 0, 1, "e");
  for (std::size_t i = 0; i < 500; ++i) users.find_or_add(name_of(i));
  CHECK(a->forgotten);
  CHECK(a->items == std::vector<ItemHandle>{3, 1, 3, 9});
  CHECK(users.cache_bytes() == 0);
  CHECK(users.find("a")->items == std::vector<ItemHandle>{3, 1, 3});
  CHECK(users.find("user 0") == nullptr);

  // Whoever is in use stays.
  const auto b = users.find("b");
  const std::lock_guard in_use(b->mutex);
  std::thread([&] {
    for (std::size_t i = 0; i < 500; ++i) users.find_or_add(name_of(i));
  }).join();
  CHECK_FALSE(b->forgotten);
}

TEST_CASE("Users without an event for long are let go when others have some", "[serving][user_state]") {
  UserStates users(IdKind::string, {.history_ttl = 1000});
  const auto observe = [&](std::size_t user, Timestamp time) {
    const auto record = users.find_or_add(name_of(user), time);
    const std::lock_guard lock(record->mutex);
    users.record(*record, 1, time, 0, 1, "");
  };
  for (std::size_t user = 0; user < 300; ++user) observe(user, 5000);
  for (std::size_t user = 1000; user < 3000; ++user) observe(user, 6000);
  CHECK(users.users_let_go() == 0);
  for (std::size_t user = 1000; user < 3000; ++user) observe(user, 6001);
  CHECK(users.users_let_go() == 300);
  CHECK(users.find(name_of(0)) == nullptr);
  CHECK(users.find(name_of(1000))->items.size() == 2);
  CHECK(users.num_users() == 2000);

  observe(5000, 253'402'300'799'999);  // whose clock is ahead
  for (std::size_t user = 1000; user < 3000; ++user) observe(user, 6002);
  CHECK(users.num_users() == 2001);
}

namespace {

// The slow way: all events in the order of time, and what follows from them.
struct Told {
  std::vector<std::pair<UserEvent, float>> events;  // with the weight of the kind

  void add(const UserEvent& event, float weight) {
    const auto later = [&](const auto& told) { return told.first.time > event.time; };
    events.insert(std::ranges::find_if(events, later), {event, weight});
  }
  std::vector<Dislike> disliked() const {
    std::map<ItemHandle, float> last;
    for (const auto& [event, weight] : events) {
      if (weight > 0) last.erase(event.item);
      if (weight < 0) last[event.item] = std::abs(weight * event.value);
    }
    std::vector<Dislike> result;
    for (const auto& [item, weight] : last) result.push_back({item, weight});
    return result;
  }
};

// By item: impressions, and those of them with an event of the history before the next.
std::map<ItemHandle, std::pair<std::int64_t, std::int64_t>> exposure_of(const Told& told) {
  std::map<ItemHandle, std::pair<std::int64_t, std::int64_t>> counts;
  std::set<ItemHandle> open;
  for (const auto& [event, weight] : told.events) {
    if (weight == 0) {
      ++counts[event.item].first;
      open.insert(event.item);
    } else if (weight > 0 && open.erase(event.item) == 1) {
      ++counts[event.item].second;
    }
  }
  return counts;
}

void check_exposure(const UserStates& users, const Told& told, std::int64_t times) {
  const auto expected = exposure_of(told);
  for (ItemHandle item = 0; item < 6; ++item) {
    const auto [impressions, rewards] = users.exposure().of(item);
    const auto found = expected.find(item);
    const auto count = found == expected.end() ? std::pair<std::int64_t, std::int64_t>() : found->second;
    CHECK(impressions == times * count.first);
    CHECK(rewards == times * count.second);
  }
}

void check_user(const UserRecord& user, const Told& told) {
  std::vector<ItemHandle> items;
  std::vector<float> weights;
  std::set<ItemHandle> distinct;
  for (const auto& [event, weight] : told.events) {
    if (weight <= 0) continue;
    items.push_back(event.item);
    weights.push_back(weight * event.value);
    distinct.insert(event.item);
  }
  CHECK(user.items == items);
  CHECK(user.weights == weights);
  CHECK(user.distinct == std::vector<ItemHandle>(distinct.begin(), distinct.end()));
  CHECK(user.disliked == told.disliked());
  const std::vector<UserEvent> events = user.events();
  REQUIRE(events.size() == told.events.size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    const UserEvent& expected = told.events[i].first;
    CHECK(std::tuple(events[i].item, events[i].time, events[i].kind, events[i].value) ==
          std::tuple(expected.item, expected.time, expected.kind, expected.value));
  }
  CHECK(user.last_time() == (events.empty() ? kNoTime : events.back().time));
}

}  // namespace

TEST_CASE("What kinds of events mean follows from the order of time, live and from a model's histories",
          "[serving][user_state][feedback]") {
  const std::vector<float> kind_weights{1, 3, 0, -1, -2.5f};
  std::mt19937 random(GENERATE(range(1u, 40u)));
  UserStates users(IdKind::string, {.kind_weights = kind_weights});
  const std::shared_ptr<UserRecord> record = users.find_or_add("live");
  UserRecord& user = *record;
  Told told;
  check_user(user, told);
  for (int i = 0; i < 60; ++i) {
    const auto kind = static_cast<std::uint8_t>(random() % 6);  // the last has no weight of its own
    const UserEvent event{static_cast<ItemHandle>(random() % 5),
                          random() % 9 == 0 ? kNoTime : static_cast<Timestamp>(random() % 12), kind,
                          static_cast<float>(random() % 5) - 1};
    CHECK(users.record(user, event.item, event.time, event.kind, event.value, "") == Observed::recorded);
    told.add(event, kind < kind_weights.size() ? kind_weights[kind] : 1);
    check_user(user, told);
    check_exposure(users, told, 1);
  }
  auto histories = std::make_shared<Histories>();
  auto ids = std::make_shared<IdMap>();
  ids->insert("of a model");
  histories->user_ids = ids;
  for (const auto& [event, weight] : told.events) {
    histories->items.push_back(event.item);
    histories->times.push_back(event.time);
    histories->kinds.push_back(event.kind);
    histories->values.push_back(event.value);
  }
  histories->offsets.push_back(histories->items.size());
  users.add_histories(histories);
  check_exposure(users, told, 2);
  const bool has_record = GENERATE(true, false);
  if (has_record) check_user(*users.find("of a model"), told);
  check_exposure(users, told, 2);
  users.erase("of a model");
  check_exposure(users, told, 1);
  users.erase("of a model");
  users.erase("live");
  check_exposure(users, told, 0);
}

TEST_CASE("Weights beyond the range of numbers are the largest", "[serving][user_state][feedback]") {
  constexpr float kMost = std::numeric_limits<float>::max();
  UserStates users(IdKind::string, {.kind_weights = {1, kMost, -kMost}});
  UserRecord user;
  users.record(user, 1, 1, 1, 2, "");
  users.record(user, 2, 1, 2, 2, "");
  CHECK(user.weights == std::vector{kMost});
  CHECK(user.values == std::vector{2.0f});
  CHECK(user.disliked == std::vector<Dislike>{{2, kMost}});
}
