// SPDX-License-Identifier: Apache-2.0
#pragma once

// Products of bfloat16 tiles in tile registers, for the bodies in kernels/avx512vnni.

#include "kernels/amx/tiles.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct TileProducts {
  using Use = TileUse;

  static void multiply(float* c, std::size_t ldc, Operand left, Operand right, std::size_t steps, std::size_t rows,
                       std::size_t columns, bool accumulate) {
    const Output to{c, ldc, rows, columns, accumulate};
    if (rows > kTileSide) {
      return columns > kTileSide ? tiles<2, 2>(to, left, right, steps) : tiles<2, 1>(to, left, right, steps);
    }
    return columns > kTileSide ? tiles<1, 2>(to, left, right, steps) : tiles<1, 1>(to, left, right, steps);
  }

  // The products of a block stay in registers until its end.
  static void begin_block(const float* start, Operand left, Operand right, std::size_t steps) {
    tile_load<0>(start, 0);
    tile_load<1>(start + kTileSide, 0);
    tile_load<2>(start, 0);
    tile_load<3>(start + kTileSide, 0);
    multiply_tiles<2, 2>(left, right, steps);
  }
  static void end_block(float* c, const float*, Operand, Operand, std::size_t) {
    constexpr std::size_t kStride = kBlockSide * sizeof(float);
    tile_store<0>(c, kStride);
    tile_store<1>(c + kTileSide, kStride);
    tile_store<2>(c + kTileSide * kBlockSide, kStride);
    tile_store<3>(c + kTileSide * kBlockSide + kTileSide, kStride);
  }

 private:
  struct Output {
    float* c;
    std::size_t ldc, rows, columns;
    bool accumulate;

    float* tile(std::size_t r, std::size_t t) const { return c + r * kTileSide * ldc + t * kTileSide; }
    bool whole(std::size_t r, std::size_t t) const {
      return rows >= (r + 1) * kTileSide && columns >= (t + 1) * kTileSide;
    }
  };

  template <std::size_t kRows, std::size_t kColumns>
  static void tiles(const Output& to, Operand left, Operand right, std::size_t steps) {
    const std::size_t stride = to.ldc * sizeof(float);
    unroll<kRows>([&](auto r) {
      unroll<kColumns>([&](auto t) {
        if (to.accumulate && to.whole(r, t)) {
          tile_load<2 * r + t>(to.tile(r, t), stride);
        } else {
          tile_zero<2 * r + t>();
        }
      });
    });
    multiply_tiles<kRows, kColumns>(left, right, steps);
    unroll<kRows>([&](auto r) {
      unroll<kColumns>([&](auto t) {
        if (to.whole(r, t)) {
          tile_store<2 * r + t>(to.tile(r, t), stride);
        } else {
          store_part<2 * r + t>(to, r, t);
        }
      });
    });
  }

  // A tile that reaches beyond C.
  template <std::size_t kTile>
  static void store_part(const Output& to, std::size_t r, std::size_t t) {
    alignas(64) float all[kTileSide * kTileSide];
    tile_store<kTile>(all, kTileSide * sizeof(float));
    const std::size_t rows = fewer(kTileSide, to.rows - r * kTileSide);
    const __mmask16 lanes = first_lanes(to.columns - t * kTileSide);
    for (std::size_t i = 0; i < rows; ++i) {
      float* row = to.tile(r, t) + i * to.ldc;
      __m512 sum = _mm512_loadu_ps(all + i * kTileSide);
      if (to.accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, row), sum);
      _mm512_mask_storeu_ps(row, lanes, sum);
    }
  }
};

}  // namespace
}  // namespace attune::inline v0_1::detail
