// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a level offers to generic/bounds.hpp: bytes in memory order, 4 elements of a row each, and sums of 32 bits, one
// a row. Here one register of the platform's baseline.

#include "kernels/scalar/vec.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct Bytes {
  static constexpr std::size_t kTogether = 4;        // vectors whose sums are kept in registers
  static constexpr std::size_t kTogetherOfMany = 2;  // the same with 4 queries
  typedef std::uint8_t Vector __attribute__((vector_size(16)));
  Vector v;

  static Bytes load(const std::uint8_t* p) {
    Bytes bytes;
    __builtin_memcpy(&bytes, p, sizeof(bytes));
    return bytes;
  }
  Bytes masked(std::uint8_t mask) const { return {v & mask}; }

  using Sums = QuadBits;
  static Sums broadcast(std::int32_t x) { return Sums{x, x, x, x}; }
  static Sums add(Sums a, Sums b) { return a + b; }
  static Sums divide_by_16(Sums a) { return a >> 4; }
  static void store(std::int32_t* p, Sums a) { __builtin_memcpy(p, &a, sizeof(a)); }
  // Bit l says that sum l is at least x.
  static std::uint64_t at_least(Sums a, std::int32_t x) {
    const Sums yes = a >= broadcast(x);  // -1 or 0
    return static_cast<std::uint64_t>((yes[0] & 1) | (yes[1] & 2) | (yes[2] & 4) | (yes[3] & 8));
  }

  // 4 elements of the query.
  struct Query {
    std::int32_t element[4];
  };
  static Query query(const std::int8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
  // Adds to each sum the products of 4 elements.
  static Sums multiply_add(Sums sums, const Bytes& codes, const Query& query) {
    const QuadWords words = (QuadWords)codes.v;
    unroll<4>([&](auto i) {
      constexpr unsigned kAt = 8 * (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? i : 3 - i);
      sums += (Sums)(words >> kAt & 255u) * query.element[i];
    });
    return sums;
  }
};

}  // namespace
}  // namespace attune::inline v0_1::detail
