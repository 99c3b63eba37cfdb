// SPDX-License-Identifier: Apache-2.0
#include "kernels/neon/bytes.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/bounds.hpp"

void attune::detail::neon::fill_bounds(KernelTable<float>& table) { set_bounds<Bytes>(table); }
