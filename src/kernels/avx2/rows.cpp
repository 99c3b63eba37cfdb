// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx2/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/rows.hpp"

void attune::detail::avx2::fill_rows(KernelTable<float>& table) { set_rows(table); }
