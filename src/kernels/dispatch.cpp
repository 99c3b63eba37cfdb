// SPDX-License-Identifier: Apache-2.0
#include "attune/detail/kernels.hpp"

namespace attune::inline v0_1::detail {

const KernelTable<float>& float_kernels() {
  static constexpr KernelTable<float> table = reference_kernels<float>();
  return table;
}

}  // namespace attune::inline v0_1::detail
