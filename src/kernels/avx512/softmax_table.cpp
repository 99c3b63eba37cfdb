// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx512/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/softmax_table.hpp"

void attune::detail::avx512::fill_softmax_table(KernelTable<float>& table) { set_softmax_table(table); }
