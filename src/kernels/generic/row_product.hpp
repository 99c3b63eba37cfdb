// SPDX-License-Identifier: Apache-2.0
#pragma once

// One row times a matrix, reading the matrix once where it lies.

#include "kernels/generic/vectors.hpp"

namespace attune::inline v0_1::detail {
namespace {

// in_order adds the products one after the other, as the tiles of a product do (tile.hpp). split keeps about eight
// additions under way even where few columns are left.
enum class Sums : bool { in_order, split };

// kVectors vectors of c (+)= a [k] * b [k, ...].
template <std::size_t kVectors, Sums kSums, class Lanes>
inline void row_tile(float* c, const float* a, std::size_t a_stride, const float* b, std::size_t ldb, std::size_t k,
                     bool accumulate, Lanes lanes) {
  constexpr std::size_t kSplits = kSums == Sums::in_order || kVectors >= 8 ? 1 : kVectors == 4 ? 2 : 4;
  Vec sums[kSplits][kVectors];
  unroll<kSplits>([&](auto s) { unroll<kVectors>([&](auto v) { sums[s][v] = Vec::zero(); }); });
  std::size_t p = 0;
  for (; p + kSplits <= k; p += kSplits) {
    unroll<kSplits>([&](auto s) {
      const Vec x = Vec::broadcast(a[(p + s) * a_stride]);
      const float* row = b + (p + s) * ldb;
      unroll<kVectors>([&](auto v) { sums[s][v] = fma(x, lanes.load(row + v * Vec::kWidth), sums[s][v]); });
    });
  }
  for (; p < k; ++p) {
    const Vec x = Vec::broadcast(a[p * a_stride]);
    unroll<kVectors>([&](auto v) { sums[0][v] = fma(x, lanes.load(b + p * ldb + v * Vec::kWidth), sums[0][v]); });
  }
  unroll<kVectors>([&](auto v) {
    Vec total = sums[0][v];
    unroll<kSplits - 1>([&](auto s) { total = total + sums[s + 1][v]; });
    float* to = c + v * Vec::kWidth;
    lanes.store(to, accumulate ? lanes.load(to) + total : total);
  });
}

// c [n] (+)= a [k] * b [k, n]; a is `a_stride` apart.
template <Sums kSums>
void row_product(float* c, const float* a, std::size_t a_stride, const float* b, std::size_t ldb, std::size_t n,
                 std::size_t k, bool accumulate) {
  std::size_t j = 0;
  const auto tiles_of = [&](auto vectors) {
    constexpr std::size_t kColumns = vectors * Vec::kWidth;
    for (; j + kColumns <= n; j += kColumns) {
      row_tile<vectors, kSums>(c + j, a, a_stride, b + j, ldb, k, accumulate, Whole{});
    }
  };
  tiles_of(Index<8>{});
  tiles_of(Index<4>{});
  tiles_of(Index<2>{});
  tiles_of(Index<1>{});
  if (j < n) row_tile<1, kSums>(c + j, a, a_stride, b + j, ldb, k, accumulate, First{n - j});
}

}  // namespace
}  // namespace attune::inline v0_1::detail
