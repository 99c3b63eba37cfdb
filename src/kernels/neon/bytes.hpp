// SPDX-License-Identifier: Apache-2.0
#pragma once

// What scalar/bytes.hpp describes, with 16 bytes and 4 sums in a register of 32.

#include "kernels/neon/vec.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct Bytes {
  static constexpr std::size_t kTogether = 8;
  static constexpr std::size_t kTogetherOfMany = 4;
  uint8x16_t v;

  static Bytes load(const std::uint8_t* p) { return {vld1q_u8(p)}; }
  Bytes masked(std::uint8_t mask) const { return {vandq_u8(v, vdupq_n_u8(mask))}; }

  using Sums = int32x4_t;
  static Sums broadcast(std::int32_t x) { return vdupq_n_s32(x); }
  static Sums add(Sums a, Sums b) { return vaddq_s32(a, b); }
  static Sums divide_by_16(Sums a) { return vshrq_n_s32(a, 4); }
  static void store(std::int32_t* p, Sums a) { vst1q_s32(p, a); }
  static std::uint64_t at_least(Sums a, std::int32_t x) {
    static constexpr std::uint32_t kBit[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgeq_s32(a, vdupq_n_s32(x)), vld1q_u32(kBit)));
  }

  // Twice, in 16 bits.
  static int16x8_t query(const std::int8_t* p) {
    std::int32_t four;
    __builtin_memcpy(&four, p, sizeof(four));
    return vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
  }
  // A product is at most 255 * 64: 16 bits hold it.
  static Sums multiply_add(Sums sums, Bytes codes, int16x8_t query) {
    const int16x8_t low = vmulq_s16(vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(codes.v))), query);
    const int16x8_t high = vmulq_s16(vreinterpretq_s16_u16(vmovl_high_u8(codes.v)), query);
    return vaddq_s32(sums, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
  }
};

}  // namespace
}  // namespace attune::inline v0_1::detail
