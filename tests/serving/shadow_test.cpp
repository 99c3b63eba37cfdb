// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/shadow.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "attune/model/ranker.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/experiment.hpp"
#include "attune/serving/telemetry.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using test::make_model;
using test::same_items;

namespace {

constexpr ShadowOptions kAll{.share = 1};

}  // namespace

TEST_CASE("A candidate that foresees what users do next is measured as better", "[serving][shadow]") {
  const TrainedModel model = make_model({.items = 300});
  TrainedModel other = make_model({.seed = 2, .items = 300, .version = "candidate"});
  other.histories = model.histories;
  Recommender recommender = Recommender::open(model), oracle = Recommender::open(other);
  recommender.shadow(other, kAll);
  double served_gain = 0;
  std::size_t served_hits = 0;
  constexpr std::size_t kEvents = 200;
  for (std::size_t i = 0; i < kEvents; ++i) {
    const std::string user = test::user_name(i % 8);
    const Timestamp time = 1'000'000'000 + static_cast<Timestamp>(i);
    // Of the oracle's list the first or the third.
    const Answer foreseen = oracle.recommend({.user = user, .now = time, .exclude_seen = true});
    const Id next = foreseen.items.at(i % 2 == 0 ? 0 : 2).item;
    const Answer served = recommender.recommend({.user = user, .now = time});
    for (std::size_t rank = 0; rank < served.items.size(); ++rank) {
      if (served.items[rank].item != next) continue;
      ++served_hits;
      served_gain += 1 / std::log2(static_cast<double>(rank) + 2);
    }
    oracle.observe({.user = user, .item = next, .timestamp = time});
    recommender.observe({.user = user, .item = next, .timestamp = time});
  }
  const ShadowReport report = recommender.shadow_report();
  CHECK(report.events == kEvents);
  CHECK(report.failures == 0);
  CHECK(report.candidate_hit_rate == 1);
  CHECK(report.candidate_ndcg == Approx(0.75).margin(1e-9));
  CHECK(report.hit_rate == Approx(static_cast<double>(served_hits) / kEvents));
  CHECK(report.ndcg == Approx(served_gain / kEvents));
  CHECK(report.ndcg_gain[0] < report.candidate_ndcg - report.ndcg);
  CHECK(report.ndcg_gain[1] > report.candidate_ndcg - report.ndcg);
  CHECK(report.ndcg_gain[0] > 0);
  CHECK(report.overlap > 0);
  CHECK(report.overlap < 0.3);
}

TEST_CASE("A candidate like the model that serves gains nothing", "[serving][shadow]") {
  Recommender recommender = Recommender::open(make_model());
  recommender.shadow(make_model(), kAll);
  for (std::size_t i = 0; i < 40; ++i)
    recommender.observe({.user = test::user_name(i % 8), .item = test::item_name(i)});
  const ShadowReport report = recommender.shadow_report();
  CHECK(report.events > 20);
  CHECK(report.ndcg == report.candidate_ndcg);
  CHECK(report.ndcg_gain == std::array<double, 2>{});
  CHECK(report.overlap == 1);
}

TEST_CASE("Events that no list could foresee measure nothing", "[serving][shadow]") {
  Recommender recommender = Recommender::open(make_model());
  recommender.observe({.user = "u1", .item = "i1", .timestamp = 20'000'000, .event_id = "before"});
  recommender.shadow(make_model({.seed = 2}), kAll);
  recommender.observe({.user = "nobody", .item = "i1", .timestamp = 30'000'000});                      // no history
  recommender.observe({.user = "u1", .item = "i1", .timestamp = 30'000'000});                          // seen
  recommender.observe({.user = "u1", .item = "never", .timestamp = 10, .event_id = "late"});           // late
  recommender.observe({.user = "u1", .item = "more", .timestamp = 30'000'000, .event_id = "before"});  // twice
  recommender.observe({.user = "u1", .item = ""});                                                     // rejected
  CHECK(recommender.shadow_report().events == 0);
  recommender.observe({.user = "u1", .item = "never2"});  // which is a miss of both
  const ShadowReport report = recommender.shadow_report();
  CHECK(report.events == 1);
  CHECK(report.hit_rate == 0);
  CHECK(report.candidate_hit_rate == 0);

  recommender.shadow(make_model({.seed = 2}), {.share = 1, .exclude_seen = false});
  recommender.observe({.user = "u1", .item = "i1", .timestamp = 40'000'000});
  CHECK(recommender.shadow_report().events == 1);
}

TEST_CASE("A share of the users is measured, always the same", "[serving][shadow]") {
  Recommender recommender = Recommender::open(make_model({.users = 100}));
  recommender.shadow(make_model({.seed = 2}), {.share = 0.3});
  const double shares[] = {0.7, 0.3};
  const Experiment sample("shadow", shares);
  std::size_t expected = 0;
  for (std::size_t u = 0; u < 100; ++u) {
    const std::string user = test::user_name(u);
    for (int i = 0; i < 2; ++i) {
      const std::string item = std::string("new").append(std::to_string(i));
      recommender.observe({.user = user, .item = item});
    }
    expected += sample.arm(user) == 1 ? 2 : 0;
  }
  CHECK(recommender.shadow_report().events == expected);
  CHECK(expected > 20);
  CHECK(expected < 120);
}

TEST_CASE("Nobody notices a candidate, and it can go", "[serving][shadow]") {
  Recommender recommender = Recommender::open(make_model()), alone = Recommender::open(make_model());
  recommender.shadow(make_model({.seed = 2, .items = 60}), kAll);
  for (std::size_t i = 0; i < 60; ++i) {
    const std::string user = test::user_name(i % 8), item = test::item_name(i);
    recommender.observe({.user = user, .item = item});
    alone.observe({.user = user, .item = item});
    CHECK(same_items(recommender.recommend({.user = user}), alone.recommend({.user = user})));
  }
  CHECK(recommender.stats().answers == alone.stats().answers);
  CHECK(recommender.info().generation == 1);
  const std::size_t measured = recommender.shadow_report().events;
  CHECK(measured > 0);
  recommender.end_shadow();
  recommender.observe({.user = "u1", .item = "another"});
  CHECK(recommender.shadow_report().events == 0);
  recommender.end_shadow();
}

TEST_CASE("A candidate that cannot be measured is refused, and the one before goes on", "[serving][shadow]") {
  Recommender recommender = Recommender::open(make_model());
  recommender.shadow(make_model(), kAll);
  recommender.observe({.user = "u1", .item = "another"});
  const auto refused = [&](const TrainedModel& model, const ShadowOptions& options, const std::string& why) {
    CHECK_THROWS_WITH(recommender.shadow(model, options), Catch::Matchers::Contains(why));
    CHECK(recommender.shadow_report().events == 1);
  };
  for (const double share : {0.0, -1.0, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    refused(make_model(), {.share = share}, "ShadowOptions::share");
  }
  refused(make_model(), {.share = 1, .k = 0}, "ShadowOptions::k");
  refused(make_model({.item_kind = IdKind::int64}), kAll, "expected strings");
  TrainedModel numbered = make_model({.users = 1});
  auto histories = std::make_shared<Histories>(*numbered.histories);
  auto users = std::make_shared<IdMap>(IdKind::int64);
  users->insert(1);
  histories->user_ids = users;
  numbered.histories = histories;
  refused(numbered, kAll, "user ids of the new model are of another kind");
  CHECK_THROWS_AS(recommender.shadow("no such directory", kAll), Error);
  CHECK(recommender.shadow_report().events == 1);
}

TEST_CASE("Only what keeps one of the two answers from being what it should is a failure", "[serving][shadow]") {
  Recommender* serving = nullptr;
  bool other_asks = false;
  const auto ranker = make_ranker([&](const RankingQuery& query, auto, std::span<float> scores) {
    if (query.context.user == Id("u2")) throw std::runtime_error("of the host's");
    std::ranges::fill(scores, 0.0f);
    if (!std::exchange(other_asks, false)) return;
    std::thread([&] { serving->recommend({.user = "u2"}); }).join();
  });
  Recommender recommender = Recommender::open(make_model({.items = 60}), {.ranker = ranker});
  serving = &recommender;
  recommender.shadow(make_model({.seed = 2, .items = 60}), kAll);
  other_asks = true;
  recommender.observe({.user = "u1", .item = "another"});
  CHECK(recommender.info().ranker_failures == 1);
  CHECK(recommender.shadow_report().failures == 0);
  CHECK(recommender.shadow_report().events == 1);
  recommender.observe({.user = "u2", .item = "another"});
  CHECK(recommender.shadow_report().failures == 1);
  CHECK(recommender.shadow_report().events == 1);
}

TEST_CASE("Candidates come and go while events are measured", "[serving][shadow][concurrency]") {
  Recommender recommender = Recommender::open(make_model());
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; !stop; ++i) {
        const std::string user = test::user_name((i + t) % 8), item = std::string("x").append(std::to_string(i % 200));
        recommender.observe({.user = user, .item = item});
        recommender.recommend({.user = user});
      }
    });
  }
  const TrainedModel a = make_model({.seed = 2}), b = make_model({.seed = 3});
  for (int i = 0; i < 30; ++i) {
    recommender.shadow(i % 2 == 0 ? a : b, kAll);
    recommender.reload(i % 2 == 0 ? b : a);
    recommender.shadow_report();
    if (i % 5 == 0) recommender.end_shadow();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(recommender.info().generation == 31);
}
