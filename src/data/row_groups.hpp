// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

// Rows of a log by the value of one column, each group in the order of the log.
struct RowGroups {
  std::vector<std::size_t> offsets;  // [groups + 1]
  std::vector<std::size_t> rows;

  RowGroups(std::span<const std::uint32_t> column, std::size_t groups) : offsets(groups + 1), rows(column.size()) {
    for (const std::uint32_t value : column) ++offsets[value + 1];
    std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
    std::vector<std::size_t> next(offsets.begin(), offsets.end() - 1);
    for (std::size_t row = 0; row < column.size(); ++row) rows[next[column[row]]++] = row;
  }
  std::span<std::size_t> of(std::size_t group) {
    return std::span(rows).subspan(offsets[group], offsets[group + 1] - offsets[group]);
  }
};

}  // namespace attune::inline v0_1::detail
