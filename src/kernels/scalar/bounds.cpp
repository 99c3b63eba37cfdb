// SPDX-License-Identifier: Apache-2.0
#include "kernels/scalar/bytes.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/bounds.hpp"

void attune::detail::scalar::fill_bounds(KernelTable<float>& table) { set_bounds<Bytes>(table); }
