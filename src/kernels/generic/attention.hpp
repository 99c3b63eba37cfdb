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
// weights_of(scores, head) turns the scores [count] of a head into weights, in place.
template <class Weights>
inline void attend(float* out, const float* query, const float* key_blocks, const float* values, std::size_t count,
                   std::size_t heads, std::size_t head_dim, float* scores, Weights weights_of) {
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
  for (std::size_t h = 0; h < heads; ++h) weights_of(scores + h * ld, h);
  constexpr std::size_t kRowsAtOnce = 64;
  zero(out, dim);
  for (std::size_t t = 0; t < count; t += kRowsAtOnce) {
    const std::size_t rows = smaller(count - t, kRowsAtOnce);
    for (std::size_t h = 0, d = 0; h < heads; ++h, d += head_dim) {
      row_product<1, Sums::split>(out + d, dim, {scores + h * ld + t, ld, 1}, values + t * dim + d, dim, head_dim, rows,
                                  true);
    }
  }
}

void attend_cached(float* out, const float* query, const float* key_blocks, const float* values, std::size_t count,
                   std::size_t heads, std::size_t head_dim, float scale, float* scores) {
  attend(out, query, key_blocks, values, count, heads, head_dim, scores, [&](float* row, std::size_t) {
    const float total = softmax_weights(row, count, scale);
    scale_by(row, inverse_or_zero(total), count);
  });
}

// Calls body(bias_at), where bias_at(j, lanes) is the bias of the elements from j on: a kind of loop for each kind of
// bias.
template <class Body>
inline void with_bias(const AttentionBias<float>& bias, Body body) {
  const auto position = [&](std::size_t j, auto lanes) { return lanes.load(bias.position + j); };
  const auto time = [&](std::size_t j, auto lanes) { return lanes.lookup(bias.time, bias.gaps + j); };
  if (bias.position && bias.gaps) {
    body([&](std::size_t j, auto lanes) { return position(j, lanes) + time(j, lanes); });
  } else if (bias.position) {
    body(position);
  } else if (bias.gaps) {
    body(time);
  } else {
    body([](std::size_t, auto) { return Vec::zero(); });
  }
}

void silu_attention_forward(float* s, const AttentionBias<float>& bias, float scale, std::size_t n) {
  with_bias(bias, [&](auto bias_at) {
    const Vec one = Vec::broadcast(1.0f), factor = Vec::broadcast(scale);
    for_each_vector(n, [&](std::size_t j, auto lanes) {
      const Vec x = lanes.load(s + j) + bias_at(j, lanes);
      lanes.store(s + j, factor * x / (one + exp(Vec::zero() - x)));
    });
  });
}

void silu_attention_backward(float* d, float* s, const AttentionBias<float>& bias, float scale, std::size_t n) {
  with_bias(bias, [&](auto bias_at) {
    const Vec one = Vec::broadcast(1.0f), factor = Vec::broadcast(scale);
    for_each_vector(n, [&](std::size_t j, auto lanes) {
      const Vec x = lanes.load(s + j) + bias_at(j, lanes);
      const Vec sigmoid = one / (one + exp(Vec::zero() - x)), scaled = factor * sigmoid;
      lanes.store(s + j, scaled * x);
      lanes.store(d + j, lanes.load(d + j) * (scaled * fma(x, one - sigmoid, one)));
    });
  });
}

// Gaps of a row come in long runs of one bucket.
void scatter_add(float* sums, const float* d, const std::uint8_t* gaps, std::size_t n) {
  for (std::size_t j = 0; j < n;) {
    const std::uint8_t gap = gaps[j];
    float sum = d[j++];
    for (; j < n && gaps[j] == gap; ++j) sum += d[j];
    sums[gap] += sum;
  }
}

void silu_attend_cached(float* out, const float* query, const float* key_blocks, const float* values, std::size_t count,
                        std::size_t heads, std::size_t head_dim, const AttentionBias<float>& bias,
                        std::size_t position_stride, float scale, float* scores) {
  attend(out, query, key_blocks, values, count, heads, head_dim, scores, [&](float* row, std::size_t head) {
    AttentionBias<float> of_head = bias;
    if (bias.position) of_head.position += head * position_stride;
    silu_attention_forward(row, of_head, scale, count);
  });
}

void set_attention(KernelTable<float>& table) {
  table.attend_cached = attend_cached;
  table.silu_attention_forward = silu_attention_forward;
  table.silu_attention_backward = silu_attention_backward;
  table.scatter_add = scatter_add;
  table.silu_attend_cached = silu_attend_cached;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
