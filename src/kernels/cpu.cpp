// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu.hpp"

#include "platform/process.hpp"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#define ATTUNE_X86 1
#endif

namespace attune::inline v0_1::detail {

CpuFeatures cpu_features() noexcept {
  CpuFeatures features;
#if defined(ATTUNE_X86)
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0) features.leaf1_ecx = ecx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
    features.leaf7_ebx = ebx;
    features.leaf7_ecx = ecx;
    features.leaf7_edx = edx;
    const bool has_subleaf1 = eax >= 1;
    if (has_subleaf1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0) features.leaf7_1_eax = eax;
  }
  constexpr std::uint32_t kOsxsave = feature_bit(27);
  if (has_all(features.leaf1_ecx, kOsxsave)) {  // the system uses XSAVE, so XGETBV may be asked
    __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    features.xcr0_low = eax;
  }
#endif
  return features;
}

bool tiles_granted() noexcept {
  static const bool granted = platform::request_tile_registers();
  return granted;
}

}  // namespace attune::inline v0_1::detail
