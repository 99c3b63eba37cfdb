// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx2/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/matmul.hpp"

void attune::detail::avx2::fill_matmul(KernelTable<float>& table) { set_matmul(table); }
