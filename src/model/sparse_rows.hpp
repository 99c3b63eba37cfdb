// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace attune::inline v0_1::detail {

// What a file claims to be sparse rows: columns and positive values of row x at [offsets[x], offsets[x + 1]).
struct SparseRows {
  std::span<const std::uint64_t> offsets;  // [rows + 1]
  std::span<const std::uint32_t> columns;  // ascending within a row, below rows
  std::span<const float> values;
};

// Throws Error(corrupt_file), "<what>: <why>", unless they are a square matrix of `size` rows.
void check_sparse_rows(const SparseRows& rows, std::size_t size, const std::string& what);

}  // namespace attune::inline v0_1::detail
