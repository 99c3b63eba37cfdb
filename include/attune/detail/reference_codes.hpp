// SPDX-License-Identifier: Apache-2.0
#pragma once

// Bounds of rows in codes as the formulas say them: part of reference_kernels.hpp.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "attune/detail/kernel_table.hpp"

namespace attune::inline v0_1::detail::reference {

// Element i of row r in a block.
template <unsigned kBits>
int code_of(const std::uint8_t* block, std::size_t r, std::size_t i) {
  if constexpr (kBits == 8) {
    return block[(i / 4 * kCodedGroup + r) * 4 + i % 4];
  } else {
    const int pair = block[(i / 8 * kCodedGroup + r) * 4 + i % 4];
    return i % 8 < 4 ? pair & 15 : pair >> 4;
  }
}

template <unsigned kBits, class T>
void bound_rows(T* bounds, std::uint64_t* passed, const CodedQuery<T>& query, const std::uint8_t* blocks,
                const T* norms, const T* additive, T threshold, std::size_t count, const std::uint8_t* = nullptr) {
  const std::size_t code_bytes = kCodedGroup * query.width * kBits / 8;
  std::fill_n(passed, (count + 63) / 64, std::uint64_t{0});
  for (std::size_t row = 0; row < count; ++row) {
    const std::size_t r = row % kCodedGroup;
    const std::uint8_t* block = blocks + row / kCodedGroup * (code_bytes + 2 * kCodedGroup);
    std::int32_t sum = query.offset;
    for (std::size_t i = 0; i < query.width; ++i) sum += query.codes[i] * code_of<kBits>(block, r, i);
    const T alpha = block[code_bytes + r], rho = block[code_bytes + kCodedGroup + r];
    const T w = query.unit * (alpha * static_cast<T>(std::max(sum, 0)));
    const T u = w + rho * (query.reach - query.slope * w) + query.rest;
    bounds[row] = query.scale * (norms ? u * norms[row] : u) + (additive ? additive[row] : T(0));
    if (bounds[row] >= threshold) passed[row / 64] |= std::uint64_t{1} << (row % 64);
  }
}

}  // namespace attune::inline v0_1::detail::reference
