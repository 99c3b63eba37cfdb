// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx512/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/matmul.hpp"

void attune::detail::avx512::fill_matmul(KernelTable<float>& table) { set_matmul(table); }
