// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu.hpp"

#include <stdexcept>
#include <string>

#include "kernels/emulated/fault.hpp"

namespace attune::inline v0_1::detail {

// Everything, where there is the AVX2 that the emulation is compiled with; else nothing.
CpuFeatures cpu_features() noexcept {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return {};
  constexpr std::uint32_t kAll = 0xffffffff;
  return {kAll, kAll, kAll, kAll, kAll, kAll};
}

bool tiles_granted() noexcept { return true; }

}  // namespace attune::inline v0_1::detail

namespace attune::emulated {

void fault(const char* what) { throw std::logic_error("emulated instruction: " + std::string(what)); }

}  // namespace attune::emulated
