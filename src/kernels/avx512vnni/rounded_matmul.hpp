// SPDX-License-Identifier: Apache-2.0
#pragma once

// Matrix products of inputs rounded to bfloat16. A chunk of B is packed once, A two tiles high at a time. `Unit` is
// what multiplies them:
//   Unit::Use             lives while tiles are multiplied
//   Unit::multiply(...)   c [rows, columns] (+)= left * right over `steps` tiles, rows and columns <= kBlockSide

#include "attune/detail/kernel_table.hpp"
#include "kernels/avx512vnni/bfloat16.hpp"

namespace attune::inline v0_1::detail {
namespace {

inline constexpr std::size_t kMaxSteps = 8;     // of kTileDepth: 256 numbers are summed before C is written
inline constexpr std::size_t kRightTiles = 64;  // 64 KiB

enum class Stored { as_used, transposed };

template <class Unit, Stored kA, Stored kB>
struct RoundedProduct {
  // a [M, K] or, transposed, [K, M]; b [K, N] or [N, K].
  static void run(float* c, std::size_t ldc, const Floats& a, const Floats& b, bool accumulate) {
    constexpr bool kTransposedA = kA == Stored::transposed, kTransposedB = kB == Stored::transposed;
    const std::size_t m = kTransposedA ? a.columns : a.rows, n = kTransposedB ? b.rows : b.columns;
    const std::size_t k = kTransposedA ? a.rows : a.columns;
    const std::size_t chunks = pieces(k, kMaxSteps * kTileDepth);
    if (chunks == 0 && !accumulate) zero(c, ldc, m, n);
    if (chunks == 0 || m == 0) return;
    const std::size_t steps = pieces(pieces(k, chunks), kTileDepth);
    const std::size_t most_columns = kRightTiles / steps / 2 * kBlockSide;
    alignas(64) Bfloat16 right[kRightTiles * kTileSize];
    [[maybe_unused]] const typename Unit::Use use;
    for (std::size_t p = 0; p < k; p += steps * kTileDepth) {
      for (std::size_t j = 0; j < n; j += most_columns) {
        const std::size_t columns = fewer(most_columns, n - j);
        const Floats from = kTransposedB ? b.from(j, p) : b.from(p, j);
        for (std::size_t t = 0; t < pieces(columns, kTileSide); ++t) {
          pack_b(right + t * steps * kTileSize, from, t, steps);
        }
        columns_of_c(c + j, ldc, kTransposedA ? a.from(p, 0) : a.from(0, p), right, m, columns, steps,
                     accumulate || p > 0);
      }
    }
  }

 private:
  static Operand lines(const Bfloat16* tiles, std::size_t t, std::size_t steps) {
    return {tiles + t * steps * kTileSize, tiles + (t + 1) * steps * kTileSize};
  }

  static void zero(float* c, std::size_t ldc, std::size_t m, std::size_t n) {
    for (std::size_t i = 0; i < m; ++i) __builtin_memset(c + i * ldc, 0, n * sizeof(float));
  }

  // Tile t of columns, all steps.
  static void pack_b(Bfloat16* right, const Floats& b, std::size_t t, std::size_t steps) {
    for (std::size_t s = 0; s < steps; ++s, right += kTileSize) {
      if constexpr (kB == Stored::transposed) {
        pack_right_transposed(right, b.from(t * kTileSide, s * kTileDepth));
      } else {
        pack_right(right, b.from(s * kTileDepth, t * kTileSide));
      }
    }
  }

  // c [m, columns] (+)= a * right
  static void columns_of_c(float* c, std::size_t ldc, const Floats& a, const Bfloat16* right, std::size_t m,
                           std::size_t columns, std::size_t steps, bool accumulate) {
    alignas(64) Bfloat16 left[2 * kMaxSteps * kTileSize];
    for (std::size_t i = 0; i < m; i += kBlockSide) {
      const std::size_t rows = fewer(kBlockSide, m - i);
      for (std::size_t t = 0; t < pieces(rows, kTileSide); ++t) {
        for (std::size_t s = 0; s < steps; ++s) {
          Bfloat16* tile = left + (t * steps + s) * kTileSize;
          if constexpr (kA == Stored::transposed) {
            pack_left_transposed(tile, a.from(s * kTileDepth, i + t * kTileSide));
          } else {
            pack_left(tile, a.from(i + t * kTileSide, s * kTileDepth));
          }
        }
      }
      for (std::size_t j = 0; j < columns; j += kBlockSide) {
        Unit::multiply(c + i * ldc + j, ldc, lines(left, 0, steps), lines(right, j / kTileSide, steps), steps, rows,
                       fewer(kBlockSide, columns - j), accumulate);
      }
    }
  }
};

template <class Unit>
void rounded_nn(float* c, std::size_t ldc, const float* a, std::size_t lda, const float* b, std::size_t ldb,
                std::size_t m, std::size_t n, std::size_t k, bool accumulate) {
  RoundedProduct<Unit, Stored::as_used, Stored::as_used>::run(c, ldc, {a, lda, m, k}, {b, ldb, k, n}, accumulate);
}

template <class Unit>
void rounded_nt(float* c, std::size_t ldc, const float* a, std::size_t lda, const float* b, std::size_t ldb,
                std::size_t m, std::size_t n, std::size_t k, bool accumulate) {
  RoundedProduct<Unit, Stored::as_used, Stored::transposed>::run(c, ldc, {a, lda, m, k}, {b, ldb, n, k}, accumulate);
}

template <class Unit>
void rounded_tn(float* c, std::size_t ldc, const float* a, std::size_t lda, const float* b, std::size_t ldb,
                std::size_t m, std::size_t n, std::size_t k, bool accumulate) {
  RoundedProduct<Unit, Stored::transposed, Stored::as_used>::run(c, ldc, {a, lda, k, m}, {b, ldb, k, n}, accumulate);
}

template <class Unit>
void set_rounded_matmul(KernelTable<float>& table) {
  table.rounded_nn = rounded_nn<Unit>;
  table.rounded_nt = rounded_nt<Unit>;
  table.rounded_tn = rounded_tn<Unit>;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
