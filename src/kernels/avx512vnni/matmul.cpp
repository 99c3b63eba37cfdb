// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx512vnni/rounded_matmul.hpp"
#include "kernels/families.hpp"

namespace attune::inline v0_1::detail {
namespace {

// Two products and two additions per lane of a vector and instruction, against one of each in float.
struct DotProducts {
  struct Use {};
  static constexpr std::size_t kRows = 8;  // at a time: 16 sums, 2 vectors of the right operand, a pair of the left

  static void multiply(float* c, std::size_t ldc, const Bfloat16* left, const Bfloat16* right, std::size_t steps,
                       std::size_t rows, std::size_t columns, bool accumulate) {
    for (std::size_t i = 0; i < rows; i += kRows) {
      const Bfloat16* from = left + i / kTileSide * steps * kTileSize + i % kTileSide * kTileDepth;
      const std::size_t some = fewer(kRows, rows - i);
      if (columns > kTileSide) {
        some_rows<2>(c + i * ldc, ldc, from, right, steps, some, columns, accumulate);
      } else {
        some_rows<1>(c + i * ldc, ldc, from, right, steps, some, columns, accumulate);
      }
    }
  }

 private:
  template <std::size_t kTiles>
  static void some_rows(float* c, std::size_t ldc, const Bfloat16* left, const Bfloat16* right, std::size_t steps,
                        std::size_t rows, std::size_t columns, bool accumulate) {
    __m512 sums[kRows][kTiles];
    unroll<kRows>([&](auto r) { unroll<kTiles>([&](auto t) { sums[r][t] = _mm512_setzero_ps(); }); });
    const Bfloat16* const end = right + steps * kTileSize;
    for (const std::size_t next_tile = steps * kTileSize; right < end; left += kTileSize - kTileDepth) {
      for (std::size_t pair = 0; pair < kTileSide; ++pair, left += 2, right += kTileDepth) {
        __m512i b[kTiles];
        unroll<kTiles>([&](auto t) { b[t] = _mm512_loadu_si512(right + t * next_tile); });
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

void attune::detail::avx512vnni::fill_matmul(KernelTable<float>& table) { set_rounded_matmul<DotProducts>(table); }
