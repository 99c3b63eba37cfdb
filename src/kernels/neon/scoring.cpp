// SPDX-License-Identifier: Apache-2.0
#include "kernels/neon/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/scoring.hpp"

void attune::detail::neon::fill_scoring(KernelTable<float>& table) { set_scoring(table); }
