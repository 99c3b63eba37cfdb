// SPDX-License-Identifier: Apache-2.0
#pragma once

// What kernels that give the same bits on every level are compared at, in one process.

#include <vector>

#include "attune/detail/kernels.hpp"
#include "kernels/levels.hpp"

namespace attune::test {

inline const detail::KernelTable<float> kReference = detail::reference_kernels<float>();

// The active table and that of every level this CPU runs.
inline std::vector<const detail::KernelTable<float>*> all_tables() {
  std::vector<const detail::KernelTable<float>*> tables{&detail::kernels<float>()};
  for (const auto level : detail::supported_levels()) tables.push_back(&detail::kernels_of_level(level));
  return tables;
}

}  // namespace attune::test
