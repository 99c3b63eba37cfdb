// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx2/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/softmax_table.hpp"

void attune::detail::avx2::fill_softmax_table(KernelTable<float>& table) { set_softmax_table(table); }
