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

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

// Each of these does `rounds` rounds of products in twelve independent chains, none of which the compiler may take for
// another, and returns how many operations they were, a multiplication and an addition being two.
inline constexpr int kChains = 12;

[[gnu::target("avx512f")]] inline double multiply_add_avx512(std::size_t rounds) {
  __m512 sums[kChains] = {}, x = _mm512_set1_ps(0.5f);
  for (auto& sum : sums) asm volatile("" : "+v"(sum));
  for (std::size_t r = 0; r < rounds; ++r) {
    for (auto& sum : sums) sum = _mm512_fmadd_ps(x, x, sum);
  }
  for (auto& sum : sums) asm volatile("" : "+v"(sum));
  return 2.0 * 16 * kChains * static_cast<double>(rounds);
}
[[gnu::target("avx2,fma")]] inline double multiply_add_avx2(std::size_t rounds) {
  __m256 sums[kChains] = {}, x = _mm256_set1_ps(0.5f);
  for (auto& sum : sums) asm volatile("" : "+x"(sum));
  for (std::size_t r = 0; r < rounds; ++r) {
    for (auto& sum : sums) sum = _mm256_fmadd_ps(x, x, sum);
  }
  for (auto& sum : sums) asm volatile("" : "+x"(sum));
  return 2.0 * 8 * kChains * static_cast<double>(rounds);
}
[[gnu::target("avx512f,avx512bf16")]] inline double multiply_add_bfloat16(std::size_t rounds) {
  __m512 sums[kChains] = {};
  __m512i x = _mm512_set1_epi32(0x3F003F00);
  for (auto& sum : sums) asm volatile("" : "+v"(sum));
  for (std::size_t r = 0; r < rounds; ++r) {
    for (auto& sum : sums) sum = _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)x);
  }
  for (auto& sum : sums) asm volatile("" : "+v"(sum));
  return 2.0 * 32 * kChains * static_cast<double>(rounds);
}
[[gnu::target("avx512f,avx512vnni")]] inline double multiply_add_int8(std::size_t rounds) {
  __m512i sums[kChains] = {}, x = _mm512_set1_epi8(3);
  for (auto& sum : sums) asm volatile("" : "+v"(sum));
  for (std::size_t r = 0; r < rounds; ++r) {
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, x, x);
  }
  for (auto& sum : sums) asm volatile("" : "+v"(sum));
  return 2.0 * 64 * kChains * static_cast<double>(rounds);
}

#else

inline std::uint64_t read(std::span<const std::byte> bytes, std::size_t ahead) {
  return read_wide<Bytes16>(bytes, ahead);
}

#endif

}  // namespace ceilings
