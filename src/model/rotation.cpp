// SPDX-License-Identifier: Apache-2.0
#include "model/rotation.hpp"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "attune/detail/dropout.hpp"

namespace attune::inline v0_1 {
namespace {

// Of a power of two of elements, not scaled.
void hadamard(std::span<double> x) noexcept {
  for (std::size_t half = 1; half < x.size(); half *= 2) {
    for (std::size_t first = 0; first < x.size(); first += 2 * half) {
      double *const low = x.data() + first, *const high = low + half;
      for (std::size_t i = 0; i < half; ++i) {
        const double a = low[i], b = high[i];
        low[i] = a + b;
        high[i] = a - b;
      }
    }
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
    for (std::size_t i = 0; i < part; ++i) {
      const std::uint64_t signs = detail::mix(round, i / 64);
      block[i] *= (signs >> (i % 64) & 1u) != 0 ? scale : -scale;
    }
    hadamard(block);
  }
}

}  // namespace attune::inline v0_1
