// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu.hpp"

#include "catch.hpp"

using attune::detail::CpuFeatures;

namespace {

// A CPU of 2013 with AVX2, FMA and F16C, one of 2017 with AVX-512 and one of 2023 with AMX, as CPUID describes them
// under an operating system that saves all registers.
constexpr CpuFeatures kHaswell{.leaf1_ecx = 0x7ffafbbf, .leaf7_ebx = 0x000027ab, .xcr0_low = 0x7};
constexpr CpuFeatures kSkylakeServer{.leaf1_ecx = 0x7ffefbff, .leaf7_ebx = 0xd39ffffb, .xcr0_low = 0xe7};
constexpr CpuFeatures kSapphireRapids{.leaf1_ecx = 0x7ffefbff,
                                      .leaf7_ebx = 0xf3bfb7ef,
                                      .leaf7_ecx = 0x1b415f7e,
                                      .leaf7_edx = 0xffc14010,
                                      .leaf7_1_eax = 0x1c30,
                                      .xcr0_low = 0x602e7};

}  // namespace

TEST_CASE("Instruction sets are recognised", "[kernels][cpu]") {
  CHECK_FALSE(CpuFeatures{}.has_avx2());
  CHECK_FALSE(CpuFeatures{}.has_avx512());
  CHECK(kHaswell.has_avx2());
  CHECK_FALSE(kHaswell.has_avx512());
  CHECK(kSkylakeServer.has_avx2());
  CHECK(kSkylakeServer.has_avx512());
  CHECK_FALSE(kSkylakeServer.has_avx512vnni());
  CHECK(kSapphireRapids.has_avx2());
  CHECK(kSapphireRapids.has_avx512());
  CHECK(kSapphireRapids.has_avx512vnni());
  CHECK(kSapphireRapids.has_amx());
}

TEST_CASE("A missing part of a level is missed", "[kernels][cpu]") {
  for (const unsigned bit : {12u, 27u, 28u, 29u}) {  // FMA, OSXSAVE, AVX, F16C
    CpuFeatures cpu = kSkylakeServer;
    cpu.leaf1_ecx &= ~(1u << bit);
    CHECK_FALSE(cpu.has_avx2());
    CHECK_FALSE(cpu.has_avx512());
  }
  for (const unsigned bit : {16u, 17u, 30u, 31u}) {  // F, DQ, BW, VL
    CpuFeatures cpu = kSapphireRapids;
    cpu.leaf7_ebx &= ~(1u << bit);
    CHECK(cpu.has_avx2());
    CHECK_FALSE(cpu.has_avx512());
    CHECK_FALSE(cpu.has_amx());
  }
  CpuFeatures cpu = kSkylakeServer;
  cpu.leaf7_ebx &= ~(1u << 5);  // AVX2
  CHECK_FALSE(cpu.has_avx2());
}

TEST_CASE("Bfloat16 and tiles need all their parts", "[kernels][cpu]") {
  CpuFeatures without_vnni = kSapphireRapids, without_bf16 = kSapphireRapids;
  without_vnni.leaf7_ecx &= ~(1u << 11);
  without_bf16.leaf7_1_eax &= ~(1u << 5);
  for (const CpuFeatures& cpu : {without_vnni, without_bf16}) {
    CHECK(cpu.has_avx512());
    CHECK_FALSE(cpu.has_avx512vnni());
    CHECK_FALSE(cpu.has_amx());
  }
  for (const unsigned bit : {22u, 24u, 25u}) {  // AMX-BF16, AMX-TILE, AMX-INT8
    CpuFeatures cpu = kSapphireRapids;
    cpu.leaf7_edx &= ~(1u << bit);
    CHECK(cpu.has_avx512vnni());
    CHECK_FALSE(cpu.has_amx());
  }
}

TEST_CASE("Registers that the operating system does not save are not used", "[kernels][cpu]") {
  CpuFeatures cpu = kSapphireRapids;
  for (const unsigned bit : {17u, 18u}) {
    cpu.xcr0_low = kSapphireRapids.xcr0_low & ~(1u << bit);  // half of the tile state
    CHECK(cpu.has_avx512vnni());
    CHECK_FALSE(cpu.has_amx());
  }
  cpu.xcr0_low = 0x7;  // no AVX-512 state
  CHECK(cpu.has_avx2());
  CHECK_FALSE(cpu.has_avx512());
  cpu.xcr0_low = 0x3;  // SSE alone
  CHECK_FALSE(cpu.has_avx2());
  CHECK_FALSE(cpu.has_avx512());
}
