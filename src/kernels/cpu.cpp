// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu.hpp"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#define ATTUNE_X86 1
#endif

namespace attune::inline v0_1::detail {
namespace {

constexpr bool has_all(std::uint32_t word, std::uint32_t bits) { return (word & bits) == bits; }
constexpr std::uint32_t bit(unsigned i) { return std::uint32_t{1} << i; }

}  // namespace

bool CpuFeatures::has_avx2() const noexcept {
  constexpr std::uint32_t kFma = bit(12), kOsxsave = bit(27), kAvx = bit(28), kF16c = bit(29);
  constexpr std::uint32_t kAvx2 = bit(5), kSavedAvx = bit(1) | bit(2);
  return has_all(leaf1_ecx, kFma | kOsxsave | kAvx | kF16c) && has_all(leaf7_ebx, kAvx2) &&
         has_all(xcr0_low, kSavedAvx);
}

bool CpuFeatures::has_avx512() const noexcept {
  constexpr std::uint32_t kF = bit(16), kDq = bit(17), kBw = bit(30), kVl = bit(31);
  constexpr std::uint32_t kSavedAvx512 = bit(5) | bit(6) | bit(7);
  return has_avx2() && has_all(leaf7_ebx, kF | kDq | kBw | kVl) && has_all(xcr0_low, kSavedAvx512);
}

CpuFeatures cpu_features() noexcept {
  CpuFeatures features;
#if defined(ATTUNE_X86)
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0) features.leaf1_ecx = ecx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) features.leaf7_ebx = ebx;
  if (has_all(features.leaf1_ecx, bit(27))) {  // the operating system uses XSAVE, so XGETBV may be asked
    __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    features.xcr0_low = eax;
  }
#endif
  return features;
}

}  // namespace attune::inline v0_1::detail
