// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx2/bytes.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/bounds.hpp"

void attune::detail::avx2::fill_bounds(KernelTable<float>& table) { set_bounds<Bytes>(table); }
