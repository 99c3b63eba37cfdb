// SPDX-License-Identifier: Apache-2.0
#include "kernels/scalar/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/elementwise.hpp"

void attune::detail::scalar::fill_elementwise(KernelTable<float>& table) { set_elementwise(table); }
