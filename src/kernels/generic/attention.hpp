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

// Keys and values are walked through once, a part that stays in the first-level cache at a time, for all heads.
void attend_cached(float* out, const float* query, const float* key_blocks, const float* values, std::size_t count,
                   std::size_t heads, std::size_t head_dim, float scale, float* scores) {
  const std::size_t dim = heads * head_dim, blocks = (count + kLanes - 1) / kLanes, ld = blocks * kLanes;
  std::size_t block = 0;
  const auto scores_of = [&](auto together) {
    for (; block + together <= blocks; block += together) {
      for (std::size_t h = 0, d = 0; h < heads; ++h, d += head_dim) {
        key_scores<together>(scores + h * ld + block * kLanes, query + d, key_blocks + (block * dim + d) * kLanes, dim,
                             head_dim);
      }
    }
  };
  scores_of(Index<4>{});
  scores_of(Index<1>{});
  for (std::size_t h = 0; h < heads; ++h) {
    const float total = softmax_weights(scores + h * ld, count, scale);
    multiply(scores + h * ld, inverse_or_zero(total), count);
  }
  constexpr std::size_t kRowsAtOnce = 64;
  zero(out, dim);
  for (std::size_t t = 0; t < count; t += kRowsAtOnce) {
    const std::size_t rows = smaller(count - t, kRowsAtOnce);
    for (std::size_t h = 0, d = 0; h < heads; ++h, d += head_dim) {
      row_product(out + d, scores + h * ld + t, 1, values + t * dim + d, dim, head_dim, rows, true);
    }
  }
}

void set_attention(KernelTable<float>& table) { table.attend_cached = attend_cached; }

}  // namespace
}  // namespace attune::inline v0_1::detail
