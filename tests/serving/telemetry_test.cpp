// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/telemetry.hpp"

#include <algorithm>
#include <clocale>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "attune/serving/event_store.hpp"
#include "attune/serving/explanation.hpp"
#include "attune/serving/people.hpp"
#include "catch.hpp"
#include "serving/meters.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using test::make_model;

namespace {

class Listener final : public Telemetry {
 public:
  void log(LogLevel level, std::string_view message) noexcept override {
    const std::lock_guard lock(mutex);
    lines.push_back(std::string(to_string(level)).append(": ").append(message));
  }
  void span(const Span& span) noexcept override {
    const std::lock_guard lock(mutex);
    spans.push_back(span);
  }
  std::mutex mutex;
  std::vector<std::string> lines;
  std::vector<Span> spans;
};

class FailingStore final : public EventStore {
 public:
  void append(std::span<const Interaction>, std::function<void(bool)> done) override { done(false); }
  void replay(const std::function<void(const Interaction&)>&) override {}
  void erase(const Id&) override {}
};

std::uint64_t calls(const RecommenderStats& stats, Operation operation) {
  return stats.latencies[static_cast<std::size_t>(operation)].count();
}

// The samples of a text by name and labels.
std::map<std::string, double> samples(const std::string& text) {
  std::map<std::string, double> found;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line[0] == '#') continue;
    const std::size_t blank = line.rfind(' ');
    found[line.substr(0, blank)] = std::stod(line.substr(blank + 1));
  }
  return found;
}

}  // namespace

TEST_CASE("Every call is counted once by what it was and what came of it", "[serving][telemetry]") {
  Recommender recommender = Recommender::open(make_model());
  recommender.observe({.user = "u1", .item = "i3", .event_id = "a"});
  recommender.observe({.user = "u1", .item = "i3", .event_id = "a"});
  recommender.observe_batch(std::vector<Interaction>{{.user = "u1", .item = "i4"}, {.user = "", .item = "i4"}});
  recommender.recommend({.user = "u1", .k = 5});
  recommender.recommend({.user = "nobody", .k = 1000});
  recommender.recommend_history({"i1", "i2"});
  recommender.recommend_batch(std::vector<Request>{{.user = "u1"}, {.user = "u2"}, {.user = "nobody"}});
  recommender.rank("u1", {"i1"});
  recommender.similar_items("i1", 3);
  recommender.explain("u1", "i1");
  recommender.explain_history(std::vector<Id>{"i2"}, "i1", {});
  recommender.similar_users("u1", 3);
  recommender.recommend_group(std::vector<Id>{"u1", "u2"}, {.k = 5}, {});
  recommender.reload(make_model({.seed = 2}));
  CHECK_THROWS_AS(recommender.reload("no such directory"), Error);

  const RecommenderStats stats = recommender.stats();
  CHECK(calls(stats, Operation::observe) == 3);
  CHECK(calls(stats, Operation::recommend) == 3);
  CHECK(calls(stats, Operation::recommend_batch) == 1);
  CHECK(calls(stats, Operation::rank) == 1);
  CHECK(calls(stats, Operation::similar_items) == 1);
  CHECK(calls(stats, Operation::reload) == 2);
  CHECK(calls(stats, Operation::explain) == 2);
  CHECK(calls(stats, Operation::similar_users) == 1);
  CHECK(calls(stats, Operation::recommend_group) == 1);
  CHECK(to_prometheus(stats).find("operation=\"recommend_group\"") != std::string::npos);
  CHECK(stats.failed_reloads == 1);
  CHECK(stats.events == std::array<std::uint64_t, 3>{2, 1, 1});
  CHECK(stats.answers[static_cast<std::size_t>(Source::model)] == 5);
  CHECK(stats.answers[static_cast<std::size_t>(Source::popularity)] == 2);
  CHECK(stats.short_answers == 1);
  CHECK(stats.info.generation == 2);
}

TEST_CASE("Replayed events are not counted as observed, and those that cannot be served are spoken of",
          "[serving][telemetry]") {
  class Store final : public EventStore {
   public:
    void append(std::span<const Interaction>, std::function<void(bool)> done) override { done(true); }
    void replay(const std::function<void(const Interaction&)>& visit) override {
      visit({.user = "x", .item = "i1"});
      visit({.user = "x", .item = 1});
    }
    void erase(const Id&) override {}
  };
  const auto listener = std::make_shared<Listener>();
  const Recommender recommender =
      Recommender::open(make_model(), {.event_store = std::make_shared<Store>(), .telemetry = listener});
  CHECK(listener->lines.back().starts_with("warning: 1 stored"));
  CHECK(recommender.info().users == 9);
  CHECK(recommender.stats().events == std::array<std::uint64_t, 3>{});
}

TEST_CASE("Counts of many threads add up", "[serving][telemetry]") {
  Recommender recommender = Recommender::open(make_model());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        recommender.observe({.user = "u1", .item = "i3"});
        recommender.recommend({.user = "u2"});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const RecommenderStats stats = recommender.stats();
  CHECK(calls(stats, Operation::observe) == 2000);
  CHECK(calls(stats, Operation::recommend) == 2000);
  CHECK(stats.events[0] == 2000);
}

TEST_CASE("A latency falls into the first bucket whose bound is not below it", "[serving][telemetry]") {
  Meters meters;
  const auto took = [&](double seconds) {
    meters.finished(Operation::rank,
                    std::chrono::duration_cast<Meters::Clock::duration>(std::chrono::duration<double>(seconds)));
  };
  RecommenderStats none;
  CHECK(none.latencies[0].quantile(0.5) == 0);
  for (int i = 0; i < 98; ++i) took(3e-6);
  took(0);
  took(100);
  RecommenderStats stats;
  meters.read(stats);
  const LatencyHistogram& latency = stats.latencies[static_cast<std::size_t>(Operation::rank)];
  CHECK(latency.counts[0] == 1);
  CHECK(latency.counts[2] == 98);
  CHECK(latency.counts[LatencyHistogram::kBounds] == 1);
  CHECK(latency.count() == 100);
  CHECK(latency.quantile(0) == 1e-6);
  CHECK(latency.quantile(0.01) == 1e-6);
  CHECK(latency.quantile(0.5) == 5e-6);
  CHECK(latency.quantile(0.99) == 5e-6);
  CHECK(latency.quantile(1) == std::numeric_limits<double>::infinity());
  CHECK(latency.total_seconds == Approx(100 + 98 * 3e-6));
  for (std::size_t i = 1; i < LatencyHistogram::kBounds; ++i) {
    CHECK(LatencyHistogram::bound(i) > LatencyHistogram::bound(i - 1));
  }
}

TEST_CASE("Prometheus text holds every number in cumulative buckets, whatever the locale", "[serving][telemetry]") {
  const char* const comma = std::setlocale(LC_NUMERIC, "de_DE.UTF-8");  // where it is installed
  Recommender recommender = Recommender::open(make_model({.version = "v\"1\"\\\n"}));
  recommender.observe({.user = "u-secret", .item = "i-secret"});
  recommender.recommend({.user = "u-secret", .k = 3});
  const std::string text = to_prometheus(recommender.stats(), "shop");
  if (comma != nullptr) std::setlocale(LC_NUMERIC, "C");

  CHECK(text.find("secret") == std::string::npos);
  CHECK(text.find("shop_model_info{version=\"v\\\"1\\\"\\\\\\n\"} 1\n") != std::string::npos);
  const auto found = samples(text);
  CHECK(found.at("shop_events_total{outcome=\"recorded\"}") == 1);
  CHECK(found.at("shop_items") == 51);
  CHECK(found.at("shop_call_duration_seconds_count{operation=\"recommend\"}") == 1);
  CHECK(found.at("shop_call_duration_seconds_bucket{operation=\"recommend\",le=\"+Inf\"}") == 1);
  CHECK(found.at("shop_call_duration_seconds_bucket{operation=\"recommend\",le=\"10\"}") == 1);
  CHECK(found.count("shop_call_duration_seconds_bucket{operation=\"recommend\",le=\"0.001\"}") == 1);
  double answers = 0;
  for (const auto& [name, value] : found) {
    if (name.starts_with("shop_answers_total")) answers += value;
  }
  CHECK(answers == 1);
}

TEST_CASE("A host is told of calls, models and failures, and nobody is named", "[serving][telemetry]") {
  const auto listener = std::make_shared<Listener>();
  Recommender recommender =
      Recommender::open(make_model(), {.event_store = std::make_shared<FailingStore>(), .telemetry = listener});
  for (int i = 0; i < 3; ++i) recommender.observe({.user = "u-secret", .item = "i1"});
  recommender.recommend({.user = "u-secret", .k = 4});
  CHECK_THROWS_AS(recommender.reload("no such directory"), Error);
  recommender.reload(make_model({.version = "next"}));

  REQUIRE(listener->lines.size() == 4);
  CHECK(listener->lines[0] == "info: model \"small\" serves 50 items as generation 1");
  CHECK(listener->lines[1].starts_with("error: the event store does not keep an event"));
  CHECK(listener->lines[2].starts_with("error: the old model goes on serving: "));
  CHECK(listener->lines[2].find("no such directory") != std::string::npos);
  CHECK(listener->lines[3] == "info: model \"next\" serves 50 items as generation 2");
  for (const std::string& line : listener->lines) CHECK(line.find("secret") == std::string::npos);

  REQUIRE(listener->spans.size() == 6);
  const auto told = [&](std::size_t i, Operation operation, std::size_t items) {
    const Span& span = listener->spans[i];
    CHECK(span.operation == operation);
    CHECK(span.items == items);
    CHECK(span.begin <= span.end);
  };
  for (std::size_t i = 0; i < 3; ++i) told(i, Operation::observe, 1);
  told(3, Operation::recommend, 4);
  told(4, Operation::reload, 0);
  told(5, Operation::reload, 0);
  CHECK(recommender.info().unstored_events == 3);
}
