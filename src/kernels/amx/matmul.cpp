// SPDX-License-Identifier: Apache-2.0
#include "kernels/amx/unit.hpp"
#include "kernels/avx512vnni/rounded_matmul.hpp"
#include "kernels/families.hpp"

void attune::detail::amx::fill_matmul(KernelTable<float>& table) { set_rounded_matmul<TileProducts>(table); }
