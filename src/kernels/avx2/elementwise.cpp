// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx2/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/elementwise.hpp"

void attune::detail::avx2::fill_elementwise(KernelTable<float>& table) { set_elementwise(table); }
