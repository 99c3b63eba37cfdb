// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "attune/detail/kernel_table.hpp"

namespace attune::inline v0_1::detail {
template <class T>
constexpr KernelTable<T> reference_kernels() {
  return {};
}
}  // namespace attune::inline v0_1::detail
