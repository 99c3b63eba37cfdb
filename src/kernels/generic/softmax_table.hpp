// SPDX-License-Identifier: Apache-2.0
#pragma once

// Softmax over the rows of a table in full precision: the packed table is the table, weights are [P, V].

#include "kernels/generic/matmul.hpp"
#include "kernels/generic/softmax.hpp"

namespace attune::inline v0_1::detail {
namespace {

std::size_t softmax_table_size(std::size_t rows, std::size_t columns) { return rows * columns; }

void softmax_table_pack(float* packed, const float* table, std::size_t rows, std::size_t dim) {
  __builtin_memcpy(packed, table, rows * dim * sizeof(float));
}

void softmax_table_forward(float* d_hidden, float* sums, float* weights, const float* hidden, const float* packed,
                           float scale, const float* shifts, std::size_t positions, std::size_t rows, std::size_t dim) {
  matmul_nt(weights, rows, hidden, dim, packed, dim, positions, rows, dim, false);
  for (std::size_t p = 0; p < positions; ++p) sums[p] = exp_sum(weights + p * rows, rows, scale, shifts[p]);
  matmul_nn(d_hidden, dim, weights, rows, packed, dim, positions, dim, rows, false);
}

void softmax_table_backward(float* d_table, const float* weights, const float* scaled_hidden, std::size_t positions,
                            std::size_t rows, std::size_t dim) {
  matmul_tn(d_table, dim, weights, rows, scaled_hidden, dim, rows, dim, positions, true);
}

void set_softmax_table(KernelTable<float>& table) {
  table.softmax_table = {softmax_table_size, softmax_table_size, softmax_table_pack, softmax_table_forward,
                         softmax_table_backward};
  table.rounded_softmax_table = table.softmax_table;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
