// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx512vnni/rounded_matmul.hpp"
#include "kernels/avx512vnni/unit.hpp"
#include "kernels/families.hpp"

void attune::detail::avx512vnni::fill_matmul(KernelTable<float>& table) { set_rounded_matmul<DotProducts>(table); }
