// SPDX-License-Identifier: Apache-2.0
#include "kernels/neon/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/attention.hpp"

void attune::detail::neon::fill_attention(KernelTable<float>& table) { set_attention(table); }
