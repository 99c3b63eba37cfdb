// SPDX-License-Identifier: Apache-2.0
#pragma once

// Panels of B for matmul.hpp: kTileColumns columns side by side, [depth][kTileColumns], zeros beyond the last column.

#include "kernels/generic/vectors.hpp"

namespace attune::inline v0_1::detail {
namespace {

inline constexpr std::size_t kTileColumns = kTileVectors * Vec::kWidth;

// From b [depth, columns], columns <= kTileColumns.
inline void pack_panel(float* panel, const float* b, std::size_t ldb, std::size_t depth, std::size_t columns) {
  for (std::size_t p = 0; p < depth; ++p, panel += kTileColumns, b += ldb) {
    if (columns == kTileColumns) {
      unroll<kTileVectors>([&](auto v) { Vec::load(b + v * Vec::kWidth).store(panel + v * Vec::kWidth); });
      continue;
    }
    unroll<kTileVectors>([&](auto v) { Vec::zero().store(panel + v * Vec::kWidth); });
    for_each_vector(columns, [&](std::size_t j, auto lanes) { Vec(lanes.load(b + j)).store(panel + j); });
  }
}

// From b [columns, depth], columns <= kTileColumns.
inline void pack_panel_transposed(float* panel, const float* b, std::size_t ldb, std::size_t depth,
                                  std::size_t columns) {
  std::size_t j = 0;
  for (; j + kBlock <= columns; j += kBlock) {
    std::size_t p = 0;
    for (; p + kBlock <= depth; p += kBlock) {
      transpose_block(panel + p * kTileColumns + j, kTileColumns, b + j * ldb + p, ldb);
    }
    for (; p < depth; ++p) {
      for (std::size_t i = j; i < j + kBlock; ++i) panel[p * kTileColumns + i] = b[i * ldb + p];
    }
  }
  for (; j < kTileColumns; ++j) {
    for (std::size_t p = 0; p < depth; ++p) panel[p * kTileColumns + j] = j < columns ? b[j * ldb + p] : 0.0f;
  }
}

}  // namespace
}  // namespace attune::inline v0_1::detail
