// SPDX-License-Identifier: Apache-2.0
#include "kernels/amx/unit.hpp"
#include "kernels/avx512vnni/rounded_softmax_table.hpp"
#include "kernels/families.hpp"

void attune::detail::amx::fill_softmax_table(KernelTable<float>& table) {
  set_rounded_softmax_table<TileProducts>(table);
}
