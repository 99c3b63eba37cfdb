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

template <unsigned kBits>
std::int32_t sum_of(const std::int8_t* codes, std::size_t width, const std::uint8_t* block, std::size_t r) {
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < width; ++i) sum += codes[i] * code_of<kBits>(block, r, i);
  return sum;
}

template <unsigned kBits, class T>
void bound_rows(T* bounds, std::uint64_t* passed, const CodedQuery<T>& query, const std::uint8_t* blocks,
                const T* norms, const T* additive, T threshold, std::size_t count, const std::uint8_t* = nullptr) {
  const std::size_t code_bytes = kCodedGroup * query.width * kBits / 8;
  std::fill_n(passed, (count + 63) / 64, std::uint64_t{0});
  for (std::size_t row = 0; row < count; ++row) {
    const std::size_t r = row % kCodedGroup;
    const std::uint8_t* block = blocks + row / kCodedGroup * (code_bytes + 2 * kCodedGroup);
    const std::int32_t sum = query.offset + sum_of<kBits>(query.codes, query.width, block, r);
    const T alpha = block[code_bytes + r], rho = block[code_bytes + kCodedGroup + r];
    const T w = query.unit * (alpha * static_cast<T>(std::max(sum, 0)));
    const T u = w + rho * (query.reach - query.slope * w) + query.rest;
    bounds[row] = query.scale * (norms ? u * norms[row] : u) + (additive ? additive[row] : T(0));
    if (bounds[row] >= threshold) passed[row / 64] |= std::uint64_t{1} << (row % 64);
  }
}

inline std::size_t match_int8(CodedMatch* matches, const std::int8_t* codes, const std::int32_t* least,
                              std::size_t num_queries, std::size_t width, const std::uint8_t* blocks,
                              std::size_t num_blocks) {
  std::size_t found = 0;
  for (std::size_t b = 0; b < num_blocks; ++b) {
    const std::uint8_t* block = blocks + b * kCodedGroup * (width + 2);
    for (std::size_t q = 0; q < num_queries; ++q) {
      std::uint64_t rows = 0;
      for (std::size_t r = 0; r < kCodedGroup; ++r) {
        if (sum_of<8>(codes + q * width, width, block, r) >= least[q]) rows |= std::uint64_t{1} << r;
      }
      if (rows != 0) matches[found++] = {static_cast<std::uint32_t>(q), static_cast<std::uint32_t>(b), rows};
    }
  }
  return found;
}

}  // namespace attune::inline v0_1::detail::reference
