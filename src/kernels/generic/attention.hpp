// SPDX-License-Identifier: Apache-2.0
#pragma once

// One query against a cache of keys and values (model/sequence_state.hpp).

#include "kernels/generic/row_product.hpp"
#include "kernels/generic/softmax.hpp"

namespace attune::inline v0_1::detail {
namespace {

// scores [kBlocks * kLanes] of one head; `keys` points at its first dimension in the first block.
template <std::size_t kBlocks>
inline void key_scores(float* scores, const float* query, const float* keys, std::size_t dim, std::size_t head_dim) {
  constexpr std::size_t kVectors = kLanes / Vec::kWidth;
  Vec sums[kBlocks][kVectors];
  unroll<kBlocks>([&](auto b) { unroll<kVectors>([&](auto v) { sums[b][v] = Vec::zero(); }); });
  for (std::size_t d = 0; d < head_dim; ++d, keys += kLanes) {
    const Vec q = Vec::broadcast(query[d]);
    unroll<kBlocks>([&](auto b) {
      const float* key = keys + b * dim * kLanes;
      unroll<kVectors>([&](auto v) { sums[b][v] = fma(q, Vec::load(key + v * Vec::kWidth), sums[b][v]); });
    });
  }
  unroll<kBlocks>(
      [&](auto b) { unroll<kVectors>([&](auto v) { sums[b][v].store(scores + b * kLanes + v * Vec::kWidth); }); });
}

void attend_cached(float* out, const float* query, const float* key_blocks, const float* values, std::size_t count,
                   std::size_t heads, std::size_t head_dim, float scale, float* scores) {
  const std::size_t dim = heads * head_dim, blocks = (count + kLanes - 1) / kLanes;
  for (std::size_t h = 0; h < heads; ++h, scores += blocks * kLanes) {
    const std::size_t first = h * head_dim;
    std::size_t b = 0;
    const auto scores_of = [&](auto together) {
      for (; b + together <= blocks; b += together) {
        const float* keys = key_blocks + (b * dim + first) * kLanes;
        key_scores<together>(scores + b * kLanes, query + first, keys, dim, head_dim);
      }
    };
    scores_of(Index<4>{});
    scores_of(Index<1>{});
    const float total = softmax_weights(scores, count, scale);
    row_product(out + first, scores, 1, values + first, dim, head_dim, count, false);
    multiply(out + first, inverse_or_zero(total), head_dim);
  }
}

void set_attention(KernelTable<float>& table) { table.attend_cached = attend_cached; }

}  // namespace
}  // namespace attune::inline v0_1::detail
