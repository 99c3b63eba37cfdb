// SPDX-License-Identifier: Apache-2.0
#pragma once

// Panels of B for matmul.hpp: kTileColumns columns side by side, [depth][kTileColumns]. Beyond the last column, zeros
// fill its vector.

#include "kernels/generic/vectors.hpp"

namespace attune::inline v0_1::detail {
namespace {

inline constexpr std::size_t kTileColumns = kTileVectors * Vec::kWidth;
inline constexpr float kZeros[kBlock] = {};

// From b [depth, columns], columns <= kTileColumns.
inline void pack_panel(float* panel, const float* b, std::size_t ldb, std::size_t depth, std::size_t columns) {
  for (std::size_t p = 0; p < depth; ++p, panel += kTileColumns, b += ldb) {
    if (columns == kTileColumns) {
      unroll<kTileVectors>([&](auto v) { Vec::load(b + v * Vec::kWidth).store(panel + v * Vec::kWidth); });
    } else {
      for_each_vector(columns, [&](std::size_t j, auto lanes) { Vec(lanes.load(b + j)).store(panel + j); });
    }
  }
}

// From b [columns, depth], columns <= kTileColumns.
inline void pack_panel_transposed(float* panel, const float* b, std::size_t ldb, std::size_t depth,
                                  std::size_t columns) {
  const std::size_t padded = (columns + Vec::kWidth - 1) / Vec::kWidth * Vec::kWidth, whole = depth / kBlock * kBlock;
  for (std::size_t j = 0; j < padded; j += kBlock) {
    float* to = panel + j;
    const std::size_t left = columns > j ? columns - j : 0;
    if (left >= kBlock) {
      const float* from = b + j * ldb;
      for (std::size_t p = 0; p < whole; p += kBlock) {
        transpose_block(to + p * kTileColumns, kTileColumns, [&](std::size_t i) { return from + i * ldb + p; });
      }
    } else {
      for (std::size_t p = 0; p < whole; p += kBlock) {
        transpose_block(to + p * kTileColumns, kTileColumns,
                        [&](std::size_t i) { return i < left ? b + (j + i) * ldb + p : kZeros; });
      }
    }
    for (std::size_t p = whole; p < depth; ++p) {
      for (std::size_t i = 0; i < kBlock; ++i) to[p * kTileColumns + i] = i < left ? b[(j + i) * ldb + p] : 0.0f;
    }
  }
}

}  // namespace
}  // namespace attune::inline v0_1::detail
