// SPDX-License-Identifier: Apache-2.0
#pragma once

// What scalar/bytes.hpp describes, with 32 bytes and 8 sums in a register of 16.

#include "kernels/avx2/vec.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct Bytes {
  static constexpr std::size_t kTogether = 2;  // with 4 all would still fit, but compilers spill
  static constexpr std::size_t kTogetherOfMany = 2;
  __m256i v;

  static Bytes load(const std::uint8_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
  Bytes masked(std::uint8_t mask) const { return {_mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>(mask)))}; }

  using Sums = __m256i;
  static Sums broadcast(std::int32_t x) { return _mm256_set1_epi32(x); }
  static Sums add(Sums a, Sums b) { return _mm256_add_epi32(a, b); }
  static Sums divide_by_16(Sums a) { return _mm256_srai_epi32(a, 4); }
  static void store(std::int32_t* p, Sums a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a); }
  static std::uint64_t at_least(Sums a, std::int32_t x) {
    const __m256i less = _mm256_cmpgt_epi32(broadcast(x), a);
    return static_cast<std::uint64_t>(~_mm256_movemask_ps(_mm256_castsi256_ps(less)) & 0xff);
  }

  static __m256i query(const std::int8_t* p) {
    std::int32_t four;
    __builtin_memcpy(&four, p, sizeof(four));
    return _mm256_set1_epi32(four);
  }
  // Pairs of products are at most 2 * 255 * 64: the sum of 16 bits, which would saturate, holds them.
  static Sums multiply_add(Sums sums, Bytes codes, __m256i query) {
    const __m256i pairs = _mm256_maddubs_epi16(codes.v, query);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

}  // namespace
}  // namespace attune::inline v0_1::detail
