// SPDX-License-Identifier: Apache-2.0
#pragma once

// What AVX2 and AVX-512 do alike with eight vectors of eight floats.

#include <immintrin.h>

#include <cstddef>

namespace attune::inline v0_1::detail {
namespace {

// to[j][i] = from[i][j] for a square block of kBlock.
inline constexpr std::size_t kBlock = 8;
inline void transpose_block(float* to, std::size_t to_stride, const float* from, std::size_t from_stride) {
  __m256 quarter[8];  // [i + 4 h]: columns 4 h .. 4 h + 3 of rows i and i + 4, one in each half
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t h = 0; h < 2; ++h) {
      const __m128 low = _mm_loadu_ps(from + i * from_stride + 4 * h);
      const __m128 high = _mm_loadu_ps(from + (i + 4) * from_stride + 4 * h);
      quarter[i + 4 * h] = _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
    }
  }
  for (std::size_t h = 0; h < 2; ++h) {
    const __m256* q = quarter + 4 * h;
    float* out = to + 4 * h * to_stride;
    const __m256 a = _mm256_unpacklo_ps(q[0], q[1]), b = _mm256_unpackhi_ps(q[0], q[1]);
    const __m256 c = _mm256_unpacklo_ps(q[2], q[3]), d = _mm256_unpackhi_ps(q[2], q[3]);
    _mm256_storeu_ps(out, _mm256_shuffle_ps(a, c, _MM_SHUFFLE(1, 0, 1, 0)));
    _mm256_storeu_ps(out + to_stride, _mm256_shuffle_ps(a, c, _MM_SHUFFLE(3, 2, 3, 2)));
    _mm256_storeu_ps(out + 2 * to_stride, _mm256_shuffle_ps(b, d, _MM_SHUFFLE(1, 0, 1, 0)));
    _mm256_storeu_ps(out + 3 * to_stride, _mm256_shuffle_ps(b, d, _MM_SHUFFLE(3, 2, 3, 2)));
  }
}

// Lane r of the result is the sum of the eight lanes of rows[r], folded as l + (l + 4), l + (l + 2), l + (l + 1).
inline __m256 fold_eight(const __m256 (&rows)[8]) {
  __m256 fours[4];  // row r in the lower half, row r + 4 in the upper
  for (std::size_t r = 0; r < 4; ++r) {
    fours[r] = _mm256_add_ps(_mm256_permute2f128_ps(rows[r], rows[r + 4], 0x20),
                             _mm256_permute2f128_ps(rows[r], rows[r + 4], 0x31));
  }
  __m256 twos[2];
  for (std::size_t r = 0; r < 2; ++r) {
    const __m256 a = fours[2 * r], b = fours[2 * r + 1];
    twos[r] = _mm256_add_ps(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 1, 0)),
                            _mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 2, 3, 2)));
  }
  return _mm256_add_ps(_mm256_shuffle_ps(twos[0], twos[1], _MM_SHUFFLE(2, 0, 2, 0)),
                       _mm256_shuffle_ps(twos[0], twos[1], _MM_SHUFFLE(3, 1, 3, 1)));
}

}  // namespace
}  // namespace attune::inline v0_1::detail
