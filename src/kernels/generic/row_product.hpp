// SPDX-License-Identifier: Apache-2.0
#pragma once

// One or two rows times a matrix, reading the matrix once where it lies.

#include "kernels/generic/vectors.hpp"

namespace attune::inline v0_1::detail {
namespace {

// in_order adds the products one after the other, as the tiles of a product do (tile.hpp). split keeps about eight
// additions under way even where few columns are left.
enum class Sums : bool { in_order, split };

// Rows of a matrix that are read: `stride` from one element of a row to the next, `ld` from one row to the next.
struct Rows {
  const float* data;
  std::size_t ld, stride;
};

// sums += column p of a times `row`, the row p of b.
template <std::size_t kRows, std::size_t kVectors, class Lanes>
[[gnu::always_inline]] inline void add_products(Vec (&sums)[kRows][kVectors], Rows a, const float* row, std::size_t p,
                                                Lanes lanes) {
  Vec x[kRows];
  unroll<kRows>([&](auto r) { x[r] = Vec::broadcast(a.data[r * a.ld + p * a.stride]); });
  unroll<kVectors>([&](auto v) {
    const Vec column = lanes.load(row + v * Vec::kWidth);
    unroll<kRows>([&](auto r) { sums[r][v] = fma(x[r], column, sums[r][v]); });
  });
}

// kVectors vectors of c [kRows, ...] (+)= a [kRows, k] * b [k, ...]. The bits of a row do not depend on kRows.
template <std::size_t kRows, std::size_t kVectors, Sums kSums, class Lanes>
inline void row_tile(float* c, std::size_t ldc, Rows a, const float* b, std::size_t ldb, std::size_t k, bool accumulate,
                     Lanes lanes) {
  constexpr std::size_t kSplits = kSums == Sums::in_order || kVectors >= 8 ? 1 : kVectors == 4 ? 2 : 4;
  Vec sums[kSplits][kRows][kVectors];
  unroll<kSplits>(
      [&](auto s) { unroll<kRows>([&](auto r) { unroll<kVectors>([&](auto v) { sums[s][r][v] = Vec::zero(); }); }); });
  std::size_t p = 0;
  for (; p + kSplits <= k; p += kSplits) {
    unroll<kSplits>([&](auto s) { add_products(sums[s], a, b + (p + s) * ldb, p + s, lanes); });
  }
  for (; p < k; ++p) add_products(sums[0], a, b + p * ldb, p, lanes);
  unroll<kRows>([&](auto r) {
    unroll<kVectors>([&](auto v) {
      Vec total = sums[0][r][v];
      unroll<kSplits - 1>([&](auto s) { total = total + sums[s + 1][r][v]; });
      float* to = c + r * ldc + v * Vec::kWidth;
      lanes.store(to, accumulate ? lanes.load(to) + total : total);
    });
  });
}

// c [kRows, n] (+)= a [kRows, k] * b [k, n].
template <std::size_t kRows, Sums kSums>
void row_product(float* c, std::size_t ldc, Rows a, const float* b, std::size_t ldb, std::size_t n, std::size_t k,
                 bool accumulate) {
  std::size_t j = 0;
  const auto tiles_of = [&](auto vectors) {
    constexpr std::size_t kColumns = vectors * Vec::kWidth;
    for (; j + kColumns <= n; j += kColumns) {
      row_tile<kRows, vectors, kSums>(c + j, ldc, a, b + j, ldb, k, accumulate, Whole{});
    }
  };
  // A split sum of eight vectors is not that of twice four.
  if constexpr (kRows == 1 || kSums == Sums::split) tiles_of(Index<8>{});
  tiles_of(Index<4>{});
  tiles_of(Index<2>{});
  tiles_of(Index<1>{});
  if (j < n) row_tile<kRows, 1, kSums>(c + j, ldc, a, b + j, ldb, k, accumulate, First{n - j});
}

}  // namespace
}  // namespace attune::inline v0_1::detail
