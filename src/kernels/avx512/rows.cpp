// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx512/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/rows.hpp"

void attune::detail::avx512::fill_rows(KernelTable<float>& table) { set_rows(table); }
