// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx512vnni/rounded_softmax_table.hpp"
#include "kernels/avx512vnni/unit.hpp"
#include "kernels/families.hpp"

void attune::detail::avx512vnni::fill_softmax_table(KernelTable<float>& table) {
  set_rounded_softmax_table<DotProducts>(table);
}
