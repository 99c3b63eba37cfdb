// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kernels of attention and of the softmax over a table as the formulas say them: part of reference_kernels.hpp.

#include <bit>

#include "attune/detail/reference_rows.hpp"

namespace attune::inline v0_1::detail::reference {

// An element of a cache: a T, or a bfloat16, which is the upper half of a float.
template <class T>
T cached(T x) {
  return x;
}
template <class T>
T cached(std::uint16_t x) {
  return static_cast<T>(std::bit_cast<float>(std::uint32_t{x} << 16));
}

// Row r of queries in the head from column `first` on: scores become weights by weights_of(scores), then out [D] their
// sum of values.
template <class T, class S, class Weights>
void attend_head(T* out, const CacheQueries<T>& queries, const CachedRows<S>& cache, std::size_t r, std::size_t first,
                 T* scores, Weights weights_of) {
  const std::size_t dim = cache.heads * cache.head_dim, count = queries.count + r * queries.step;
  const T* query = queries.rows + r * queries.stride;
  for (std::size_t t = 0; t < count; ++t) {
    const S* key = cache.keys + (t / kLanes) * dim * kLanes + t % kLanes;  // element d is key[d * kLanes]
    scores[t] = 0;
    for (std::size_t d = first; d < first + cache.head_dim; ++d) scores[t] += query[d] * cached<T>(key[d * kLanes]);
  }
  weights_of(scores, count);
  for (std::size_t d = first; d < first + cache.head_dim; ++d) {
    out[d] = 0;
    for (std::size_t t = 0; t < count; ++t) out[d] += scores[t] * cached<T>(cache.values[t * dim + d]);
  }
}

template <class T, class S>
void attend_cached(T* out, const CacheQueries<T>& queries, const CachedRows<S>& cache, T scale, T* scores) {
  for (std::size_t r = 0; r < queries.size; ++r) {
    for (std::size_t h = 0; h < cache.heads; ++h) {
      attend_head(out + r * cache.heads * cache.head_dim, queries, cache, r, h * cache.head_dim, scores,
                  [&](T* row, std::size_t count) { softmax_row(row, count, scale); });
    }
  }
}

template <class T>
T biased(T score, const AttentionBias<T>& bias, std::size_t j) {
  return score + (bias.position ? bias.position[j] : T(0)) + (bias.gaps ? bias.time[bias.gaps[j]] : T(0));
}

template <class T>
void silu_attention_forward(T* s, const AttentionBias<T>& bias, T scale, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) {
    const T x = biased(s[j], bias, j);
    s[j] = scale * x / (T(1) + std::exp(-x));
  }
}

template <class T>
void silu_attention_backward(T* d, T* s, const AttentionBias<T>& bias, T scale, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) {
    const T x = biased(s[j], bias, j), sigmoid = T(1) / (T(1) + std::exp(-x));
    s[j] = scale * x * sigmoid;
    d[j] *= scale * sigmoid * (T(1) + x * (T(1) - sigmoid));
  }
}

template <class T>
void scatter_add(T* sums, const T* d, const std::uint8_t* gaps, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) sums[gaps[j]] += d[j];
}

template <class T, class S>
void silu_attend_cached(T* out, const CacheQueries<T>& queries, const CachedRows<S>& cache,
                        const AttentionBias<T>* bias, std::size_t position_stride, const T* scale, T* scores) {
  for (std::size_t r = 0; r < queries.size; ++r) {
    for (std::size_t h = 0; h < cache.heads; ++h) {
      AttentionBias<T> of_head = bias[r];
      if (of_head.position) of_head.position += h * position_stride;
      attend_head(out + r * cache.heads * cache.head_dim, queries, cache, r, h * cache.head_dim, scores,
                  [&](T* row, std::size_t count) { silu_attention_forward(row, of_head, scale[r], count); });
    }
  }
}

template <class T>
void multiply(T* y, const T* a, const T* b, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] = a[i] * b[i];
}

// Packed is the table as it is, weights are [P, V].
template <class T>
struct SoftmaxRows {
  static std::size_t packed_size(std::size_t rows, std::size_t dim) { return rows * dim; }
  static std::size_t weights_size(std::size_t positions, std::size_t rows) { return positions * rows; }
  static void pack(T* packed, const T* table, std::size_t rows, std::size_t dim) {
    std::copy(table, table + rows * dim, packed);
  }
  static void forward(T* d_hidden, T* sums, T* weights, const T* hidden, const T* packed, T scale, const T* shifts,
                      std::size_t positions, std::size_t rows, std::size_t dim) {
    matmul_nt(weights, rows, hidden, dim, packed, dim, positions, rows, dim, false);
    for (std::size_t p = 0; p < positions; ++p) sums[p] = exp_sum(weights + p * rows, rows, scale, shifts[p]);
    matmul_nn(d_hidden, dim, weights, rows, packed, dim, positions, dim, rows, false);
  }
  static void backward(T* d_table, const T* weights, const T* scaled_hidden, std::size_t positions, std::size_t rows,
                       std::size_t dim) {
    matmul_tn(d_table, dim, weights, rows, scaled_hidden, dim, rows, dim, positions, true);
  }
  static constexpr SoftmaxTable<T> kTable{packed_size, weights_size, pack, forward, backward};
};

}  // namespace attune::inline v0_1::detail::reference
