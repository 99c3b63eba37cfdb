// SPDX-License-Identifier: Apache-2.0
#pragma once

// The instruction-set levels by name. float_kernels() in attune/detail/kernels.hpp is what everything else uses.

#include <string_view>
#include <vector>

#include "attune/detail/kernel_table.hpp"

namespace attune::inline v0_1::detail {

// Slowest first. A level is supported when it is compiled and both CPU and operating system can run it.
std::vector<std::string_view> compiled_levels();
std::vector<std::string_view> supported_levels();

// The level's table. Throws Error, worded for the value of ATTUNE_SIMD: invalid_argument for a name that is no level;
// unsupported, naming what is missing, for a level that this build or this CPU lacks.
const KernelTable<float>& kernels_of_level(std::string_view level);

}  // namespace attune::inline v0_1::detail
