// SPDX-License-Identifier: Apache-2.0
#pragma once

// kernels<T>(): the table that a template works with. `float` is dispatched once to the best level of this CPU; every
// other type gets the naive reference, which is how gradients are checked in `double`.

#include "attune/detail/kernel_table.hpp"
#include "attune/detail/reference_kernels.hpp"
#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

ATTUNE_EXPORT const KernelTable<float>& float_kernels();

template <class T>
const KernelTable<T>& kernels() {
  static constexpr KernelTable<T> table = reference_kernels<T>();
  return table;
}
template <>
inline const KernelTable<float>& kernels<float>() {
  return float_kernels();
}

}  // namespace attune::inline v0_1::detail
