// SPDX-License-Identifier: Apache-2.0
#pragma once

// Operands of matrix products as bfloat16, in tiles of 1 KiB: 16 lines of 16 pairs of numbers that are neighbours in k,
// the index that is summed over.
//   left operand:  line i, pair p = A[i, 2p .. 2p + 1]
//   right operand: line p, pair j = B[2p .. 2p + 1, j]
// Conversion rounds to nearest even and takes denormals for zero, as the products themselves do.

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/generic/unroll.hpp"

namespace attune::inline v0_1::detail {
namespace {

inline constexpr std::size_t kTileSide = 16;   // lines, and pairs in a line
inline constexpr std::size_t kTileDepth = 32;  // numbers in a line
inline constexpr std::size_t kTileSize = kTileSide * kTileDepth;
inline constexpr std::size_t kBlockSide = 2 * kTileSide;  // products are made 2 x 2 tiles at a time
using Bfloat16 = std::uint16_t;                           // its bits

// Two lines of tiles: where the first of each begins. The tiles of a line follow each other.
struct Operand {
  const Bfloat16* first;
  const Bfloat16* second;
};

inline std::size_t fewer(std::size_t a, std::size_t b) { return a < b ? a : b; }
inline std::size_t pieces(std::size_t n, std::size_t size) { return (n + size - 1) / size; }

// A mask of the first `count` of 16 lanes.
inline __mmask16 first_lanes(std::size_t count) {
  return static_cast<__mmask16>((std::uint32_t{1} << fewer(count, 16)) - 1);
}
inline std::size_t beyond(std::size_t count, std::size_t from) { return count > from ? count - from : 0; }

// What a tile is made from: `rows` rows of `columns` floats, each row `stride` after the one before. What a tile holds
// beyond them is zero.
struct Floats {
  const float* data;
  std::size_t stride, rows, columns;

  const float* row(std::size_t i) const { return data + i * stride; }
  // Of x, what begins at row i and column j.
  Floats from(std::size_t i, std::size_t j) const {
    return {data + i * stride + j, stride, beyond(rows, i), beyond(columns, j)};
  }
};

using Lines = __m512i[kTileSide];

// `first` in the lower half of the result.
inline __m512i to_bfloat16(__m512 first, __m512 second) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
}

// Line i: x[i, 0 .. 32) * factor.
[[gnu::always_inline]] inline void read_rows(Lines& lines, const Floats& x, float factor) {
  const __mmask16 first = first_lanes(x.columns), second = first_lanes(beyond(x.columns, 16));
  const __m512 factors = _mm512_set1_ps(factor);
  unroll<kTileSide>([&](auto i) {
    lines[i] = _mm512_setzero_si512();
    if (i < x.rows) {
      const float* row = x.row(i);
      lines[i] = to_bfloat16(_mm512_mul_ps(_mm512_maskz_loadu_ps(first, row), factors),
                             _mm512_mul_ps(_mm512_maskz_loadu_ps(second, row + 16), factors));
    }
  });
}

// Line p, pair j: x[2p .. 2p + 1, j].
[[gnu::always_inline]] inline void read_pairs(Lines& lines, const Floats& x) {
  alignas(64) static constexpr std::uint16_t kAlternate[kTileDepth] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i alternate = _mm512_loadu_si512(kAlternate);
  const __mmask16 columns = first_lanes(x.columns);
  unroll<kTileSide>([&](auto p) {
    lines[p] = _mm512_setzero_si512();
    if (2 * p < x.rows) {
      const __m512 even = _mm512_maskz_loadu_ps(columns, x.row(2 * p));
      __m512 odd = _mm512_setzero_ps();
      if (2 * p + 1 < x.rows) odd = _mm512_maskz_loadu_ps(columns, x.row(2 * p + 1));
      lines[p] = _mm512_permutexvar_epi16(alternate, to_bfloat16(even, odd));
    }
  });
}

// Pair j of line i becomes pair i of line j.
[[gnu::always_inline]] inline void transpose(Lines& x) {
  Lines y;
  unroll<8>([&](auto i) {
    y[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
    y[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
  });
  unroll<4>([&](auto q) {  // x[4q + r], lane l of 4 pairs: pair 4l + r of the lines 4q to 4q + 3
    x[4 * q] = _mm512_unpacklo_epi64(y[4 * q], y[4 * q + 2]);
    x[4 * q + 1] = _mm512_unpackhi_epi64(y[4 * q], y[4 * q + 2]);
    x[4 * q + 2] = _mm512_unpacklo_epi64(y[4 * q + 1], y[4 * q + 3]);
    x[4 * q + 3] = _mm512_unpackhi_epi64(y[4 * q + 1], y[4 * q + 3]);
  });
  unroll<4>([&](auto r) {
    const __m512i even = _mm512_shuffle_i32x4(x[r], x[4 + r], 0x88), odd = _mm512_shuffle_i32x4(x[r], x[4 + r], 0xdd);
    const __m512i even2 = _mm512_shuffle_i32x4(x[8 + r], x[12 + r], 0x88);
    const __m512i odd2 = _mm512_shuffle_i32x4(x[8 + r], x[12 + r], 0xdd);
    y[r] = _mm512_shuffle_i32x4(even, even2, 0x88);
    y[4 + r] = _mm512_shuffle_i32x4(odd, odd2, 0x88);
    y[8 + r] = _mm512_shuffle_i32x4(even, even2, 0xdd);
    y[12 + r] = _mm512_shuffle_i32x4(odd, odd2, 0xdd);
  });
  unroll<kTileSide>([&](auto i) { x[i] = y[i]; });
}

[[gnu::always_inline]] inline void write(Bfloat16* tile, const Lines& lines) {
  unroll<kTileSide>([&](auto i) { _mm512_storeu_si512(tile + i * kTileDepth, lines[i]); });
}

// A tile of the left operand from A as it lies, [16 rows, 32 k], times a factor.
inline void pack_left(Bfloat16* tile, const Floats& a, float factor = 1.0f) {
  Lines lines;
  read_rows(lines, a, factor);
  write(tile, lines);
}
// From A^T, [32 k, 16 rows].
inline void pack_left_transposed(Bfloat16* tile, const Floats& a) {
  Lines lines;
  read_pairs(lines, a);
  transpose(lines);
  write(tile, lines);
}
// A tile of the right operand from B as it lies, [32 k, 16 columns].
inline void pack_right(Bfloat16* tile, const Floats& b) {
  Lines lines;
  read_pairs(lines, b);
  write(tile, lines);
}
// From B^T, [16 columns, 32 k], times a factor.
inline void pack_right_transposed(Bfloat16* tile, const Floats& b, float factor = 1.0f) {
  Lines lines;
  read_rows(lines, b, factor);
  transpose(lines);
  write(tile, lines);
}

}  // namespace
}  // namespace attune::inline v0_1::detail
