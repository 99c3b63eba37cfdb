// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu.hpp"

#include "catch.hpp"

using attune::detail::CpuFeatures;

namespace {

// A CPU of 2013 with AVX2, FMA and F16C, and one of 2017 with AVX-512, as CPUID describes them under an operating
// system that saves all registers.
constexpr CpuFeatures kHaswell{0x7ffafbbf, 0x000027ab, 0x7};
constexpr CpuFeatures kSkylakeServer{0x7ffefbff, 0xd39ffffb, 0xe7};

}  // namespace

TEST_CASE("Instruction sets are recognised", "[kernels][cpu]") {
  CHECK_FALSE(CpuFeatures{}.has_avx2());
  CHECK_FALSE(CpuFeatures{}.has_avx512());
  CHECK(kHaswell.has_avx2());
  CHECK_FALSE(kHaswell.has_avx512());
  CHECK(kSkylakeServer.has_avx2());
  CHECK(kSkylakeServer.has_avx512());
}

TEST_CASE("A missing part of a level is missed", "[kernels][cpu]") {
  for (const unsigned bit : {12u, 27u, 28u, 29u}) {  // FMA, OSXSAVE, AVX, F16C
    CpuFeatures cpu = kSkylakeServer;
    cpu.leaf1_ecx &= ~(1u << bit);
    CHECK_FALSE(cpu.has_avx2());
    CHECK_FALSE(cpu.has_avx512());
  }
  for (const unsigned bit : {16u, 17u, 30u, 31u}) {  // F, DQ, BW, VL
    CpuFeatures cpu = kSkylakeServer;
    cpu.leaf7_ebx &= ~(1u << bit);
    CHECK(cpu.has_avx2());
    CHECK_FALSE(cpu.has_avx512());
  }
  CpuFeatures cpu = kSkylakeServer;
  cpu.leaf7_ebx &= ~(1u << 5);  // AVX2
  CHECK_FALSE(cpu.has_avx2());
}

TEST_CASE("Registers that the operating system does not save are not used", "[kernels][cpu]") {
  CpuFeatures cpu = kSkylakeServer;
  cpu.xcr0_low = 0x7;  // no AVX-512 state
  CHECK(cpu.has_avx2());
  CHECK_FALSE(cpu.has_avx512());
  cpu.xcr0_low = 0x3;  // SSE alone
  CHECK_FALSE(cpu.has_avx2());
  CHECK_FALSE(cpu.has_avx512());
}
