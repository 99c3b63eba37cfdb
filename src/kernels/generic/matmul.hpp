// SPDX-License-Identifier: Apache-2.0
#pragma once

// Matrix products. The columns of B that a tile needs are first copied together into a panel, so that rows of B a power
// of two apart do not evict each other; the copy is also where B is transposed. A few rows of C go without the copy
// (row_product.hpp), and add in the same order: the bits of a row do not depend on how many are computed together.

#include "kernels/generic/row_product.hpp"
#include "kernels/generic/tile.hpp"

namespace attune::inline v0_1::detail {
namespace {

inline constexpr std::size_t kPanelFloats = 4096;  // panels kept at once: half of a small first-level cache
inline constexpr std::size_t kMaxDepth = kPanelFloats / kTileColumns;
inline constexpr std::size_t kFewRows = 4;

// The inner index is cut into parts of one depth, the last one apart. Each part is summed for itself.
inline std::size_t depth_of_parts(std::size_t k) {
  const std::size_t parts = (k + kMaxDepth - 1) / kMaxDepth;
  return (k + parts - 1) / parts;
}

template <Order kOrderA, Order kOrderB>
void product(float* c, std::size_t ldc, Matrix a, Matrix b, std::size_t m, std::size_t n, std::size_t k,
             bool accumulate) {
  if (k == 0 && !accumulate) {
    for (std::size_t i = 0; i < m; ++i) zero(c + i * ldc, n);
  }
  if (k == 0 || m == 0) return;
  alignas(64) float panels[kPanelFloats];
  const std::size_t most_depth = depth_of_parts(k);
  const std::size_t most_columns = kPanelFloats / (most_depth * kTileColumns) * kTileColumns;
  for (std::size_t p = 0; p < k; p += most_depth) {
    const std::size_t depth = smaller(most_depth, k - p);
    for (std::size_t j = 0; j < n; j += most_columns) {
      const std::size_t columns = smaller(most_columns, n - j);
      pack<kOrderB>(panels, {at<kOrderB>(b, p, j), b.ld}, depth, columns);
      const Matrix a_columns{at<kOrderA>(a, 0, p), a.ld};
      if (kOrderB == Order::as_stored && j + 2 * most_columns <= n) {
        chunk<kOrderA>(c + j, ldc, a_columns, panels, m, depth, columns, accumulate || p > 0,
                       Ahead{{at<kOrderB>(b, p, j + most_columns), b.ld}});
      } else {
        chunk<kOrderA>(c + j, ldc, a_columns, panels, m, depth, columns, accumulate || p > 0, NothingAhead{});
      }
    }
  }
}

template <Order kOrderA>
void few_rows(float* c, std::size_t ldc, Matrix a, Matrix b, std::size_t m, std::size_t n, std::size_t k,
              bool accumulate) {
  std::size_t i = 0;
  const auto rows_of = [&](auto together) {
    for (; i + together <= m; i += together) {
      std::size_t p = 0;
      do {
        const std::size_t depth = k == 0 ? 0 : smaller(depth_of_parts(k), k - p);
        const float* const first = at<kOrderA>(a, i, p);
        const Rows rows = kOrderA == Order::as_stored ? Rows{first, a.ld, 1} : Rows{first, 1, a.ld};
        row_product<together, Sums::in_order>(c + i * ldc, ldc, rows, b.data + p * b.ld, b.ld, n, depth, 0,
                                              accumulate || p > 0);
        p += depth;
      } while (p < k);
    }
  };
  rows_of(Index<2>{});
  rows_of(Index<1>{});
}

void matmul_nn(float* c, std::size_t ldc, const float* a, std::size_t lda, const float* b, std::size_t ldb,
               std::size_t m, std::size_t n, std::size_t k, bool accumulate) {
  constexpr Order kStored = Order::as_stored;
  if (m <= kFewRows) return few_rows<kStored>(c, ldc, {a, lda}, {b, ldb}, m, n, k, accumulate);
  product<kStored, kStored>(c, ldc, {a, lda}, {b, ldb}, m, n, k, accumulate);
}

void matmul_nt(float* c, std::size_t ldc, const float* a, std::size_t lda, const float* b, std::size_t ldb,
               std::size_t m, std::size_t n, std::size_t k, bool accumulate) {
  product<Order::as_stored, Order::transposed>(c, ldc, {a, lda}, {b, ldb}, m, n, k, accumulate);
}

void matmul_tn(float* c, std::size_t ldc, const float* a, std::size_t lda, const float* b, std::size_t ldb,
               std::size_t m, std::size_t n, std::size_t k, bool accumulate) {
  if (m <= kFewRows) return few_rows<Order::transposed>(c, ldc, {a, lda}, {b, ldb}, m, n, k, accumulate);
  product<Order::transposed, Order::as_stored>(c, ldc, {a, lda}, {b, ldb}, m, n, k, accumulate);
}

void set_matmul(KernelTable<float>& table) {
  table.matmul_nn = matmul_nn;
  table.matmul_nt = matmul_nt;
  table.matmul_tn = matmul_tn;
  table.rounded_nn = matmul_nn;
  table.rounded_nt = matmul_nt;
  table.rounded_tn = matmul_tn;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
