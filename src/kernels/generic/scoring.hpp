// SPDX-License-Identifier: Apache-2.0
#pragma once

// The scores that leave the library: the same bits on every level, so no fused multiply-add in this file.

#include "kernels/generic/vectors.hpp"

namespace attune::inline v0_1::detail {
namespace {

// folded[g]: the partial sums of row(g), after the folds that stay within a row.
template <class Row>
[[gnu::always_inline]] inline void dot_group(Folded* folded, const float* query, std::size_t dim, const Row& row) {
  constexpr std::size_t kVectors = kLanes / Vec::kWidth;
  Vec sums[kDotGroup][kVectors];
  unroll<kDotGroup>([&](auto g) { unroll<kVectors>([&](auto v) { sums[g][v] = Vec::zero(); }); });
  for (std::size_t i = 0; i < dim; i += kLanes) {
    unroll<kVectors>([&](auto v) {
      const std::size_t at = i + v * Vec::kWidth;
      const Vec q = Vec::load(query + at);
      unroll<kDotGroup>([&](auto g) { sums[g][v] = sums[g][v] + q * Vec::load(row(g) + at); });
    });
  }
  unroll<kDotGroup>([&](auto g) { folded[g] = fold_first(sums[g]); });
}

// kDotRows scores, of which `count` are wanted.
template <class Row>
[[gnu::always_inline]] inline void dot_rows_together(float* scores, const float* query, std::size_t dim,
                                                     std::size_t count, const Row& row) {
  Folded folded[kDotRows];
  unroll<kDotRows / kDotGroup>([&](auto group) {
    constexpr std::size_t kFirst = group * kDotGroup;
    dot_group(folded + kFirst, query, dim, [&](auto g) { return row(kFirst + g); });
  });
  fold_rest(scores, folded, count);
}

void dot_rows(float* scores, const float* query, const float* rows, std::size_t stride, std::size_t dim,
              std::size_t count) {
  for (; count >= kDotRows; count -= kDotRows, scores += kDotRows, rows += kDotRows * stride) {
    dot_rows_together(scores, query, dim, kDotRows, [&](std::size_t r) { return rows + r * stride; });
  }
  if (count > 0) {  // the last row stands in for those past the end
    dot_rows_together(scores, query, dim, count,
                      [&](std::size_t r) { return rows + (r < count ? r : count - 1) * stride; });
  }
}

void dot_rows_at(float* scores, const float* query, const float* rows, std::size_t stride, std::size_t dim,
                 const std::uint32_t* indices, std::size_t count) {
  for (std::size_t i = 0; i < count; i += kDotRows) {
    const std::size_t some = smaller(kDotRows, count - i), after = smaller(kDotRows, count - i - some);
    for (std::size_t r = 0; r < after; ++r) {  // the rows lie apart: ask for the next ones
      const float* next = rows + indices[i + some + r] * stride;
      for (std::size_t d = 0; d < dim; d += 16) __builtin_prefetch(next + d);
    }
    dot_rows_together(scores + i, query, dim, some,
                      [&](std::size_t r) { return rows + indices[i + (r < some ? r : some - 1)] * stride; });
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
  table.dot_rows_at = dot_rows_at;
  table.finish_scores = finish_scores;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
