// SPDX-License-Identifier: Apache-2.0
#pragma once

// Counters of a recommender: written by every call, so that each thread keeps to a few cache lines of its own; added up
// when somebody reads.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>

#include "attune/serving/telemetry.hpp"

namespace attune::inline v0_1 {

class Meters {
 public:
  using Clock = std::chrono::steady_clock;

  void finished(Operation operation, Clock::duration took) noexcept;
  void observed(Observed outcome) noexcept { add(shard().events[static_cast<std::size_t>(outcome)]); }
  void answered(Source source, bool short_of_k) noexcept {
    add(shard().answers[static_cast<std::size_t>(source)]);
    if (short_of_k) add(shard().short_answers);
  }
  void reload_failed() noexcept { add(shard().failed_reloads); }

  // Adds what was counted so far to the numbers of `stats`.
  void read(RecommenderStats& stats) const noexcept;

 private:
  using Counter = std::atomic<std::uint64_t>;
  struct Latency {
    std::array<Counter, LatencyHistogram::kBounds + 1> counts{};
    Counter nanoseconds{};
  };
  struct alignas(64) Shard {
    std::array<Latency, kNumOperations> latencies{};
    std::array<Counter, 3> events{};
    std::array<Counter, 6> answers{};
    Counter short_answers{}, failed_reloads{};
  };
  static constexpr std::size_t kShards = 16;

  static void add(Counter& counter, std::uint64_t count = 1) noexcept {
    counter.fetch_add(count, std::memory_order_relaxed);
  }
  Shard& shard() noexcept { return shards_[std::hash<std::thread::id>{}(std::this_thread::get_id()) % kShards]; }

  std::array<Shard, kShards> shards_{};
};

}  // namespace attune::inline v0_1
