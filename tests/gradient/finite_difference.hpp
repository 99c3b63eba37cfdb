// SPDX-License-Identifier: Apache-2.0
#pragma once

// Compares hand-written gradients with finite differences, in double.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "attune/data/sequence_batch.hpp"
#include "attune/detail/dropout.hpp"

namespace attune::test {

// Values in [-scale, scale), the same for the same seed.
inline std::vector<double> random_values(std::size_t count, std::uint64_t seed, double scale = 1.0) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = scale * (static_cast<double>(detail::mix(seed, i) >> 11) * 0x1p-52 - 1.0);
  }
  return values;
}

inline double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// The largest |analytic - numeric| / (|numeric| + 1e-3) over all variables, where `numeric` is the four-point central
// difference of loss(). Infinite where an analytic value is not finite.
template <class Loss>
double gradient_error(std::span<double> variables, std::span<const double> analytic, Loss loss) {
  constexpr double kStep = 2e-4;
  double worst = 0.0;
  for (std::size_t i = 0; i < variables.size(); ++i) {
    const double at = variables[i];
    const auto moved = [&](double steps) {
      variables[i] = at + steps * kStep;
      return loss();
    };
    const double numeric = (8.0 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12.0 * kStep);
    variables[i] = at;
    if (!std::isfinite(analytic[i])) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, std::abs(analytic[i] - numeric) / (std::abs(numeric) + 1e-3));
  }
  return worst;
}

// Packed sequences of the given lengths over `num_items` items, at times some seconds apart; the last item of each is
// hidden where `hide` says so.
inline SequenceBatch packed(std::span<const std::size_t> lengths, std::size_t num_items, bool hide = false) {
  SequenceBatch batch;
  for (std::size_t s = 0; s < lengths.size(); ++s) {
    std::vector<ItemHandle> items(lengths[s]);
    std::vector<Timestamp> times(lengths[s]);
    for (std::size_t i = 0; i < items.size(); ++i) {
      items[i] = static_cast<ItemHandle>(detail::mix(s, i) % num_items);
      times[i] = static_cast<Timestamp>(1500 * i * i);
    }
    if (hide) items.back() = kNoHandle;
    batch.add_sequence({items, times}, 100 + s);
  }
  return batch;
}

}  // namespace attune::test
