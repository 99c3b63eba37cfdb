// SPDX-License-Identifier: Apache-2.0
#pragma once

// What each unit <level>/<family>.cpp defines: a function that enters the family's kernels into a table. It may be
// called only where the level is supported.

#include "attune/detail/kernel_table.hpp"

namespace attune::inline v0_1::detail {

using Fill = void(KernelTable<float>& table);

namespace scalar {
Fill fill_matmul, fill_attention, fill_rows, fill_elementwise, fill_scoring, fill_bounds, fill_softmax_table;
}
namespace avx2 {
Fill fill_matmul, fill_attention, fill_rows, fill_elementwise, fill_scoring, fill_bounds, fill_softmax_table;
}
namespace avx512 {
Fill fill_matmul, fill_attention, fill_rows, fill_elementwise, fill_scoring, fill_bounds, fill_softmax_table;
}
// These inherit what they do not replace.
namespace avx512vnni {
Fill fill_matmul, fill_bounds, fill_softmax_table;
}
namespace amx {
Fill fill_matmul, fill_bounds, fill_softmax_table;
}
namespace neon {
Fill fill_matmul, fill_attention, fill_rows, fill_elementwise, fill_scoring, fill_bounds, fill_softmax_table;
}

}  // namespace attune::inline v0_1::detail
