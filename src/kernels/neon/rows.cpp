// SPDX-License-Identifier: Apache-2.0
#include "kernels/neon/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/rows.hpp"

void attune::detail::neon::fill_rows(KernelTable<float>& table) { set_rows(table); }
