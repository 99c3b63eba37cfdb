// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which instruction sets this CPU has and this operating system saves and restores.

#include <cstdint>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

// What CPUID and XGETBV answer; all zero on other processors than x86.
struct CpuFeatures {
  std::uint32_t leaf1_ecx = 0;  // CPUID 1
  std::uint32_t leaf7_ebx = 0;  // CPUID 7.0
  std::uint32_t xcr0_low = 0;   // register state that the operating system saves, 0 where it does not say

  bool has_avx2() const noexcept;    // with FMA and F16C
  bool has_avx512() const noexcept;  // F, BW, DQ, VL, and all of has_avx2()
};

CpuFeatures cpu_features() noexcept;

}  // namespace attune::inline v0_1::detail
