// SPDX-License-Identifier: Apache-2.0

// Everything at once from eight threads; a build with -fsanitize=thread is what this is for.

#include <algorithm>
#include <array>
#include <atomic>
#include <set>
#include <thread>

#include "attune/recommender.hpp"
#include "attune/serving/cursor.hpp"
#include "attune/serving/policy.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using test::make_model;
using test::same_items;

namespace {

constexpr std::size_t kQuietUsers = 4;                   // u0 ... u3: nobody observes them
constexpr std::size_t kReloads = 1000, kAnswers = 4000;  // at least
constexpr std::size_t kReaders = 4, kObservers = 3;

// What the quiet users get from one model.
struct Expected {
  std::vector<Answer> users, lists;
  Answer cold, history;
};

// With everything that a list can have.
Answer list_of(const Recommender& recommender, const Policy& policy, std::size_t user) {
  const PinnedItem pins[] = {{"i35", 2}};
  Cursor cursor;
  return recommender.recommend({.user = test::user_name(user),
                                .policy = &policy,
                                .diversity = 0.5f,
                                .diversity_method = user % 2 == 0 ? DiversityMethod::mmr : DiversityMethod::dpp,
                                .diversity_pool = 12,
                                .pinned = pins,
                                .cursor = &cursor});
}

Expected answers_of(const Recommender& recommender, const Policy& policy) {
  Expected expected;
  for (std::size_t u = 0; u < kQuietUsers; ++u) {
    expected.users.push_back(recommender.recommend({.user = test::user_name(u)}));
    expected.lists.push_back(list_of(recommender, policy, u));
  }
  expected.cold = recommender.recommend({.user = "nobody"});
  expected.history = recommender.recommend_history({"i31", "i32", "i33"});
  return expected;
}

// Event i of an observer: seven users, three of them new, and items of which ten are in no model.
struct Event {
  Event(std::size_t observer, std::size_t i)
      : user(test::user_name(kQuietUsers + i % 7)),
        item(test::item_name(i * 13 % 90)),
        event_id(std::to_string(observer) + '/' + std::to_string(i)),
        time(static_cast<Timestamp>(i)) {}
  Interaction interaction() const { return {.user = user, .item = item, .timestamp = time, .event_id = event_id}; }

  std::string user, item, event_id;
  Timestamp time;
};

struct Scene {
  TrainedModel a = make_model({.items = 50, .version = "A"});
  TrainedModel b = make_model({.seed = 2, .items = 50, .first_item = 30, .version = "B"});
  std::size_t budget = 3 * a.encoder->make_state().memory_bytes() + 1000;  // caches give way all the time
  Recommender recommender = Recommender::open(
      a,
      {.item_fields = {{"price", FieldType::number}, {"creator", FieldType::category}}, .cache_budget_bytes = budget});
  const Policy cheap = recommender.compile({.filter = "price < 50", .boosts = {{"price < 10", 0.5f}}});
  const Policy capped = recommender.compile({.caps = {{"creator", 2}}});
  Expected from_a, from_b;
  std::atomic<bool> stop = false;
  std::atomic<std::size_t> wrong = 0, answered = 0;
  std::atomic<std::uint64_t> generation = 2;  // of the last reload that returned
  std::array<std::size_t, kObservers> observed{};

  void expect(bool right) { wrong += !right; }
  void upsert(std::size_t i) {
    const std::string item = test::item_name(i % 80), creator = test::user_name(i % 80 % 9);
    recommender.upsert_item({.id = item, .fields = {{"creator", creator}}});
  }
  const Expected& expected(const Answer& answer) const { return answer.model_version == "A" ? from_a : from_b; }

  void read(std::size_t reader) {
    Answer answer;
    for (std::size_t i = reader; !stop; ++i) {
      const std::size_t u = i % kQuietUsers;
      const std::uint64_t at_least = generation;
      recommender.recommend({.user = test::user_name(u)}, answer);
      expect(answer.generation >= at_least);
      expect(same_items(answer, expected(answer).users[u]));
      const Answer list = list_of(recommender, capped, u);
      expect(same_items(list, expected(list).lists[u]));
      recommender.recommend({.user = "nobody"}, answer);
      expect(same_items(answer, expected(answer).cold));
      const Answer history = recommender.recommend_history({"i31", "i32", "i33"});
      expect(same_items(history, expected(history).history));
      ++answered;
    }
  }

  void observe(std::size_t observer) {
    for (std::size_t i = 0; !stop; ++i) {
      const Event event(observer, i);
      expect(recommender.observe(event.interaction()) == Observed::recorded);
      ++observed[observer];
      const Answer answer = recommender.recommend({.user = event.user, .k = 100, .exclude_seen = false});
      const TrainedModel& model = answer.model_version == "A" ? a : b;
      std::set<ItemHandle> items;
      for (const Recommendation& r : answer.items) items.insert(model.item_ids->find(r.item));
      expect(answer.items.size() == 50 && items.size() == 50 && !items.contains(kNoHandle));
      recommender.rank(event.user, {"i1", "i40", "i70"});
      recommender.similar_items("i40", 5);
      upsert(i);
      change_items(observer, i);
      const std::vector<Request> requests{{.user = event.user, .policy = &cheap}, {.user = event.user}};
      for (const Answer& one : recommender.recommend_batch(requests)) expect(one.items.size() <= 10);
      recommender.info();
    }
  }

  // What the quiet users' answers do not depend on.
  void change_items(std::size_t observer, std::size_t i) {
    const std::string item = test::item_name(i * 7 % 80);
    recommender.upsert_item({.id = item, .fields = {{"price", i % 100}}, .available_until = Timestamp{1} << 50});
    expect(recommender.remove_item("of an observer " + std::to_string(observer)));
    if (i % 50 == 0) recommender.compile({.filter = "has(price)"});
  }

  void reload() {
    for (std::size_t i = 0; i < kReloads || answered < kAnswers; ++i) {
      recommender.reload(i % 2 == 0 ? a : b);
      ++generation;
    }
    stop = true;
  }
};

}  // namespace

TEST_CASE("Eight threads observe, recommend and reload at once, and no answer mixes two models (UR-43, UR-61)",
          "[serving][concurrency][UR-43][UR-61]") {
  Scene scene;
  Recommender& recommender = scene.recommender;
  for (std::size_t i = 0; i < 80; ++i) scene.upsert(i);
  scene.from_a = answers_of(recommender, scene.capped);
  recommender.reload(scene.b);
  scene.from_b = answers_of(recommender, scene.capped);

  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kReaders; ++t) threads.emplace_back([&scene, t] { scene.read(t); });
  for (std::size_t t = 0; t < kObservers; ++t) threads.emplace_back([&scene, t] { scene.observe(t); });
  threads.emplace_back([&scene] { scene.reload(); });
  for (std::thread& thread : threads) thread.join();

  CHECK(scene.wrong == 0);
  CHECK(recommender.info().generation == scene.generation);
  CHECK(recommender.info().cache_bytes <= scene.budget);
  CHECK(recommender.info().users == 11);
  std::size_t lost = 0;
  for (std::size_t t = 0; t < kObservers; ++t) {
    for (std::size_t i = 0; i < scene.observed[t]; ++i) {
      lost += recommender.observe(Event(t, i).interaction()) != Observed::duplicate;
    }
    CHECK(scene.observed[t] > 0);
  }
  CHECK(lost == 0);
}
