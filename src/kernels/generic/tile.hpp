// SPDX-License-Identifier: Apache-2.0
#pragma once

// The core of every matrix product: C in tiles of kTileRows x kTileColumns that stay in registers while the inner index
// runs over a chunk. The columns of B come in panels (pack.hpp); A is read in place, an element at a time.

#include "kernels/generic/pack.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct Matrix {
  const float* data;
  std::size_t ld;
};
enum class Order { as_stored, transposed };

template <Order kOrder>
inline const float* at(Matrix x, std::size_t row, std::size_t column) {
  return kOrder == Order::as_stored ? x.data + row * x.ld + column : x.data + column * x.ld + row;
}

// What will be packed next, [depth, columns]: asked for while something else is multiplied. Packing reads little of
// each row, which no CPU foresees: weights that lie in no near cache would be waited for.
struct Ahead {
  static constexpr bool kSome = true;
  Matrix b;
  void ask(std::size_t p) const {
    constexpr std::size_t kLine = 64 / sizeof(float);
    for (std::size_t j = 0; j < kTileColumns; j += kLine) __builtin_prefetch(b.data + p * b.ld + j);
  }
  void next_panel() { b.data += kTileColumns; }
};
struct NothingAhead {
  static constexpr bool kSome = false;
  void ask(std::size_t) const {}
  void next_panel() {}
};

// c [kRows, columns] (+)= a [kRows, depth] * panel, columns <= kVectors vectors.
template <std::size_t kRows, std::size_t kVectors, Order kOrderA, class Next = NothingAhead>
void tile(float* c, std::size_t ldc, Matrix a, const float* panel, std::size_t depth, std::size_t columns,
          bool accumulate, Next next = {}) {
  Vec sums[kRows][kVectors];
  unroll<kRows>([&](auto r) { unroll<kVectors>([&](auto v) { sums[r][v] = Vec::zero(); }); });
  for (std::size_t p = 0; p < depth; ++p, panel += kTileColumns) {
    Vec b[kVectors];
    unroll<kVectors>([&](auto v) { b[v] = Vec::load(panel + v * Vec::kWidth); });
    next.ask(p);
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
template <std::size_t kRows, Order kOrderA, class Next = NothingAhead>
void tiles(float* c, std::size_t ldc, Matrix a, const float* panel, std::size_t depth, std::size_t columns,
           bool accumulate, Next next = {}) {
  for (; columns > 0; c += kTileColumns, panel += depth * kTileColumns) {
    const std::size_t width = smaller(columns, kTileColumns);
    if (kTileVectors > 1 && width <= Vec::kWidth) {
      tile<kRows, 1, kOrderA>(c, ldc, a, panel, depth, width, accumulate, next);
    } else {
      tile<kRows, kTileVectors, kOrderA>(c, ldc, a, panel, depth, width, accumulate, next);
    }
    columns -= width;
    next.next_panel();
  }
}

// Calls body(i, rows) for the row tiles of m rows: rows is kTileRows, as a constant, while that many are left.
template <class Body>
[[gnu::always_inline]] inline void for_row_tiles(std::size_t m, Body body) {
  std::size_t i = 0;
  const auto tiles_of = [&](auto rows) {
    for (; i + rows <= m; i += rows) body(i, rows);
  };
  tiles_of(Index<kTileRows>{});
  tiles_of(Index<(kTileRows > 4 ? 4 : 2)>{});
  tiles_of(Index<2>{});
  tiles_of(Index<1>{});
}

// c [m, columns] (+)= a [m, depth] * all panels. The first rows ask for what comes next.
template <Order kOrderA, class Next>
void chunk(float* c, std::size_t ldc, Matrix a, const float* panels, std::size_t m, std::size_t depth,
           std::size_t columns, bool accumulate, Next next) {
  for_row_tiles(m, [&](std::size_t i, auto rows) {
    const Matrix a_rows{at<kOrderA>(a, i, 0), a.ld};
    if (Next::kSome && i == 0) {
      tiles<rows, kOrderA>(c, ldc, a_rows, panels, depth, columns, accumulate, next);
    } else {
      tiles<rows, kOrderA>(c + i * ldc, ldc, a_rows, panels, depth, columns, accumulate);
    }
  });
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

}  // namespace
}  // namespace attune::inline v0_1::detail
