// SPDX-License-Identifier: Apache-2.0
#pragma once

// One or two rows times a matrix, reading the matrix once where it lies.

#include "kernels/generic/vectors.hpp"

namespace attune::inline v0_1::detail {
namespace {

// in_order adds the products one after the other, as the tiles of a product do (tile.hpp). split keeps about eight
// additions under way even where few columns are left: product p goes to sum p % kSplits.
enum class Sums : bool { in_order, split };

// Rows of a matrix that are read: `stride` from one element of a row to the next, `ld` from one row to the next.
struct Rows {
  const float* data;
  std::size_t ld, stride;
};

// The rows from kFirst on of sums += column p of a times `row`, the row p of b.
template <std::size_t kFirst = 0, std::size_t kRows, std::size_t kVectors, class S, class Lanes>
[[gnu::always_inline]] inline void add_products(Vec (&sums)[kRows][kVectors], Rows a, const S* row, std::size_t p,
                                                Lanes lanes) {
  Vec x[kRows];
  unroll<kRows, kFirst>([&](auto r) { x[r] = Vec::broadcast(a.data[r * a.ld + p * a.stride]); });
  unroll<kVectors>([&](auto v) {
    const Vec column = lanes.load(row + v * Vec::kWidth);
    unroll<kRows, kFirst>([&](auto r) { sums[r][v] = fma(x[r], column, sums[r][v]); });
  });
}

// kVectors vectors of c [kRows, ...] (+)= a [kRows, k] * b [k, ...]; the last row of a has `extra` columns more, 0
// or 1. The bits of a row do not depend on kRows and kVectors.
template <std::size_t kRows, std::size_t kVectors, std::size_t kSplits, class S, class Lanes>
inline void row_tile(float* c, std::size_t ldc, Rows a, const S* b, std::size_t ldb, std::size_t k, std::size_t extra,
                     bool accumulate, Lanes lanes) {
  Vec sums[kSplits][kRows][kVectors];
  unroll<kSplits>(
      [&](auto s) { unroll<kRows>([&](auto r) { unroll<kVectors>([&](auto v) { sums[s][r][v] = Vec::zero(); }); }); });
  std::size_t p = 0;
  for (; p + kSplits <= k; p += kSplits) {
    unroll<kSplits>([&](auto s) { add_products(sums[s], a, b + (p + s) * ldb, p + s, lanes); });
  }
  unroll<kSplits>([&](auto s) {
    if (p + s < k) {
      add_products(sums[s], a, b + (p + s) * ldb, p + s, lanes);
    } else if (p + s < k + extra) {
      add_products<kRows - 1>(sums[s], a, b + (p + s) * ldb, p + s, lanes);
    }
  });
  unroll<kRows>([&](auto r) {
    unroll<kVectors>([&](auto v) {
      Vec total = sums[0][r][v];
      unroll<kSplits - 1>([&](auto s) { total = total + sums[s + 1][r][v]; });
      float* to = c + r * ldc + v * Vec::kWidth;
      lanes.store(to, accumulate ? lanes.load(to) + total : total);
    });
  });
}

// c [kRows, n] (+)= a [kRows, k] * b [k, n], with `extra` as above.
template <std::size_t kRows, Sums kSums, class S>
void row_product(float* c, std::size_t ldc, Rows a, const S* b, std::size_t ldb, std::size_t n, std::size_t k,
                 std::size_t extra, bool accumulate) {
  std::size_t j = 0;
  const auto tiles_of = [&](auto vectors) {
    constexpr std::size_t kSplits = kSums == Sums::in_order || vectors >= 8 ? 1 : vectors == 4 ? 2 : 4;
    // As many sums as there are registers for.
    constexpr bool kHalf = kRows * vectors * kSplits > kRowSums;
    constexpr std::size_t kTogether = kHalf ? vectors / 2 : vectors, kColumns = kTogether * Vec::kWidth;
    for (; j + vectors * Vec::kWidth <= n; j += vectors * Vec::kWidth) {
      row_tile<kRows, kTogether, kSplits>(c + j, ldc, a, b + j, ldb, k, extra, accumulate, Whole{});
      if constexpr (kHalf) {
        row_tile<kRows, kTogether, kSplits>(c + j + kColumns, ldc, a, b + j + kColumns, ldb, k, extra, accumulate,
                                            Whole{});
      }
    }
  };
  tiles_of(Index<8>{});
  tiles_of(Index<4>{});
  tiles_of(Index<2>{});
  tiles_of(Index<1>{});
  constexpr std::size_t kSplits = kSums == Sums::in_order ? 1 : 4;
  if (j < n) row_tile<kRows, 1, kSplits>(c + j, ldc, a, b + j, ldb, k, extra, accumulate, First{n - j});
}

}  // namespace
}  // namespace attune::inline v0_1::detail
