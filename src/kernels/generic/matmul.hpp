// SPDX-License-Identifier: Apache-2.0
#pragma once

// Matrix products. C is computed in tiles of kTileRows x kTileColumns that stay in registers while the inner index runs
// over a chunk. The columns of B that a tile needs are first copied together into a panel, so that rows of B a power of
// two apart do not evict each other; the copy is also where B is transposed. A is read in place, an element at a time.
// A few rows of C go without the copy (row_product.hpp).

#include "kernels/generic/pack.hpp"
#include "kernels/generic/row_product.hpp"

namespace attune::inline v0_1::detail {
namespace {

inline constexpr std::size_t kPanelFloats = 4096;  // panels kept at once: half of a small first-level cache
inline constexpr std::size_t kMaxDepth = kPanelFloats / kTileColumns;
inline constexpr std::size_t kFewRows = 4;

struct Matrix {
  const float* data;
  std::size_t ld;
};
enum class Order { as_stored, transposed };

template <Order kOrder>
inline const float* at(Matrix x, std::size_t row, std::size_t column) {
  return kOrder == Order::as_stored ? x.data + row * x.ld + column : x.data + column * x.ld + row;
}

// c [kRows, columns] (+)= a [kRows, depth] * panel, columns <= kVectors vectors.
template <std::size_t kRows, std::size_t kVectors, Order kOrderA>
void tile(float* c, std::size_t ldc, Matrix a, const float* panel, std::size_t depth, std::size_t columns,
          bool accumulate) {
  Vec sums[kRows][kVectors];
  unroll<kRows>([&](auto r) { unroll<kVectors>([&](auto v) { sums[r][v] = Vec::zero(); }); });
  for (std::size_t p = 0; p < depth; ++p, panel += kTileColumns) {
    Vec b[kVectors];
    unroll<kVectors>([&](auto v) { b[v] = Vec::load(panel + v * Vec::kWidth); });
    unroll<kRows>([&](auto r) {
      const Vec x = Vec::broadcast(*at<kOrderA>(a, r, p));
      unroll<kVectors>([&](auto v) { sums[r][v] = fma(x, b[v], sums[r][v]); });
    });
  }
  const auto put = [&](float* to, Vec value, auto lanes) {
    lanes.store(to, accumulate ? lanes.load(to) + value : value);
  };
  constexpr std::size_t kLast = kVectors - 1;
  const std::size_t left = columns - kLast * Vec::kWidth;
  unroll<kRows>([&](auto r) {
    float* to = c + r * ldc;
    unroll<kLast>([&](auto v) { put(to + v * Vec::kWidth, sums[r][v], Whole{}); });
    if (left == Vec::kWidth) {
      put(to + kLast * Vec::kWidth, sums[r][kLast], Whole{});
    } else {
      put(to + kLast * Vec::kWidth, sums[r][kLast], First{left});
    }
  });
}

// c [kRows, columns] (+)= a [kRows, depth] * all panels.
template <std::size_t kRows, Order kOrderA>
void tiles(float* c, std::size_t ldc, Matrix a, const float* panel, std::size_t depth, std::size_t columns,
           bool accumulate) {
  for (; columns > 0; c += kTileColumns, panel += depth * kTileColumns) {
    const std::size_t width = smaller(columns, kTileColumns);
    if (kTileVectors > 1 && width <= Vec::kWidth) {
      tile<kRows, 1, kOrderA>(c, ldc, a, panel, depth, width, accumulate);
    } else {
      tile<kRows, kTileVectors, kOrderA>(c, ldc, a, panel, depth, width, accumulate);
    }
    columns -= width;
  }
}

// c [m, columns] (+)= a [m, depth] * all panels.
template <Order kOrderA>
void chunk(float* c, std::size_t ldc, Matrix a, const float* panels, std::size_t m, std::size_t depth,
           std::size_t columns, bool accumulate) {
  std::size_t i = 0;
  const auto rows_of = [&](auto rows) {
    for (; i + rows <= m; i += rows) {
      tiles<rows, kOrderA>(c + i * ldc, ldc, {at<kOrderA>(a, i, 0), a.ld}, panels, depth, columns, accumulate);
    }
  };
  rows_of(Index<kTileRows>{});
  rows_of(Index<(kTileRows > 4 ? 4 : 2)>{});
  rows_of(Index<2>{});
  rows_of(Index<1>{});
}

// panels: all of b [depth, columns].
template <Order kOrderB>
void pack(float* panels, Matrix b, std::size_t depth, std::size_t columns) {
  for (std::size_t j = 0; j < columns; j += kTileColumns) {
    const std::size_t width = smaller(columns - j, kTileColumns);
    if constexpr (kOrderB == Order::as_stored) {
      pack_panel(panels + j * depth, at<kOrderB>(b, 0, j), b.ld, depth, width);
    } else {
      pack_panel_transposed(panels + j * depth, at<kOrderB>(b, 0, j), b.ld, depth, width);
    }
  }
}

template <Order kOrderA, Order kOrderB>
void product(float* c, std::size_t ldc, Matrix a, Matrix b, std::size_t m, std::size_t n, std::size_t k,
             bool accumulate) {
  if (k == 0 && !accumulate) {
    for (std::size_t i = 0; i < m; ++i) zero(c + i * ldc, n);
  }
  if (k == 0 || m == 0) return;
  alignas(64) float panels[kPanelFloats];
  const std::size_t chunks = (k + kMaxDepth - 1) / kMaxDepth, most_depth = (k + chunks - 1) / chunks;
  const std::size_t most_columns = kPanelFloats / (most_depth * kTileColumns) * kTileColumns;
  for (std::size_t p = 0; p < k; p += most_depth) {
    const std::size_t depth = smaller(most_depth, k - p);
    for (std::size_t j = 0; j < n; j += most_columns) {
      const std::size_t columns = smaller(most_columns, n - j);
      pack<kOrderB>(panels, {at<kOrderB>(b, p, j), b.ld}, depth, columns);
      chunk<kOrderA>(c + j, ldc, {at<kOrderA>(a, 0, p), a.ld}, panels, m, depth, columns, accumulate || p > 0);
    }
  }
}

void matmul_nn(float* c, std::size_t ldc, const float* a, std::size_t lda, const float* b, std::size_t ldb,
               std::size_t m, std::size_t n, std::size_t k, bool accumulate) {
  if (m > kFewRows) {
    return product<Order::as_stored, Order::as_stored>(c, ldc, {a, lda}, {b, ldb}, m, n, k, accumulate);
  }
  for (std::size_t i = 0; i < m; ++i) row_product(c + i * ldc, a + i * lda, 1, b, ldb, n, k, accumulate);
}

void matmul_nt(float* c, std::size_t ldc, const float* a, std::size_t lda, const float* b, std::size_t ldb,
               std::size_t m, std::size_t n, std::size_t k, bool accumulate) {
  product<Order::as_stored, Order::transposed>(c, ldc, {a, lda}, {b, ldb}, m, n, k, accumulate);
}

void matmul_tn(float* c, std::size_t ldc, const float* a, std::size_t lda, const float* b, std::size_t ldb,
               std::size_t m, std::size_t n, std::size_t k, bool accumulate) {
  if (m > kFewRows) {
    return product<Order::transposed, Order::as_stored>(c, ldc, {a, lda}, {b, ldb}, m, n, k, accumulate);
  }
  for (std::size_t i = 0; i < m; ++i) row_product(c + i * ldc, a + i, lda, b, ldb, n, k, accumulate);
}

inline void set_matmul(KernelTable<float>& table) {
  table.matmul_nn = table.rounded_nn = matmul_nn;
  table.matmul_nt = table.rounded_nt = matmul_nt;
  table.matmul_tn = table.rounded_tn = matmul_tn;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
