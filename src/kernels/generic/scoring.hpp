// SPDX-License-Identifier: Apache-2.0
#pragma once

// The scores that leave the library: the same bits on every level, so no fused multiply-add in this file.

#include "kernels/generic/vectors.hpp"

namespace attune::inline v0_1::detail {
namespace {

// folded[g]: the partial sums of kDotGroup rows, after the folds that stay within a row.
[[gnu::always_inline]] inline void dot_group(Folded* folded, const float* query, const float* const* rows,
                                             std::size_t dim) {
  constexpr std::size_t kVectors = kLanes / Vec::kWidth;
  Vec sums[kDotGroup][kVectors];
  unroll<kDotGroup>([&](auto g) { unroll<kVectors>([&](auto v) { sums[g][v] = Vec::zero(); }); });
  for (std::size_t i = 0; i < dim; i += kLanes) {
    unroll<kVectors>([&](auto v) {
      const Vec q = Vec::load(query + i + v * Vec::kWidth);
      unroll<kDotGroup>([&](auto g) { sums[g][v] = sums[g][v] + q * Vec::load(rows[g] + i + v * Vec::kWidth); });
    });
  }
  unroll<kDotGroup>([&](auto g) { folded[g] = fold_first(sums[g]); });
}

void dot_rows(float* scores, const float* query, const float* rows, std::size_t stride, std::size_t dim,
              std::size_t count) {
  for (std::size_t first = 0; first < count; first += kDotRows) {
    const std::size_t left = count - first < kDotRows ? count - first : kDotRows;
    const float* row[kDotRows];  // past the end the last row again
    unroll<kDotRows>([&](auto r) { row[r] = rows + (first + (r < left ? r : left - 1)) * stride; });
    Folded folded[kDotRows];
    unroll<kDotRows / kDotGroup>([&](auto g) { dot_group(folded + g * kDotGroup, query, row + g * kDotGroup, dim); });
    fold_rest(scores + first, folded, left);
  }
}

std::uint64_t finish_scores(float* scores, float scale, const float* additive, float threshold, std::size_t count) {
  const Vec factor = Vec::broadcast(scale), least = Vec::broadcast(threshold);
  std::uint64_t passed = 0;
  for_each_vector(count, [&](std::size_t i, auto lanes) {
    const Vec term = additive ? lanes.load(additive + i) : Vec::zero();
    const Vec score = factor * lanes.load(scores + i) + term;
    lanes.store(scores + i, score);
    passed |= at_least(score, least) << i;
  });
  return count < 64 ? passed & ((std::uint64_t{1} << count) - 1) : passed;
}

void set_scoring(KernelTable<float>& table) {
  table.dot_rows = dot_rows;
  table.finish_scores = finish_scores;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
