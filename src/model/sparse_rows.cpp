// SPDX-License-Identifier: Apache-2.0
#include "model/sparse_rows.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "attune/error.hpp"

namespace attune::inline v0_1::detail {

void check_sparse_rows(const SparseRows& rows, std::size_t size, const std::string& what) {
  const auto require = [&](bool fits, const char* why) {
    if (!fits) throw Error(ErrorCode::corrupt_file, what + ": " + why);
  };
  require(rows.offsets.size() == size + 1, "expected one offset more than items");
  require(rows.offsets.front() == 0 && rows.offsets.back() == rows.columns.size(),
          "the offsets do not cover the columns");
  require(rows.values.size() == rows.columns.size(), "expected as many counts as columns");
  require(std::ranges::is_sorted(rows.offsets), "the offsets are not ascending");
  for (std::size_t x = 0; x < size; ++x) {
    const auto row = rows.columns.subspan(rows.offsets[x], rows.offsets[x + 1] - rows.offsets[x]);
    require(row.empty() || row.back() < size, "a column is beyond the items");
    require(std::ranges::adjacent_find(row, std::ranges::greater_equal()) == row.end(),
            "the columns of a row are not ascending");
  }
  require(std::ranges::all_of(rows.values, [](float value) { return std::isfinite(value) && value > 0; }),
          "a count is not a positive number");
}

}  // namespace attune::inline v0_1::detail
