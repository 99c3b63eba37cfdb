// SPDX-License-Identifier: Apache-2.0
#pragma once

// The level neon (Advanced SIMD, the baseline of aarch64): what scalar/vec.hpp describes, with 4 floats in one register
// of 32.

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "attune/detail/kernel_table.hpp"
#include "kernels/generic/unroll.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct Vec {
  static constexpr std::size_t kWidth = 4;
  float32x4_t v;

  static Vec broadcast(float x) { return {vdupq_n_f32(x)}; }
  static Vec zero() { return broadcast(0.0f); }
  static Vec load(const float* p) { return {vld1q_f32(p)}; }
  static Vec from_integers(const std::int32_t* p) { return {vcvtq_f32_s32(vld1q_s32(p))}; }
  static Vec from_bytes(const std::uint8_t* p) {
    std::uint32_t four;
    __builtin_memcpy(&four, p, sizeof(four));
    const uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)));
    return {vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)))};
  }
  static Vec from_bfloat16(const std::uint16_t* p) { return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))}; }
  void store(float* p) const { vst1q_f32(p, v); }

  // count < 4: a pair where there is one, then the odd element.
  static Vec load_first(const float* p, std::size_t count) {
    const float32x2_t none = vdup_n_f32(0.0f);
    const float32x2_t odd = count % 2 == 1 ? vld1_lane_f32(p + (count - 1), none, 0) : none;
    return {count < 2 ? vcombine_f32(odd, none) : vcombine_f32(vld1_f32(p), odd)};
  }
  static Vec from_first_bfloat16(const std::uint16_t* p, std::size_t count) {
    uint16x4_t words = vld1_lane_u16(p, vdup_n_u16(0), 0);
    if (count > 1) words = vld1_lane_u16(p + 1, words, 1);
    if (count > 2) words = vld1_lane_u16(p + 2, words, 2);
    return {vreinterpretq_f32_u32(vshll_n_u16(words, 16))};
  }
  void store_first(float* p, std::size_t count) const {
    if (count >= 2) vst1_f32(p, vget_low_f32(v));
    if (count == 1) vst1q_lane_f32(p, v, 0);
    if (count == 3) vst1q_lane_f32(p + 2, v, 2);
  }
  Vec or_beyond(std::size_t count, float x) const {
    static constexpr std::uint32_t kLane[4] = {0, 1, 2, 3};
    const uint32x4_t first = vcltq_u32(vld1q_u32(kLane), vdupq_n_u32(static_cast<std::uint32_t>(count)));
    return {vbslq_f32(first, v, vdupq_n_f32(x))};
  }

  friend Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
  friend Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
  friend Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
  friend Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
};

inline Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline Vec select_less(Vec a, Vec b, Vec x, Vec y) { return {vbslq_f32(vcltq_f32(a.v, b.v), x.v, y.v)}; }
// Not vminq and vmaxq, which give NaN where either is.
inline Vec min(Vec a, Vec b) { return select_less(a, b, a, b); }
inline Vec max(Vec a, Vec b) { return select_less(b, a, a, b); }
inline Vec sqrt(Vec a) { return {vsqrtq_f32(a.v)}; }
inline Vec lookup(const float* table, const std::uint8_t* index) {
  const float lanes[] = {table[index[0]], table[index[1]], table[index[2]], table[index[3]]};
  return Vec::load(lanes);
}
inline Vec shift_into_exponent(Vec a) { return {vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(a.v), 23))}; }
inline std::uint64_t at_least(Vec a, Vec b) {
  static constexpr std::uint32_t kBit[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(vcgeq_f32(a.v, b.v), vld1q_u32(kBit)));
}
inline float sum(Vec a) { return vaddvq_f32(a.v); }
inline float maximum(Vec a) { return vmaxvq_f32(a.v); }

// 16 sums and 2 vectors of B leave registers for 8 elements of A; more rows would run out of address registers.
inline constexpr std::size_t kTileRows = 8;
inline constexpr std::size_t kTileVectors = 2;
// The sums of a product of one or two rows.
inline constexpr std::size_t kRowSums = 16;

// to[j * stride + i] = row(i)[j] for i, j < kBlock.
inline constexpr std::size_t kBlock = 4;
template <class Row>
[[gnu::always_inline]] inline void transpose_block(float* to, std::size_t stride, const Row& row) {
  const float32x4_t a = vld1q_f32(row(0)), b = vld1q_f32(row(1)), c = vld1q_f32(row(2)), d = vld1q_f32(row(3));
  const float32x4_t even_ab = vtrn1q_f32(a, b), odd_ab = vtrn2q_f32(a, b);
  const float32x4_t even_cd = vtrn1q_f32(c, d), odd_cd = vtrn2q_f32(c, d);
  vst1q_f32(to, vcombine_f32(vget_low_f32(even_ab), vget_low_f32(even_cd)));
  vst1q_f32(to + stride, vcombine_f32(vget_low_f32(odd_ab), vget_low_f32(odd_cd)));
  vst1q_f32(to + 2 * stride, vcombine_f32(vget_high_f32(even_ab), vget_high_f32(even_cd)));
  vst1q_f32(to + 3 * stride, vcombine_f32(vget_high_f32(odd_ab), vget_high_f32(odd_cd)));
}

// 8 sums at a time keep two pipelines busy; with 16 the products would not find registers.
inline constexpr std::size_t kDotRows = 4;
inline constexpr std::size_t kDotGroup = 2;
using Folded = float32x4_t;
inline Folded fold_first(const Vec (&sums)[4]) { return ((sums[0] + sums[2]) + (sums[1] + sums[3])).v; }
// Of two rows, lanes l + (l + 2).
inline float32x4_t fold_halves(Folded a, Folded b) {
  return vaddq_f32(vcombine_f32(vget_low_f32(a), vget_low_f32(b)), vcombine_f32(vget_high_f32(a), vget_high_f32(b)));
}
[[gnu::always_inline]] inline void fold_rest(float* scores, const Folded (&rows)[kDotRows], std::size_t count) {
  const Vec result{vpaddq_f32(fold_halves(rows[0], rows[1]), fold_halves(rows[2], rows[3]))};
  if (count == kDotRows) {
    result.store(scores);
  } else {
    result.store_first(scores, count);
  }
}

}  // namespace
}  // namespace attune::inline v0_1::detail
