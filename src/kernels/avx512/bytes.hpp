// SPDX-License-Identifier: Apache-2.0
#pragma once

// What scalar/bytes.hpp describes, with 64 bytes and 16 sums in a register of 32.

#include "kernels/avx512/vec.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct Bytes {
  static constexpr std::size_t kTogether = 4;  // a block in one pass
  static constexpr std::size_t kTogetherOfMany = 4;
  __m512i v;

  static Bytes load(const std::uint8_t* p) { return {_mm512_loadu_si512(p)}; }
  Bytes masked(std::uint8_t mask) const {
    return {_mm512_and_si512(v, _mm512_set1_epi32(static_cast<std::int32_t>(0x01010101u * mask)))};
  }

  using Sums = __m512i;
  static Sums broadcast(std::int32_t x) { return _mm512_set1_epi32(x); }
  static Sums add(Sums a, Sums b) { return _mm512_add_epi32(a, b); }
  static Sums divide_by_16(Sums a) { return _mm512_srai_epi32(a, 4); }
  static void store(std::int32_t* p, Sums a) { _mm512_storeu_si512(p, a); }
  static std::uint64_t at_least(Sums a, std::int32_t x) { return _mm512_cmpge_epi32_mask(a, broadcast(x)); }

  static __m512i query(const std::int8_t* p) {
    std::int32_t four;
    __builtin_memcpy(&four, p, sizeof(four));
    return _mm512_set1_epi32(four);
  }
  // Pairs of products are at most 2 * 255 * 64: the sum of 16 bits, which would saturate, holds them.
  static Sums multiply_add(Sums sums, Bytes codes, __m512i query) {
    const __m512i pairs = _mm512_maddubs_epi16(codes.v, query);
    return _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x00010001)));
  }
};

}  // namespace
}  // namespace attune::inline v0_1::detail
