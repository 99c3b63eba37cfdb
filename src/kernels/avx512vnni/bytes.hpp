// SPDX-License-Identifier: Apache-2.0
#pragma once

// Bytes whose products are added up four at a time by one instruction.

#include "kernels/avx512/bytes.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct DotBytes : Bytes {
  static DotBytes load(const std::uint8_t* p) { return {Bytes::load(p)}; }
  DotBytes masked(std::uint8_t mask) const { return {Bytes::masked(mask)}; }
  // Sums of the type that the instruction is about: g++ 12 would copy them to and fro for a general one.
  typedef std::int32_t Sums __attribute__((vector_size(64)));
  static Sums broadcast(std::int32_t x) { return (Sums)Bytes::broadcast(x); }
  static Sums add(Sums a, Sums b) { return a + b; }
  static Sums divide_by_16(Sums a) { return a >> 4; }
  static void store(std::int32_t* p, Sums a) { Bytes::store(p, (__m512i)a); }
  static std::uint64_t at_least(Sums a, std::int32_t x) { return Bytes::at_least((__m512i)a, x); }
  static Sums multiply_add(Sums sums, DotBytes codes, __m512i query) {
    return (Sums)_mm512_dpbusd_epi32((__m512i)sums, codes.v, query);
  }
};

}  // namespace
}  // namespace attune::inline v0_1::detail
