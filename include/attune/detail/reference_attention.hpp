// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kernels of attention and of the softmax over a table as the formulas say them: part of reference_kernels.hpp.

#include "attune/detail/reference_rows.hpp"

namespace attune::inline v0_1::detail::reference {

// scores[t] = <query, key t> over the columns [first, first + head_dim).
template <class T>
void cached_scores(T* scores, const T* query, const T* key_blocks, std::size_t count, std::size_t dim,
                   std::size_t first, std::size_t head_dim) {
  for (std::size_t t = 0; t < count; ++t) {
    const T* key = key_blocks + (t / kLanes) * dim * kLanes + t % kLanes;  // element d is key[d * kLanes]
    scores[t] = 0;
    for (std::size_t d = first; d < first + head_dim; ++d) scores[t] += query[d] * key[d * kLanes];
  }
}

template <class T>
void attend_cached(T* out, const T* query, const T* key_blocks, const T* values, std::size_t count, std::size_t heads,
                   std::size_t head_dim, T scale, T* scores) {
  const std::size_t dim = heads * head_dim;
  std::fill(out, out + dim, T(0));
  for (std::size_t first = 0; first < dim; first += head_dim) {
    cached_scores(scores, query, key_blocks, count, dim, first, head_dim);
    softmax_row(scores, count, scale);
    for (std::size_t t = 0; t < count; ++t) scaled_add(out + first, scores[t], values + t * dim + first, head_dim);
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

template <class T>
void silu_attend_cached(T* out, const T* query, const T* key_blocks, const T* values, std::size_t count,
                        std::size_t heads, std::size_t head_dim, const AttentionBias<T>& bias,
                        std::size_t position_stride, T scale, T* scores) {
  const std::size_t dim = heads * head_dim;
  std::fill(out, out + dim, T(0));
  AttentionBias<T> of_head = bias;
  for (std::size_t first = 0; first < dim; first += head_dim) {
    cached_scores(scores, query, key_blocks, count, dim, first, head_dim);
    silu_attention_forward(scores, of_head, scale, count);
    for (std::size_t t = 0; t < count; ++t) scaled_add(out + first, scores[t], values + t * dim + first, head_dim);
    if (bias.position) of_head.position += position_stride;
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
