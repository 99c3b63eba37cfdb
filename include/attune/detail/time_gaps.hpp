// SPDX-License-Identifier: Apache-2.0
#pragma once

// Gaps in time as numbers of log-spaced buckets: 0 below 1.35 s, each bucket e^0.301 = 1.35 times as wide as the one
// before (Zhai et al. 2024). Immutable, safe from any thread.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1::detail {

class TimeGaps {
 public:
  // Buckets 0 ... buckets - 1; longer gaps are in the last one. Precondition: 1 <= buckets <= 256.
  explicit TimeGaps(std::size_t buckets) {
    constexpr double kWidth = 0.301, kMilliseconds = 1000.0, kLongest = 9e18;
    for (std::size_t b = 1; b < buckets; ++b) {
      const double start = std::ceil(kMilliseconds * std::exp(kWidth * static_cast<double>(b)));
      starts_.push_back(static_cast<Timestamp>(start < kLongest ? start : kLongest));
    }
  }

  // gaps[j] of |at - times[j]|, j < n; the bucket is 0 where either time is unknown. Histories are ordered in time, so
  // that the search mostly stays where it is.
  void fill(std::uint8_t* gaps, Timestamp at, const Timestamp* times, std::size_t n) const noexcept {
    std::size_t bucket = 0;
    for (std::size_t j = 0; j < n; ++j) {
      const std::uint64_t gap = distance(at, times[j]);
      while (bucket < starts_.size() && gap >= static_cast<std::uint64_t>(starts_[bucket])) ++bucket;
      while (bucket > 0 && gap < static_cast<std::uint64_t>(starts_[bucket - 1])) --bucket;
      gaps[j] = static_cast<std::uint8_t>(bucket);
    }
  }

 private:
  static std::uint64_t distance(Timestamp a, Timestamp b) noexcept {
    if (a == kNoTime || b == kNoTime) return 0;
    const auto x = static_cast<std::uint64_t>(a), y = static_cast<std::uint64_t>(b);
    return a > b ? x - y : y - x;
  }

  std::vector<Timestamp> starts_;  // of bucket b + 1, in milliseconds
};

}  // namespace attune::inline v0_1::detail
