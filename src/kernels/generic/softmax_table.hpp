// SPDX-License-Identifier: Apache-2.0
#pragma once

// The softmax over the rows of a table, a few rows at a time: their logits for all positions, the exponentials, and
// what these add to the gradient of the positions, while all of it lies in the nearest cache. The exponentials are kept
// in chunks [P, kChunkRows] for the gradient of the table.

#include "kernels/generic/softmax.hpp"
#include "kernels/generic/tile.hpp"

namespace attune::inline v0_1::detail {
namespace {

// Both forms of a chunk of the table, beside a tile of C, fill about two thirds of a small first-level cache.
inline constexpr std::size_t kChunkRows = kTileColumns > 48 ? kTileColumns : (kTileColumns > 16 ? 64 : 48);
static_assert(kChunkRows % kTileColumns == 0);

inline std::size_t rounded_up(std::size_t n, std::size_t step) { return (n + step - 1) / step * step; }

// A chunk as panels of its rows' transpose [D, kChunkRows], for the logits, and as panels of the rows [kChunkRows, D].
inline std::size_t packed_chunk_size(std::size_t dim) {
  return kChunkRows * dim + kChunkRows * rounded_up(dim, kTileColumns);
}

std::size_t softmax_packed_size(std::size_t rows, std::size_t dim) {
  return (rows + kChunkRows - 1) / kChunkRows * packed_chunk_size(dim);
}

std::size_t softmax_weights_size(std::size_t positions, std::size_t rows) {
  return positions * rounded_up(rows, kChunkRows);
}

void softmax_pack(float* packed, const float* table, std::size_t rows, std::size_t dim) {
  for (std::size_t first = 0; first < rows; first += kChunkRows, packed += packed_chunk_size(dim)) {
    const std::size_t count = smaller(kChunkRows, rows - first);
    pack<Order::transposed>(packed, {table + first * dim, dim}, dim, count);
    pack<Order::as_stored>(packed + kChunkRows * dim, {table + first * dim, dim}, count, dim);
  }
}

// kRows positions against one chunk; `weights` [kRows, kChunkRows].
template <std::size_t kRows>
void softmax_forward_rows(float* d_hidden, float* sums, float* weights, const float* hidden, const float* chunk,
                          float scale, const float* shifts, std::size_t count, std::size_t dim, bool accumulate) {
  tiles<kRows, Order::as_stored>(weights, kChunkRows, {hidden, dim}, chunk, dim, count, false);
  for (std::size_t i = 0; i < kRows; ++i) {
    const float sum = exp_sum(weights + i * kChunkRows, count, scale, shifts[i]);
    sums[i] = accumulate ? sums[i] + sum : sum;
  }
  tiles<kRows, Order::as_stored>(d_hidden, dim, {weights, kChunkRows}, chunk + kChunkRows * dim, count, dim,
                                 accumulate);
}

void softmax_forward(float* d_hidden, float* sums, float* weights, const float* hidden, const float* packed,
                     float scale, const float* shifts, std::size_t positions, std::size_t rows, std::size_t dim) {
  for (std::size_t first = 0; first < rows; first += kChunkRows) {
    const std::size_t count = smaller(kChunkRows, rows - first);
    for_row_tiles(positions, [&](std::size_t p, auto tile_rows) {
      softmax_forward_rows<tile_rows>(d_hidden + p * dim, sums + p, weights + p * kChunkRows, hidden + p * dim, packed,
                                      scale, shifts + p, count, dim, first > 0);
    });
    packed += packed_chunk_size(dim);
    weights += positions * kChunkRows;
  }
}

// Panel by panel: its part of scaled_hidden stays close while the rows of the table pass by.
void softmax_backward(float* d_table, const float* weights, const float* scaled_hidden, std::size_t positions,
                      std::size_t rows, std::size_t dim) {
  alignas(64) float panel[kMaxPositions * kTileColumns];
  for (std::size_t column = 0; column < dim; column += kTileColumns) {
    const std::size_t columns = smaller(kTileColumns, dim - column);
    pack_panel(panel, scaled_hidden + column, dim, positions, columns);
    const float* chunk = weights;
    for (std::size_t first = 0; first < rows; first += kChunkRows, chunk += positions * kChunkRows) {
      for_row_tiles(smaller(kChunkRows, rows - first), [&](std::size_t r, auto tile_rows) {
        tiles<tile_rows, Order::transposed>(d_table + (first + r) * dim + column, dim, {chunk + r, kChunkRows}, panel,
                                            positions, columns, true);
      });
    }
  }
}

void set_softmax_table(KernelTable<float>& table) {
  table.softmax_table = {softmax_packed_size, softmax_weights_size, softmax_pack, softmax_forward, softmax_backward};
  table.rounded_softmax_table = table.softmax_table;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
