// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx512/vec.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/attention.hpp"

void attune::detail::avx512::fill_attention(KernelTable<float>& table) { set_attention(table); }
