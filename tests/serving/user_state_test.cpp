// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/user_state.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <thread>

#include "attune/error.hpp"
#include "catch.hpp"
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
  std::size_t size() const noexcept override { return 0; }
  ScoreKind kind() const noexcept override { return ScoreKind::cosine; }
  bool scorable(ItemHandle) const noexcept override { return false; }
  EngineAnswer recommend(HistoryView, const Context&, std::span<const std::uint64_t>, std::size_t, detail::EngineState*,
                         Workspace&) const override {
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

  std::size_t bytes = 100;
  mutable int made = 0;
};

detail::EngineState* acquire(UserStates& users, const char* id, const SizedEngine& engine,
                             std::uint64_t generation = 1) {
  const auto user = users.find_or_add(id);
  const std::lock_guard lock(user->mutex);
  return users.acquire_state(*user, engine, generation);
}

}  // namespace

TEST_CASE("A user of the model comes with his history when first asked for", "[serving][user_state]") {
  UserStates users(IdKind::string, 0);
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
  UserStates users(IdKind::string, 0);
  users.add_histories(histories);
  const auto a = users.find("a");
  CHECK(a->last_time() == kNoTime);
  UserStates::record(*a, 7, kNoTime, 0, 1, "");
  UserStates::record(*a, 8, 1, 0, 1, "");
  CHECK(items(*a) == std::vector<ItemHandle>{3, 1, 3, 7, 8});
}

TEST_CASE("Users keep what they have when further histories come, and are counted once", "[serving][user_state]") {
  UserStates users(IdKind::string, 0);
  users.add_histories(two_users());
  UserStates::record(*users.find_or_add("c"), 9, 1, 0, 1, "");
  UserStates::record(*users.find("a"), 9, 40, 0, 1, "");

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
  UserStates users(IdKind::int64, 0);
  CHECK_THROWS_AS(users.add_histories(two_users()), Error);
  CHECK(users.accepts(5));
  CHECK_FALSE(users.accepts("5"));
  CHECK_FALSE(users.accepts(Id()));
}

TEST_CASE("Events stand in the order of time, equal times in the order of arrival", "[serving][user_state]") {
  std::mt19937 random(5);
  UserRecord user;
  std::vector<std::pair<Timestamp, ItemHandle>> expected;
  for (ItemHandle i = 0; i < 300; ++i) {
    const auto time = static_cast<Timestamp>(random() % 40);
    CHECK(UserStates::record(user, i, time, 0, 1, "") == Observed::recorded);
    expected.emplace_back(time, i);
  }
  std::ranges::stable_sort(expected, {}, &std::pair<Timestamp, ItemHandle>::first);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    REQUIRE(user.times[i] == expected[i].first);
    REQUIRE(user.items[i] == expected[i].second);
  }
}

TEST_CASE("The same event id twice is one event", "[serving][user_state]") {
  UserRecord user;
  CHECK(UserStates::record(user, 1, 10, 0, 1, "e1") == Observed::recorded);
  CHECK(UserStates::record(user, 2, 20, 0, 1, "e2") == Observed::recorded);
  CHECK(UserStates::record(user, 3, 30, 0, 1, "e1") == Observed::duplicate);
  CHECK(UserStates::record(user, 1, 10, 0, 1, "") == Observed::recorded);
  CHECK(items(user) == std::vector<ItemHandle>{1, 1, 2});
  CHECK(user.distinct == std::vector<ItemHandle>{1, 2});
}

TEST_CASE("Only an event in the past makes a cache start anew", "[serving][user_state]") {
  UserStates users(IdKind::string, 1000);
  const SizedEngine engine;
  auto* state = static_cast<SizedEngine::State*>(acquire(users, "a", engine));
  const auto user = users.find("a");
  UserStates::record(*user, 1, 10, 0, 1, "");
  UserStates::record(*user, 2, 10, 0, 1, "");
  CHECK(state->resets == 0);
  UserStates::record(*user, 3, 9, 0, 1, "");
  CHECK(state->resets == 1);
}

TEST_CASE("A user who is erased is unknown, takes no memory, and comes again with nothing", "[serving][user_state]") {
  UserStates users(IdKind::string, 1000);
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
  UserStates users(IdKind::string, 350);
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
    UserStates users(IdKind::string, 99);
    CHECK(acquire(users, "a", engine) == nullptr);
    CHECK(acquire(users, "a", engine) == nullptr);
    CHECK(engine.made == 1);
    CHECK(users.cache_bytes() == 0);
  }
  SECTION("an engine without states") {
    UserStates users(IdKind::string, 1000);
    engine.bytes = 0;
    CHECK(acquire(users, "a", engine) == nullptr);
  }
  SECTION("everything in use") {
    UserStates users(IdKind::string, 100);
    acquire(users, "a", engine);
    const auto a = users.find("a");
    const std::lock_guard in_use(a->mutex);
    std::thread([&] { CHECK(acquire(users, "b", engine) == nullptr); }).join();
    CHECK(a->state != nullptr);
  }
}

TEST_CASE("A cache of another generation is never handed out", "[serving][user_state]") {
  UserStates users(IdKind::string, 1000);
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
  UserStates users(IdKind::string, 300);
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
