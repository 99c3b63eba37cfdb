// SPDX-License-Identifier: Apache-2.0
#pragma once

// What AVX2 and AVX-512 do alike with eight vectors of eight floats.

#include <immintrin.h>

#include <cstddef>

#include "kernels/generic/unroll.hpp"

namespace attune::inline v0_1::detail {
namespace {

// to[j * stride + i] = row(i)[j] for i, j < kBlock.
inline constexpr std::size_t kBlock = 8;
template <class Row>
[[gnu::always_inline]] inline void transpose_block(float* to, std::size_t stride, const Row& row) {
  unroll<2>([&](auto h) {  // columns 4 h to 4 h + 3
    __m256 q[4];           // rows i and i + 4, one in each half
    unroll<4>([&](auto i) {
      const __m128 low = _mm_loadu_ps(row(i) + 4 * h), high = _mm_loadu_ps(row(i + 4) + 4 * h);
      q[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
    });
    const __m256 a = _mm256_unpacklo_ps(q[0], q[1]), b = _mm256_unpackhi_ps(q[0], q[1]);
    const __m256 c = _mm256_unpacklo_ps(q[2], q[3]), d = _mm256_unpackhi_ps(q[2], q[3]);
    float* out = to + 4 * h * stride;
    _mm256_storeu_ps(out, _mm256_shuffle_ps(a, c, _MM_SHUFFLE(1, 0, 1, 0)));
    _mm256_storeu_ps(out + stride, _mm256_shuffle_ps(a, c, _MM_SHUFFLE(3, 2, 3, 2)));
    _mm256_storeu_ps(out + 2 * stride, _mm256_shuffle_ps(b, d, _MM_SHUFFLE(1, 0, 1, 0)));
    _mm256_storeu_ps(out + 3 * stride, _mm256_shuffle_ps(b, d, _MM_SHUFFLE(3, 2, 3, 2)));
  });
}

// Lane r of the result is the sum of the eight lanes of rows[r], folded as l + (l + 4), l + (l + 2), l + (l + 1).
[[gnu::always_inline]] inline __m256 fold_eight(const __m256 (&rows)[8]) {
  __m256 fours[4];  // row r in the lower half, row r + 4 in the upper
  unroll<4>([&](auto r) {
    fours[r] = _mm256_add_ps(_mm256_permute2f128_ps(rows[r], rows[r + 4], 0x20),
                             _mm256_permute2f128_ps(rows[r], rows[r + 4], 0x31));
  });
  __m256 twos[2];
  unroll<2>([&](auto r) {
    const __m256 a = fours[2 * r], b = fours[2 * r + 1];
    twos[r] = _mm256_add_ps(_mm256_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 1, 0)),
                            _mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 2, 3, 2)));
  });
  return _mm256_add_ps(_mm256_shuffle_ps(twos[0], twos[1], _MM_SHUFFLE(2, 0, 2, 0)),
                       _mm256_shuffle_ps(twos[0], twos[1], _MM_SHUFFLE(3, 1, 3, 1)));
}

}  // namespace
}  // namespace attune::inline v0_1::detail
