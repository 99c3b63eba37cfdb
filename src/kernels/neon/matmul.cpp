// SPDX-License-Identifier: Apache-2.0
#include "kernels/neon/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/matmul.hpp"

void attune::detail::neon::fill_matmul(KernelTable<float>& table) { set_matmul(table); }
