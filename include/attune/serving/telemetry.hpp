// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a host sees of a running recommender: counters and latencies (Recommender::stats, as Prometheus text), and
// callbacks for log lines and spans. Silent unless asked for; no id of a user or an item is in any of it.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "attune/recommender.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

// The calls of Recommender that are counted and timed; their overloads count as one.
enum class Operation : std::uint8_t {
  observe,
  recommend,
  recommend_batch,
  rank,
  similar_items,
  reload,
  explain,
  similar_users,
  recommend_group
};
inline constexpr std::size_t kNumOperations = 9;
ATTUNE_EXPORT std::string_view to_string(Operation operation) noexcept;

enum class LogLevel : std::uint8_t { info, warning, error };
ATTUNE_EXPORT std::string_view to_string(LogLevel level) noexcept;

// One finished call.
struct Span {
  Operation operation;
  std::int64_t begin, end;  // nanoseconds of the steady clock
  std::size_t items = 0;    // answered, or events observed
};

// Callbacks of RecommenderOptions::telemetry, from the thread that makes the call (for events that are lost, from one
// of the event store), any number of threads at once. They must not call the recommender and should not wait: the call
// waits for them.
class ATTUNE_EXPORT Telemetry {
 public:
  virtual ~Telemetry() = default;
  // What happened that a host may want to write down: models opened, replaced or refused, damage, events that a store
  // did not keep. Each kind once per cause, not once per request.
  virtual void log(LogLevel, std::string_view) noexcept {}
  virtual void span(const Span&) noexcept {}
};

// How long calls took: counts by upper bound, 1-2-5 from a microsecond to ten seconds.
struct LatencyHistogram {
  static constexpr std::size_t kBounds = 22;
  std::array<std::uint64_t, kBounds + 1>
      counts{};  // [i]: at most bound(i) seconds and more than bound(i - 1); [kBounds]: the rest
  double total_seconds = 0;

  ATTUNE_EXPORT static double bound(std::size_t i) noexcept;  // seconds
  ATTUNE_EXPORT std::uint64_t count() const noexcept;
  // An upper bound of the q-quantile, in seconds, that is exceeded only within its bucket; 0 without calls, infinite
  // beyond the last bound. q in [0, 1].
  ATTUNE_EXPORT double quantile(double q) const noexcept;
};

// Counted since the recommender was opened. Each number is exact; they are read one after the other while calls go on.
struct RecommenderStats {
  RecommenderInfo info;
  std::array<LatencyHistogram, kNumOperations> latencies{};  // by Operation
  std::array<std::uint64_t, 3> events{};                     // by Observed
  std::array<std::uint64_t, 6> answers{};                    // of recommend*, by Source
  std::uint64_t short_answers = 0;                           // of those, with fewer than k items
  std::uint64_t failed_reloads = 0;
};

// The text format of Prometheus (version 0.0.4), every name beginning with `prefix` and "_".
ATTUNE_EXPORT std::string to_prometheus(const RecommenderStats& stats, std::string_view prefix = "attune");

}  // namespace attune::inline v0_1
