// SPDX-License-Identifier: Apache-2.0
#pragma once

// One or two queries against a cache of keys and values (model/sequence_state.hpp).

#include "kernels/generic/row_product.hpp"
#include "kernels/generic/softmax.hpp"

namespace attune::inline v0_1::detail {
namespace {

// scores [kRows, kBlocks * kLanes] of one head, rows `ld` apart; `keys` points at its first dimension in the first
// block. `ahead` as in CachedRows.
template <std::size_t kRows, std::size_t kBlocks, bool kAhead, class S>
inline void key_scores(float* scores, std::size_t ld, const float* query, std::size_t stride, const S* keys,
                       std::size_t dim, std::size_t head_dim, std::size_t ahead) {
  constexpr std::size_t kVectors = kLanes / Vec::kWidth;
  Vec sums[kRows][kBlocks][kVectors];
  unroll<kRows>([&](auto r) {
    unroll<kBlocks>([&](auto b) { unroll<kVectors>([&](auto v) { sums[r][b][v] = Vec::zero(); }); });
  });
  for (std::size_t d = 0; d < head_dim; ++d, keys += kLanes) {
    Vec q[kRows];
    unroll<kRows>([&](auto r) { q[r] = Vec::broadcast(query[r * stride + d]); });
    unroll<kBlocks>([&](auto b) {
      if constexpr (kAhead) __builtin_prefetch(keys + b * dim * kLanes + ahead);
      unroll<kVectors>([&](auto v) {
        const Vec key = Whole::load(keys + b * dim * kLanes + v * Vec::kWidth);
        unroll<kRows>([&](auto r) { sums[r][b][v] = fma(q[r], key, sums[r][b][v]); });
      });
    });
  }
  unroll<kRows>([&](auto r) {
    unroll<kBlocks>([&](auto b) {
      unroll<kVectors>([&](auto v) { sums[r][b][v].store(scores + r * ld + b * kLanes + v * Vec::kWidth); });
    });
  });
}

// Keys and values are walked through once, a part that stays in the first-level cache at a time, for all rows and
// heads. weights_of(scores, row, head, count) turns the scores [count] of a head into weights, in place.
template <std::size_t kRows, bool kAhead, class S, class Weights>
inline void attend(float* out, const CacheQueries<float>& queries, const CachedRows<S>& cache, float* scores,
                   Weights weights_of) {
  const std::size_t heads = cache.heads, head_dim = cache.head_dim, dim = heads * head_dim;
  const std::size_t length = queries.count + (kRows - 1) * queries.step;
  const std::size_t blocks = (length + kLanes - 1) / kLanes, ld = blocks * kLanes;
  std::size_t block = 0;
  const auto scores_of = [&](auto together) {
    for (; block + together <= blocks; block += together) {
      for (std::size_t h = 0, d = 0; h < heads; ++h, d += head_dim) {
        key_scores<kRows, together, kAhead>(scores + h * ld + block * kLanes, heads * ld, queries.rows + d,
                                            queries.stride, cache.keys + (block * dim + d) * kLanes, dim, head_dim,
                                            cache.ahead);
      }
    }
  };
  scores_of(Index<(kRows * 4 * kLanes / Vec::kWidth > kRowSums ? 2 : 4)>{});
  scores_of(Index<1>{});
  for (std::size_t r = 0; r < kRows; ++r) {
    for (std::size_t h = 0; h < heads; ++h) {
      weights_of(scores + (r * heads + h) * ld, r, h, queries.count + r * queries.step);
    }
  }
  constexpr std::size_t kPositionsAtOnce = 64;
  zero(out, kRows * dim);
  for (std::size_t t = 0; t < length; t += kPositionsAtOnce) {
    const std::size_t positions = smaller(length - t, kPositionsAtOnce);
    const std::size_t shared = queries.count > t ? smaller(queries.count - t, positions) : 0;
    if constexpr (kAhead) {
      const S* const first = cache.values + t * dim + cache.ahead;
      for (std::size_t i = 0; i < positions * dim; i += 64 / sizeof(S)) __builtin_prefetch(first + i);
    }
    for (std::size_t h = 0, d = 0; h < heads; ++h, d += head_dim) {
      row_product<kRows, Sums::split>(out + d, dim, {scores + h * ld + t, heads * ld, 1}, cache.values + t * dim + d,
                                      dim, head_dim, shared, positions - shared, true);
    }
  }
}

// Calls body(rows, ahead) with the number of queries, and whether to look ahead, as constants.
template <class S, class Body>
inline void with_rows(const CacheQueries<float>& queries, const CachedRows<S>& cache, Body body) {
  const auto of = [&](auto rows) { cache.ahead != 0 ? body(rows, Index<1>{}) : body(rows, Index<0>{}); };
  queries.size == 2 ? of(Index<2>{}) : of(Index<1>{});
}

template <class S>
void attend_softmax(float* out, const CacheQueries<float>& queries, const CachedRows<S>& cache, float scale,
                    float* scores) {
  with_rows(queries, cache, [&](auto rows, auto ahead) {
    attend<rows, ahead>(out, queries, cache, scores, [&](float* row, std::size_t, std::size_t, std::size_t count) {
      const float total = softmax_weights(row, count, scale);
      scale_by(row, inverse_or_zero(total), count);
    });
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

template <class Bias>
inline void silu_weights(float* s, Bias bias_at, float scale, std::size_t n) {
  const Vec one = Vec::broadcast(1.0f), factor = Vec::broadcast(scale);
  for_each_vector(n, [&](std::size_t j, auto lanes) {
    const Vec x = lanes.load(s + j) + bias_at(j, lanes);
    lanes.store(s + j, factor * x / (one + exp(Vec::zero() - x)));
  });
}

void silu_attention_forward(float* s, const AttentionBias<float>& bias, float scale, std::size_t n) {
  with_bias(bias, [&](auto bias_at) { silu_weights(s, bias_at, scale, n); });
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

// The bias of time is the same for every head: looked up once per row.
template <class S>
void attend_silu(float* out, const CacheQueries<float>& queries, const CachedRows<S>& cache,
                 const AttentionBias<float>* bias, std::size_t position_stride, const float* scale, float* scores) {
  with_rows(queries, cache, [&](auto rows, auto ahead) {
    const std::size_t length = queries.count + (rows - 1) * queries.step;
    float* const times = scores + rows * cache.heads * ((length + kLanes - 1) / kLanes * kLanes);
    const auto weights_of = [&](float* row, std::size_t r, std::size_t head, std::size_t count) {
      const float* const position = bias[r].position ? bias[r].position + head * position_stride : nullptr;
      if (!bias[r].gaps) return silu_attention_forward(row, {position, nullptr, nullptr}, scale[r], count);
      if (head == 0) {
        for_each_vector(count, [&](std::size_t j, auto lanes) {
          lanes.store(times + j, lanes.lookup(bias[r].time, bias[r].gaps + j));
        });
      }
      const auto time_at = [&](std::size_t j, auto lanes) { return lanes.load(times + j); };
      if (!position) return silu_weights(row, time_at, scale[r], count);
      const auto bias_at = [&](std::size_t j, auto lanes) { return lanes.load(position + j) + time_at(j, lanes); };
      silu_weights(row, bias_at, scale[r], count);
    };
    attend<rows, ahead>(out, queries, cache, scores, weights_of);
  });
}

void set_attention(KernelTable<float>& table) {
  table.attend_cached = attend_softmax<float>;
  table.attend_rounded = attend_softmax<std::uint16_t>;
  table.silu_attention_forward = silu_attention_forward;
  table.silu_attention_backward = silu_attention_backward;
  table.scatter_add = scatter_add;
  table.silu_attend_cached = attend_silu<float>;
  table.silu_attend_rounded = attend_silu<std::uint16_t>;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
