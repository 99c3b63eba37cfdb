// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/telemetry.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <utility>

#include "serving/meters.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr double kBoundsInSeconds[LatencyHistogram::kBounds] = {1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4,
                                                                5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1,
                                                                2e-1, 5e-1, 1,    2,    5,    10};

}  // namespace

std::string_view to_string(Operation operation) noexcept {
  switch (operation) {
    case Operation::observe: return "observe";
    case Operation::recommend: return "recommend";
    case Operation::recommend_batch: return "recommend_batch";
    case Operation::rank: return "rank";
    case Operation::similar_items: return "similar_items";
    case Operation::reload: return "reload";
    case Operation::explain: return "explain";
    case Operation::similar_users: return "similar_users";
    case Operation::recommend_group: return "recommend_group";
  }
  return "";
}

std::string_view to_string(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::info: return "info";
    case LogLevel::warning: return "warning";
    case LogLevel::error: return "error";
  }
  return "";
}

double LatencyHistogram::bound(std::size_t i) noexcept { return kBoundsInSeconds[i]; }

std::uint64_t LatencyHistogram::count() const noexcept {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

double LatencyHistogram::quantile(double q) const noexcept {
  const std::uint64_t all = count();
  if (all == 0) return 0;
  const auto wanted = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(all)));
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < kBounds; ++i) {
    below += counts[i];
    if (below >= wanted) return kBoundsInSeconds[i];
  }
  return std::numeric_limits<double>::infinity();
}

void Meters::finished(Operation operation, Clock::duration took) noexcept {
  const double seconds = std::chrono::duration<double>(took).count();
  const auto bound = std::lower_bound(std::begin(kBoundsInSeconds), std::end(kBoundsInSeconds), seconds);
  Latency& latency = shard().latencies[static_cast<std::size_t>(operation)];
  add(latency.counts[static_cast<std::size_t>(bound - std::begin(kBoundsInSeconds))]);
  add(latency.nanoseconds, static_cast<std::uint64_t>(std::chrono::nanoseconds(took).count()));
}

void Meters::read(RecommenderStats& stats) const noexcept {
  const auto add = [](auto& sums, const auto& counters) {
    for (std::size_t i = 0; i < counters.size(); ++i) sums[i] += counters[i].load(std::memory_order_relaxed);
  };
  for (const Shard& shard : shards_) {
    for (std::size_t i = 0; i < kNumOperations; ++i) {
      add(stats.latencies[i].counts, shard.latencies[i].counts);
      stats.latencies[i].total_seconds +=
          1e-9 * static_cast<double>(shard.latencies[i].nanoseconds.load(std::memory_order_relaxed));
    }
    add(stats.events, shard.events);
    add(stats.answers, shard.answers);
    stats.short_answers += shard.short_answers.load(std::memory_order_relaxed);
    stats.failed_reloads += shard.failed_reloads.load(std::memory_order_relaxed);
  }
}

namespace {

// In the notation of every locale.
std::string number(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

// Writes metrics one after the other.
class Exposition {
 public:
  explicit Exposition(std::string_view prefix) : prefix_(prefix) {}

  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = prefix_;
    name_.append("_").append(name);
    out_.append("# HELP ").append(name_).append(" ").append(help).append("\n");
    out_.append("# TYPE ").append(name_).append(" ").append(type).append("\n");
  }
  void sample(const std::string& value, std::string_view labels = {}, std::string_view suffix = {}) {
    out_.append(name_).append(suffix);
    if (!labels.empty()) out_.append("{").append(labels).append("}");
    out_.append(" ").append(value).append("\n");
  }
  void gauge(std::string_view name, std::string_view help, double value) {
    family(name, "gauge", help);
    sample(number(value));
  }
  void counter(std::string_view name, std::string_view help, std::uint64_t value) {
    family(name, "counter", help);
    sample(std::to_string(value));
  }
  std::string take() { return std::move(out_); }

 private:
  std::string prefix_, name_, out_;
};

std::string label(std::string_view name, std::string_view value) {
  std::string text(name);
  text.append("=\"");
  for (const char c : value) {
    if (c == '\n') {
      text.append("\\n");
      continue;
    }
    if (c == '"' || c == '\\') text.push_back('\\');
    text.push_back(c);
  }
  return text.append("\"");
}

void write_latencies(Exposition& out, const RecommenderStats& stats) {
  out.family("call_duration_seconds", "histogram", "How long calls took, by operation.");
  for (std::size_t i = 0; i < kNumOperations; ++i) {
    const LatencyHistogram& latency = stats.latencies[i];
    const std::string operation = label("operation", to_string(static_cast<Operation>(i)));
    std::uint64_t below = 0;
    const auto bucket = [&](std::size_t b, const std::string& bound) {
      below += latency.counts[b];
      out.sample(std::to_string(below), operation + ',' + label("le", bound), "_bucket");
    };
    for (std::size_t b = 0; b < LatencyHistogram::kBounds; ++b) {
      bucket(b, number(LatencyHistogram::bound(b)));
    }
    bucket(LatencyHistogram::kBounds, "+Inf");
    out.sample(number(latency.total_seconds), operation, "_sum");
    out.sample(std::to_string(below), operation, "_count");
  }
}

void write_counts(Exposition& out, const RecommenderStats& stats) {
  constexpr std::string_view kOutcomes[] = {"recorded", "duplicate", "rejected"};
  out.family("events_total", "counter", "Events observed, by what became of them.");
  for (std::size_t i = 0; i < stats.events.size(); ++i) {
    out.sample(std::to_string(stats.events[i]), label("outcome", kOutcomes[i]));
  }
  out.family("answers_total", "counter", "Answers given, by the part of the system they come from.");
  for (std::size_t i = 0; i < stats.answers.size(); ++i) {
    out.sample(std::to_string(stats.answers[i]), label("source", to_string(static_cast<Source>(i))));
  }
  out.counter("short_answers_total", "Answers with fewer items than asked for.", stats.short_answers);
  out.counter("failed_reloads_total", "Models that were refused; the old one went on serving.", stats.failed_reloads);
  const RecommenderInfo& info = stats.info;
  out.counter("unstored_events_total", "Events served that the event store failed to keep.", info.unstored_events);
  out.counter("users_let_go_total", "Users let go for want of room or of events.", info.users_let_go);
  out.counter("ranker_failures_total", "Answers in the engine's order for want of a ranker's.", info.ranker_failures);
  out.counter("missed_deadlines_total", "Answers of which a ranker did not reach all.", info.missed_deadlines);
  out.counter("damaged_answers_total", "Answers that a damaged vector kept from the model.", info.damaged_answers);
}

}  // namespace

std::string to_prometheus(const RecommenderStats& stats, std::string_view prefix) {
  Exposition out(prefix);
  const RecommenderInfo& info = stats.info;
  out.family("model_info", "gauge", "The model that serves, as labels.");
  out.sample("1", label("version", info.model_version));
  out.gauge("model_generation", "Models served so far.", static_cast<double>(info.generation));
  out.gauge("items", "Items of all models and events.", static_cast<double>(info.items));
  out.gauge("users", "Users with a history.", static_cast<double>(info.users));
  out.gauge("cache_bytes", "Size of the encoder caches of users.", static_cast<double>(info.cache_bytes));
  out.gauge("history_bytes", "Size of histories that were touched.", static_cast<double>(info.history_bytes));
  write_counts(out, stats);
  write_latencies(out, stats);
  return out.take();
}

}  // namespace attune::inline v0_1
