// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a level offers to the bodies in kernels/generic, here for the platform's baseline: vectors of 16 floats as four
// of the compiler's portable vectors of 4. No instruction set is named.

#include <cstddef>
#include <cstdint>

#include "attune/detail/kernel_table.hpp"
#include "kernels/generic/unroll.hpp"

namespace attune::inline v0_1::detail {
namespace {

typedef float Quad __attribute__((vector_size(16)));
typedef std::int32_t QuadBits __attribute__((vector_size(16)));
typedef std::uint32_t QuadWords __attribute__((vector_size(16)));

struct Vec {
  static constexpr std::size_t kWidth = 16;
  Quad part[4];

  template <class F>
  [[gnu::always_inline]] static Vec each(F f) {
    Vec r;
    unroll<4>([&](auto i) { r.part[i] = f(i); });
    return r;
  }
  static Vec broadcast(float x) {
    return each([&](auto) { return Quad{x, x, x, x}; });
  }
  static Vec zero() { return broadcast(0.0f); }
  static Vec load(const float* p) {
    Vec r;
    __builtin_memcpy(&r, p, sizeof(r));
    return r;
  }
  static Vec from_bfloat16(const std::uint16_t* p) { return from_first_bfloat16(p, kWidth); }
  static Vec from_first_bfloat16(const std::uint16_t* p, std::size_t count) {
    std::uint32_t words[kWidth] = {};
    for (std::size_t i = 0; i < count; ++i) words[i] = std::uint32_t{p[i]} << 16;
    Vec r;
    __builtin_memcpy(&r, words, sizeof(r));
    return r;
  }
  void store(float* p) const { __builtin_memcpy(p, this, sizeof(*this)); }
  static Vec from_integers(const std::int32_t* p) {
    return each([&](auto i) {
      QuadBits part_of;
      __builtin_memcpy(&part_of, p + 4 * i, sizeof(part_of));
      return __builtin_convertvector(part_of, Quad);
    });
  }
  static Vec from_bytes(const std::uint8_t* p) {
    std::int32_t integers[kWidth];
    for (std::size_t i = 0; i < kWidth; ++i) integers[i] = p[i];
    return from_integers(integers);
  }

  // Only the first `count` elements in memory are touched; the other lanes are loaded as zeros.
  static Vec load_first(const float* p, std::size_t count) {
    float lanes[kWidth] = {};
    for (std::size_t i = 0; i < count; ++i) lanes[i] = p[i];
    return load(lanes);
  }
  void store_first(float* p, std::size_t count) const {
    float lanes[kWidth];
    store(lanes);
    for (std::size_t i = 0; i < count; ++i) p[i] = lanes[i];
  }
  // The lanes from `count` on replaced by x.
  Vec or_beyond(std::size_t count, float x) const {
    float lanes[kWidth];
    store(lanes);
    for (std::size_t i = count; i < kWidth; ++i) lanes[i] = x;
    return load(lanes);
  }

  friend Vec operator+(const Vec& a, const Vec& b) {
    return each([&](auto i) { return a.part[i] + b.part[i]; });
  }
  friend Vec operator-(const Vec& a, const Vec& b) {
    return each([&](auto i) { return a.part[i] - b.part[i]; });
  }
  friend Vec operator*(const Vec& a, const Vec& b) {
    return each([&](auto i) { return a.part[i] * b.part[i]; });
  }
  friend Vec operator/(const Vec& a, const Vec& b) {
    return each([&](auto i) { return a.part[i] / b.part[i]; });
  }
};

[[gnu::always_inline]] inline Quad choose(QuadBits mask, Quad a, Quad b) {
  return (Quad)(((QuadBits)a & mask) | ((QuadBits)b & ~mask));
}

// a * b + c, rounded once where the level has such an instruction. Not for what must be the same on every level.
[[gnu::always_inline]] inline Vec fma(const Vec& a, const Vec& b, const Vec& c) { return a * b + c; }
// a < b ? x : y
[[gnu::always_inline]] inline Vec select_less(const Vec& a, const Vec& b, const Vec& x, const Vec& y) {
  return Vec::each([&](auto i) { return choose(a.part[i] < b.part[i], x.part[i], y.part[i]); });
}
// min is a < b ? a : b and max a > b ? a : b: b where either is NaN.
[[gnu::always_inline]] inline Vec min(const Vec& a, const Vec& b) { return select_less(a, b, a, b); }
[[gnu::always_inline]] inline Vec max(const Vec& a, const Vec& b) { return select_less(b, a, a, b); }
[[gnu::always_inline]] inline Vec sqrt(const Vec& a) {
  return Vec::each([&](auto i) {
    const Quad q = a.part[i];
    return Quad{__builtin_sqrtf(q[0]), __builtin_sqrtf(q[1]), __builtin_sqrtf(q[2]), __builtin_sqrtf(q[3])};
  });
}
// Lane l is table[index[l]].
inline Vec lookup(const float* table, const std::uint8_t* index) {
  float lanes[Vec::kWidth];
  for (std::size_t i = 0; i < Vec::kWidth; ++i) lanes[i] = table[index[i]];
  return Vec::load(lanes);
}
// The float whose bits are those of a, 23 places to the left.
[[gnu::always_inline]] inline Vec shift_into_exponent(const Vec& a) {
  return Vec::each([&](auto i) { return (Quad)((QuadWords)a.part[i] << 23); });
}
// Bit l says that lane l of a is not less than that of b; no bit for NaN.
inline std::uint64_t at_least(const Vec& a, const Vec& b) {
  std::uint64_t bits = 0;
  unroll<4>([&](auto i) {
    const QuadBits yes = a.part[i] >= b.part[i];  // -1 or 0
    bits |= static_cast<std::uint64_t>((yes[0] & 1) | (yes[1] & 2) | (yes[2] & 4) | (yes[3] & 8)) << (4 * i);
  });
  return bits;
}
inline float sum(const Vec& a) {
  const Quad q = (a.part[0] + a.part[2]) + (a.part[1] + a.part[3]);
  return (q[0] + q[2]) + (q[1] + q[3]);
}
inline float maximum(const Vec& a) {
  float lanes[Vec::kWidth];
  a.store(lanes);
  float result = lanes[0];
  for (const float x : lanes) result = x > result ? x : result;
  return result;
}

// The tile of a matrix product that is kept in registers: rows and vectors per row.
inline constexpr std::size_t kTileRows = 3;
inline constexpr std::size_t kTileVectors = 1;
// The sums of a product of one or two rows.
inline constexpr std::size_t kRowSums = 8;

// to[j * stride + i] = row(i)[j] for i, j < kBlock.
inline constexpr std::size_t kBlock = 4;
template <class Row>
[[gnu::always_inline]] inline void transpose_block(float* to, std::size_t stride, const Row& row) {
  unroll<kBlock>([&](auto i) { unroll<kBlock>([&](auto j) { to[j * stride + i] = row(i)[j]; }); });
}

// Dot products are finished kDotRows rows at a time, from groups of kDotGroup whose partial sums fit the registers. The
// folds are those of KernelTable::dot_rows: fold_first takes the 16 partial sums of a row, fold_rest yields the scores.
inline constexpr std::size_t kDotRows = 1;
inline constexpr std::size_t kDotGroup = 1;
using Folded = Quad;
inline Folded fold_first(const Vec (&sums)[1]) {
  return (sums[0].part[0] + sums[0].part[2]) + (sums[0].part[1] + sums[0].part[3]);
}
inline void fold_rest(float* scores, const Folded (&rows)[kDotRows], std::size_t) {
  scores[0] = (rows[0][0] + rows[0][2]) + (rows[0][1] + rows[0][3]);
}

}  // namespace
}  // namespace attune::inline v0_1::detail
