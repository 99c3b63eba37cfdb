// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx512vnni/bytes.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/bounds.hpp"

void attune::detail::avx512vnni::fill_bounds(KernelTable<float>& table) { set_bounds<DotBytes>(table); }
