// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx512/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/elementwise.hpp"

void attune::detail::avx512::fill_elementwise(KernelTable<float>& table) { set_elementwise(table); }
