// SPDX-License-Identifier: Apache-2.0
#include "kernels/neon/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/elementwise.hpp"

void attune::detail::neon::fill_elementwise(KernelTable<float>& table) { set_elementwise(table); }
