// SPDX-License-Identifier: Apache-2.0
#include "model/rotation.hpp"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "attune/detail/dropout.hpp"

namespace attune::inline v0_1 {
namespace {

// Of a power of two of elements, not scaled; two levels of butterflies at a time.
void hadamard(std::span<double> x) noexcept {
  std::size_t apart = 1;
  for (; 4 * apart <= x.size(); apart *= 4) {
    for (std::size_t first = 0; first < x.size(); first += 4 * apart) {
      for (double* at = x.data() + first; at != x.data() + first + apart; ++at) {
        const double sum = at[0] + at[apart], difference = at[0] - at[apart];
        const double next_sum = at[2 * apart] + at[3 * apart], next_difference = at[2 * apart] - at[3 * apart];
        at[0] = sum + next_sum;
        at[apart] = difference + next_difference;
        at[2 * apart] = sum - next_sum;
        at[3 * apart] = difference - next_difference;
      }
    }
  }
  for (std::size_t i = 0; apart < x.size() && i < apart; ++i) {
    const double low = x[i], high = x[i + apart];
    x[i] = low + high;
    x[i + apart] = low - high;
  }
}

}  // namespace

void rotate(std::span<double> vector) noexcept {
  if (vector.empty()) return;
  const std::size_t part = std::bit_floor(vector.size());
  const double scale = 1 / std::sqrt(static_cast<double>(part));
  const std::size_t rounds = part == vector.size() ? 2 : 4;
  for (std::size_t round = 0; round < rounds; ++round) {
    const std::span<double> block = vector.subspan(round % 2 == 0 ? 0 : vector.size() - part, part);
    std::uint64_t signs = 0;
    for (std::size_t i = 0; i < part; ++i, signs >>= 1) {
      if (i % 64 == 0) signs = detail::mix(round, i / 64);
      block[i] *= (signs & 1u) != 0 ? scale : -scale;
    }
    hadamard(block);
  }
}

}  // namespace attune::inline v0_1
