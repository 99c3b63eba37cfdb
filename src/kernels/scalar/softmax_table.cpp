// SPDX-License-Identifier: Apache-2.0
#include "kernels/scalar/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/softmax_table.hpp"

void attune::detail::scalar::fill_softmax_table(KernelTable<float>& table) { set_softmax_table(table); }
