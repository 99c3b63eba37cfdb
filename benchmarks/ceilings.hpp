// SPDX-License-Identifier: Apache-2.0
#pragma once

// What one core of this machine does at best, at the level that kernels run at: bytes read in a second, and operations
// of each kind of arithmetic. Kernels are compared with it.

#include <attune/version.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace ceilings {

inline bool level_has(std::string_view feature) {
  const std::string_view level = attune::simd_level();
  return level.starts_with(feature) || (feature == "avx512" && level == "amx");
}

using Bytes16 [[gnu::vector_size(16)]] = std::uint64_t;
using Bytes32 [[gnu::vector_size(32)]] = std::uint64_t;
using Bytes64 [[gnu::vector_size(64)]] = std::uint64_t;

// Reads all bytes and makes one number of them; `ahead` bytes further on is asked for, 0: nothing is.
template <class Vector>
[[gnu::always_inline]] inline std::uint64_t read_wide(std::span<const std::byte> bytes, std::size_t ahead) {
  constexpr std::size_t kAtOnce = 4, kWidth = sizeof(Vector);
  Vector sums[kAtOnce] = {};
  for (std::size_t at = 0; at + kAtOnce * kWidth <= bytes.size(); at += kAtOnce * kWidth) {
    const std::byte* const from = bytes.data() + at;
    for (std::size_t line = 0; ahead != 0 && line < kAtOnce * kWidth; line += 64) {
      __builtin_prefetch(from + ahead + line);
    }
    for (std::size_t i = 0; i < kAtOnce; ++i) {
      Vector part;
      std::memcpy(&part, from + i * kWidth, kWidth);
      sums[i] += part;
    }
  }
  std::uint64_t sum = 0;
  std::uint64_t parts[kAtOnce * kWidth / sizeof(sum)];
  std::memcpy(parts, sums, sizeof(sums));
  for (const std::uint64_t part : parts) sum += part;
  return sum;
}

#if defined(__x86_64__)

[[gnu::target("avx512f")]] inline std::uint64_t read_avx512(std::span<const std::byte> bytes, std::size_t ahead) {
  return read_wide<Bytes64>(bytes, ahead);
}
[[gnu::target("avx2")]] inline std::uint64_t read_avx2(std::span<const std::byte> bytes, std::size_t ahead) {
  return read_wide<Bytes32>(bytes, ahead);
}
inline std::uint64_t read(std::span<const std::byte> bytes, std::size_t ahead) {
  if (level_has("avx512")) return read_avx512(bytes, ahead);
  return level_has("avx2") ? read_avx2(bytes, ahead) : read_wide<Bytes16>(bytes, ahead);
}

enum class Arithmetic { floats, bfloat16, int8 };

// `rounds` rounds of products in twelve independent chains; returns how many operations they were, a multiplication and
// an addition being two. Instructions are named and not left to the compiler, which would take chains for one another.
template <Arithmetic kKind, class Vector>
[[gnu::always_inline]] inline double multiply_add(std::size_t rounds) {
  constexpr int kChains = 12;
  Vector sums[kChains] = {}, x = {};
  for (std::size_t r = 0; r < rounds; ++r) {
    for (Vector& sum : sums) {
      if constexpr (kKind == Arithmetic::floats) asm volatile("vfmadd231ps %1, %1, %0" : "+v"(sum) : "v"(x));
      if constexpr (kKind == Arithmetic::bfloat16) asm volatile("vdpbf16ps %1, %1, %0" : "+v"(sum) : "v"(x));
      if constexpr (kKind == Arithmetic::int8) asm volatile("vpdpbusd %1, %1, %0" : "+v"(sum) : "v"(x));
    }
  }
  constexpr double kBytes = kKind == Arithmetic::floats ? 4 : kKind == Arithmetic::bfloat16 ? 2 : 1;
  return 2.0 * sizeof(Vector) / kBytes * kChains * static_cast<double>(rounds);
}
template <Arithmetic kKind>
[[gnu::target("avx512f")]] double multiply_add_avx512(std::size_t rounds) {
  return multiply_add<kKind, Bytes64>(rounds);
}
[[gnu::target("avx2,fma")]] inline double multiply_add_avx2(std::size_t rounds) {
  return multiply_add<Arithmetic::floats, Bytes32>(rounds);
}

#else

inline std::uint64_t read(std::span<const std::byte> bytes, std::size_t ahead) {
  return read_wide<Bytes16>(bytes, ahead);
}

#endif

}  // namespace ceilings
