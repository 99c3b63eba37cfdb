// SPDX-License-Identifier: Apache-2.0
#pragma once

// The level avx512 (F, BW, DQ, VL): what scalar/vec.hpp describes, with 16 floats in one register of 32.

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "attune/detail/kernel_table.hpp"
#include "kernels/x86/eight.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct Vec {
  static constexpr std::size_t kWidth = 16;
  __m512 v;

  static Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static Vec zero() { return {_mm512_setzero_ps()}; }
  static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vec from_integers(const std::int32_t* p) { return {_mm512_cvtepi32_ps(_mm512_loadu_si512(p))}; }
  static Vec from_bytes(const std::uint8_t* p) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
  }
  static Vec from_bfloat16(const std::uint16_t* p) {
    return widened(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Vec widened(__m256i bfloat16) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bfloat16), 16))};
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }

  // A mask of the first `count` lanes, count < 16.
  static __mmask16 first(std::size_t count) { return static_cast<__mmask16>((1u << count) - 1u); }
  static Vec load_first(const float* p, std::size_t count) { return {_mm512_maskz_loadu_ps(first(count), p)}; }
  static Vec from_first_bfloat16(const std::uint16_t* p, std::size_t count) {
    return widened(_mm256_maskz_loadu_epi16(first(count), p));
  }
  void store_first(float* p, std::size_t count) const { _mm512_mask_storeu_ps(p, first(count), v); }
  Vec or_beyond(std::size_t count, float x) const { return {_mm512_mask_mov_ps(_mm512_set1_ps(x), first(count), v)}; }

  friend Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
  friend Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
  friend Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
  friend Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
};

inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
inline Vec select_less(Vec a, Vec b, Vec x, Vec y) {
  return {_mm512_mask_mov_ps(y.v, _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), x.v)};
}
inline Vec lookup(const float* table, const std::uint8_t* index) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(index));
  return {_mm512_i32gather_ps(_mm512_cvtepu8_epi32(bytes), table, 4)};
}
inline Vec shift_into_exponent(Vec a) { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a.v), 23))}; }
inline std::uint64_t at_least(Vec a, Vec b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ); }
inline __m256 lower(Vec a) { return _mm512_castps512_ps256(a.v); }
inline __m256 upper(Vec a) { return _mm512_extractf32x8_ps(a.v, 1); }
inline float sum(Vec a) {
  const __m256 eight = _mm256_add_ps(lower(a), upper(a));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float maximum(Vec a) {
  const __m256 eight = _mm256_max_ps(lower(a), upper(a));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// 24 sums, 2 vectors of B and a broadcast of A: 27 registers.
inline constexpr std::size_t kTileRows = 12;
inline constexpr std::size_t kTileVectors = 2;
// The sums of a product of one or two rows.
inline constexpr std::size_t kRowSums = 16;

inline constexpr std::size_t kDotRows = 8;
inline constexpr std::size_t kDotGroup = 8;
using Folded = __m256;
inline Folded fold_first(const Vec (&sums)[1]) { return _mm256_add_ps(lower(sums[0]), upper(sums[0])); }
[[gnu::always_inline]] inline void fold_rest(float* scores, const Folded (&rows)[kDotRows], std::size_t count) {
  const __mmask8 first = static_cast<__mmask8>((1u << count) - 1u);  // count <= 8
  _mm256_mask_storeu_ps(scores, first, fold_eight(rows));
}

}  // namespace
}  // namespace attune::inline v0_1::detail
