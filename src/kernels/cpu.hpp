// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which instruction sets this CPU has and this operating system saves and restores.

#include <cstdint>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

constexpr std::uint32_t feature_bit(unsigned i) noexcept { return std::uint32_t{1} << i; }
constexpr bool has_all(std::uint32_t word, std::uint32_t bits) noexcept { return (word & bits) == bits; }

// What CPUID and XGETBV answer; all zero on other processors than x86.
struct CpuFeatures {
  std::uint32_t leaf1_ecx = 0;    // CPUID 1
  std::uint32_t leaf7_ebx = 0;    // CPUID 7.0
  std::uint32_t leaf7_ecx = 0;    // CPUID 7.0
  std::uint32_t leaf7_edx = 0;    // CPUID 7.0
  std::uint32_t leaf7_1_eax = 0;  // CPUID 7.1
  std::uint32_t xcr0_low = 0;     // register state that the operating system saves, 0 where it does not say

  constexpr bool has_avx2() const noexcept {  // with FMA and F16C
    constexpr std::uint32_t kFma = feature_bit(12), kOsxsave = feature_bit(27), kAvx = feature_bit(28),
                            kF16c = feature_bit(29);
    constexpr std::uint32_t kAvx2 = feature_bit(5), kSavedAvx = feature_bit(1) | feature_bit(2);
    return has_all(leaf1_ecx, kFma | kOsxsave | kAvx | kF16c) && has_all(leaf7_ebx, kAvx2) &&
           has_all(xcr0_low, kSavedAvx);
  }
  constexpr bool has_avx512() const noexcept {  // F, BW, DQ, VL, and all of has_avx2()
    constexpr std::uint32_t kF = feature_bit(16), kDq = feature_bit(17), kBw = feature_bit(30), kVl = feature_bit(31);
    constexpr std::uint32_t kSavedAvx512 = feature_bit(5) | feature_bit(6) | feature_bit(7);
    return has_avx2() && has_all(leaf7_ebx, kF | kDq | kBw | kVl) && has_all(xcr0_low, kSavedAvx512);
  }
  constexpr bool has_avx512vnni() const noexcept {  // VNNI and BF16, and all of has_avx512()
    constexpr std::uint32_t kVnni = feature_bit(11), kBf16 = feature_bit(5);
    return has_avx512() && has_all(leaf7_ecx, kVnni) && has_all(leaf7_1_eax, kBf16);
  }
  // TILE, BF16 and INT8 of AMX, and all of has_avx512vnni(); not that the operating system, which knows how to save
  // tiles, grants them to this process.
  constexpr bool has_amx() const noexcept {
    constexpr std::uint32_t kBf16 = feature_bit(22), kTile = feature_bit(24), kInt8 = feature_bit(25),
                            kSavedTiles = feature_bit(17) | feature_bit(18);
    return has_avx512vnni() && has_all(leaf7_edx, kBf16 | kTile | kInt8) && has_all(xcr0_low, kSavedTiles);
  }
};

CpuFeatures cpu_features() noexcept;

// Asks the operating system, once, for the permission of this process to use tile registers.
bool tiles_granted() noexcept;

}  // namespace attune::inline v0_1::detail
