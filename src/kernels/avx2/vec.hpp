// SPDX-License-Identifier: Apache-2.0
#pragma once

// The level avx2 (AVX2, FMA, F16C): what scalar/vec.hpp describes, with 8 floats in one register of 16.

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "attune/detail/kernel_table.hpp"
#include "kernels/x86/eight.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct Vec {
  static constexpr std::size_t kWidth = 8;
  __m256 v;

  static Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
  static Vec zero() { return {_mm256_setzero_ps()}; }
  static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Vec from_integers(const std::int32_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static Vec from_bytes(const std::uint8_t* p) {
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
  }
  static Vec from_bfloat16(const std::uint16_t* p) {
    return widened(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static Vec widened(__m256i words) { return {_mm256_castsi256_ps(_mm256_slli_epi32(words, 16))}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }

  // Ones in the first `count` lanes.
  static __m256i first(std::size_t count) {
    static constexpr std::int32_t kOnesThenZeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kOnesThenZeros + (kWidth - count)));
  }
  static Vec load_first(const float* p, std::size_t count) { return {_mm256_maskload_ps(p, first(count))}; }
  // Pairs, then the odd element.
  static Vec from_first_bfloat16(const std::uint16_t* p, std::size_t count) {
    const __m128i pairs = _mm_maskload_epi32(reinterpret_cast<const int*>(p), _mm256_castsi256_si128(first(count / 2)));
    const __m256i words = _mm256_cvtepu16_epi32(pairs);
    if (count % 2 == 0) return widened(words);
    const __m256i lane = _mm256_andnot_si256(first(count - 1), first(count));
    return widened(_mm256_or_si256(words, _mm256_and_si256(lane, _mm256_set1_epi32(p[count - 1]))));
  }
  void store_first(float* p, std::size_t count) const { _mm256_maskstore_ps(p, first(count), v); }
  Vec or_beyond(std::size_t count, float x) const {
    return {_mm256_blendv_ps(_mm256_set1_ps(x), v, _mm256_castsi256_ps(first(count)))};
  }

  friend Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
  friend Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
  friend Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
  friend Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
};

inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
inline Vec select_less(Vec a, Vec b, Vec x, Vec y) {
  return {_mm256_blendv_ps(y.v, x.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
}
inline Vec lookup(const float* table, const std::uint8_t* index) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(index));
  return {_mm256_i32gather_ps(table, _mm256_cvtepu8_epi32(bytes), 4)};
}
inline Vec shift_into_exponent(Vec a) { return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a.v), 23))}; }
inline std::uint64_t at_least(Vec a, Vec b) {
  return static_cast<std::uint64_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)));
}
inline float sum(Vec a) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float maximum(Vec a) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// 12 sums, 2 vectors of B and a broadcast of A: 15 registers.
inline constexpr std::size_t kTileRows = 6;
inline constexpr std::size_t kTileVectors = 2;
// The sums of a product of one or two rows.
inline constexpr std::size_t kRowSums = 8;

inline constexpr std::size_t kDotRows = 8;
inline constexpr std::size_t kDotGroup = 4;
using Folded = __m256;
inline Folded fold_first(const Vec (&sums)[2]) { return (sums[0] + sums[1]).v; }
[[gnu::always_inline]] inline void fold_rest(float* scores, const Folded (&rows)[kDotRows], std::size_t count) {
  const Vec result{fold_eight(rows)};
  if (count == kDotRows) {
    result.store(scores);
  } else {
    result.store_first(scores, count);
  }
}

}  // namespace
}  // namespace attune::inline v0_1::detail
