// SPDX-License-Identifier: Apache-2.0

// Everything at once from eight threads; a build with -fsanitize=thread is what this is for.

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "attune/recommender.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using test::make_model;
using test::same_items;

namespace {

constexpr std::size_t kQuietUsers = 4;                   // u0 ... u3: nobody observes them
constexpr std::size_t kReloads = 1000, kAnswers = 4000;  // at least

struct Expected {
  std::vector<Answer> users;
  Answer cold, history;
};

Expected answers_of(const Recommender& recommender) {
  Expected expected;
  for (std::size_t u = 0; u < kQuietUsers; ++u) {
    expected.users.push_back(recommender.recommend({.user = test::user_name(u)}));
  }
  expected.cold = recommender.recommend({.user = "nobody"});
  expected.history = recommender.recommend_history({"i31", "i32", "i33"});
  return expected;
}

}  // namespace

TEST_CASE("Eight threads observe, recommend and reload at once, and no answer mixes two models (UR-43, UR-61)",
          "[serving][concurrency][UR-43][UR-61]") {
  const TrainedModel a = make_model({.items = 50, .version = "A"});
  const TrainedModel b = make_model({.seed = 2, .items = 50, .first_item = 30, .version = "B"});
  const std::size_t budget = 3 * a.encoder->make_state().memory_bytes();  // caches give way all the time
  Recommender recommender = Recommender::open(a, {.cache_budget_bytes = budget + 1000});
  const Expected from_a = answers_of(recommender);
  recommender.reload(b);
  const Expected from_b = answers_of(recommender);

  std::atomic<bool> stop = false;
  std::atomic<std::size_t> wrong = 0, answered = 0, recorded = 0;
  std::atomic<std::uint64_t> newest_generation = 2;
  const auto expect = [&](bool right) { wrong += !right; };

  const auto reader = [&](std::size_t seed) {
    Answer answer;
    std::uint64_t generation = 0;
    for (std::size_t i = seed; !stop; ++i) {
      const std::uint64_t at_least = newest_generation;
      const std::size_t u = i % kQuietUsers;
      recommender.recommend({.user = test::user_name(u)}, answer);
      expect(answer.generation >= std::max(at_least, generation));  // a finished reload is obeyed at once
      generation = answer.generation;
      const Expected& expected = answer.model_version == "A" ? from_a : from_b;
      expect(same_items(answer, expected.users[u]));
      recommender.recommend({.user = "nobody"}, answer);
      expect(same_items(answer, answer.model_version == "A" ? from_a.cold : from_b.cold));
      const Answer history = recommender.recommend_history({"i31", "i32", "i33"});
      expect(same_items(history, history.model_version == "A" ? from_a.history : from_b.history));
      ++answered;
    }
  };
  const auto observer = [&](std::size_t seed) {
    for (std::size_t i = seed; !stop; ++i) {
      const std::string user = test::user_name(kQuietUsers + i % 7);  // three of them new
      const std::string item = test::item_name(i * 7 % 90);           // ten in no model
      recorded += recommender.observe({.user = user, .item = item, .timestamp = static_cast<Timestamp>(i)}) ==
                  Observed::recorded;
      const Answer answer = recommender.recommend({.user = user, .k = 100, .exclude_seen = false});
      const TrainedModel& model = answer.model_version == "A" ? a : b;
      std::set<std::string> once;
      for (const Recommendation& r : answer.items) {
        expect(model.item_ids->find(r.item) != kNoHandle);
        once.insert(to_string(r.item));
      }
      expect(once.size() == 50 && answer.items.size() == 50);
      recommender.rank(user, {"i1", "i40", "i70"});
      recommender.similar_items("i40", 5);
      recommender.info();
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) threads.emplace_back(reader, t);
  for (std::size_t t = 0; t < 3; ++t) threads.emplace_back(observer, 1000 * t);
  threads.emplace_back([&] {
    for (std::size_t i = 0; i < kReloads || answered < kAnswers; ++i) {
      recommender.reload(i % 2 == 0 ? a : b);
      newest_generation = i + 3;
    }
    stop = true;
  });
  for (std::thread& thread : threads) thread.join();

  CHECK(wrong == 0);
  CHECK(recommender.info().generation == newest_generation);
  CHECK(recommender.info().cache_bytes <= budget + 1000);
  CHECK(recorded > 0);
  for (std::size_t u = 0; u < kQuietUsers + 7; ++u) {
    const Answer answer = recommender.recommend({.user = test::user_name(u), .k = 1000});
    const Shortfall& left_out = answer.shortfall;
    CHECK(answer.items.size() + left_out.seen + left_out.unavailable == recommender.info().items);
  }
}
