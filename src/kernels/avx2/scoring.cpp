// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx2/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/scoring.hpp"

void attune::detail::avx2::fill_scoring(KernelTable<float>& table) { set_scoring(table); }
