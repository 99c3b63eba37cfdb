// SPDX-License-Identifier: Apache-2.0
#pragma once

// Products of bfloat16 tiles by the dot products of pairs in AVX-512: twice the products of float in an instruction.

#include "kernels/avx512vnni/bfloat16.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct DotProducts {
  struct Use {};

  static void multiply(float* c, std::size_t ldc, Operand left, Operand right, std::size_t steps, std::size_t rows,
                       std::size_t columns, bool accumulate) {
    for (std::size_t i = 0; i < rows; i += kRows) {
      const Bfloat16* from = (i < kTileSide ? left.first : left.second) + i % kTileSide * kTileDepth;
      const std::size_t some = fewer(kRows, rows - i);
      if (columns > kTileSide) {
        some_rows<2>(c + i * ldc, ldc, from, right, steps, some, columns, accumulate);
      } else {
        some_rows<1>(c + i * ldc, ldc, from, right, steps, some, columns, accumulate);
      }
    }
  }

  // All is done at the end of a block.
  static void begin_block(const float*, Operand, Operand, std::size_t) {}
  static void end_block(float* c, const float* start, Operand left, Operand right, std::size_t steps) {
    for (std::size_t i = 0; i < kBlockSide; ++i)
      __builtin_memcpy(c + i * kBlockSide, start, kBlockSide * sizeof(float));
    multiply(c, kBlockSide, left, right, steps, kBlockSide, kBlockSide, true);
  }

 private:
  static constexpr std::size_t kRows = 8;  // at a time: 16 sums, 2 vectors of the right operand, a pair of the left

  template <std::size_t kTiles>
  static void some_rows(float* c, std::size_t ldc, const Bfloat16* left, Operand right, std::size_t steps,
                        std::size_t rows, std::size_t columns, bool accumulate) {
    __m512 sums[kRows][kTiles];
    unroll<kRows>([&](auto r) { unroll<kTiles>([&](auto t) { sums[r][t] = _mm512_setzero_ps(); }); });
    const Bfloat16* lines[2] = {right.first, right.second};
    for (std::size_t s = 0; s < steps; ++s, left += kTileSize - kTileDepth) {
      for (std::size_t pair = 0; pair < kTileSide; ++pair, left += 2) {
        __m512i b[kTiles];
        unroll<kTiles>([&](auto t) {
          b[t] = _mm512_loadu_si512(lines[t]);
          lines[t] += kTileDepth;
        });
        unroll<kRows>([&](auto r) {
          const __m512i a = broadcast_pair(left + r * kTileDepth);
          unroll<kTiles>([&](auto t) { sums[r][t] = dot_product(sums[r][t], a, b[t]); });
        });
      }
    }
    unroll<kRows>([&](auto r) {
      if (r < rows) {
        unroll<kTiles>([&](auto t) {
          const __mmask16 lanes = first_lanes(columns - t * kTileSide);
          float* to = c + r * ldc + t * kTileSide;
          __m512 sum = sums[r][t];
          if (accumulate) sum = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, to), sum);
          _mm512_mask_storeu_ps(to, lanes, sum);
        });
      }
    });
  }

  static __m512i broadcast_pair(const Bfloat16* pair) {
    std::int32_t bits;
    __builtin_memcpy(&bits, pair, sizeof(bits));
    return _mm512_set1_epi32(bits);
  }
  static __m512 dot_product(__m512 sum, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
};

}  // namespace
}  // namespace attune::inline v0_1::detail
