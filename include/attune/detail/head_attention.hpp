// SPDX-License-Identifier: Apache-2.0
#pragma once

// Attention of one head over one sequence, for training: in blocks of query rows, with only the keys they can see. What
// makes weights of scores is a rule of the caller's. Weights are made anew for the backward pass: no [L, L] is kept.
//
// L events of a sequence, E width of a head; T is float or double.

#include <algorithm>
#include <cstddef>

#include "attune/data/sequence_batch.hpp"
#include "attune/detail/layers.hpp"
#include "attune/model/config.hpp"

namespace attune::inline v0_1::detail {

template <class T>
class HeadAttention {
 public:
  explicit HeadAttention(const EncoderConfig& config)
      : kernels_(&kernels<T>()),
        dim_(config.embedding_dim),
        head_dim_(config.embedding_dim / config.num_heads),
        causal_(config.mask == AttentionMask::causal) {}

  std::size_t visible(std::size_t row, std::size_t length) const noexcept { return causal_ ? row + 1 : length; }
  static std::size_t scratch_size(std::size_t length) noexcept { return 2 * kQueryRows * length; }

  // Query, key and value [L, E] of one head lie D apart in rows of `stride` elements.
  struct Rows {
    std::size_t length, stride;
  };

  // context [L, E], rows D apart. rule(scores, first, row_count, keys) turns scores [row_count, L] of the rows from
  // `first` on into weights, in place; of a row's `keys` columns it zeroes those that the row cannot see.
  template <class Rule>
  void forward(T* context, const T* query, Rows rows, Precision precision, T* scratch, Rule rule) const {
    const T *key = query + dim_, *value = query + 2 * dim_;
    const Products<T> products(*kernels_, precision);
    for (std::size_t first = 0; first < rows.length; first += kQueryRows) {
      const std::size_t count = std::min(kQueryRows, rows.length - first);
      const std::size_t keys = visible(first + count - 1, rows.length);
      T* weights = scratch;
      products.nt(weights, rows.length, query + first * rows.stride, rows.stride, key, rows.stride, count, keys,
                  head_dim_, false);
      rule(weights, first, count, keys);
      products.nn(context + first * dim_, dim_, weights, rows.length, value, rows.stride, count, head_dim_, keys,
                  false);
    }
  }

  // d_query, and behind it d_key and d_value, are laid out as the query and overwritten. rule(d_weights, scores, first,
  // row_count, keys) turns scores into weights and d_weights into the gradient of the scores, both in place.
  // From the last query rows to the first: those see every key, so they set d_key and d_value and the others add.
  template <class Rule>
  void backward(T* d_query, const T* d_context, const T* query, Rows rows, Precision precision, T* scratch,
                Rule rule) const {
    const T *key = query + dim_, *value = query + 2 * dim_;
    T *d_key = d_query + dim_, *d_value = d_query + 2 * dim_;
    const Products<T> products(*kernels_, precision);
    const std::size_t length = rows.length, stride = rows.stride;
    const std::size_t blocks = (length + kQueryRows - 1) / kQueryRows;
    for (std::size_t block = blocks; block-- > 0;) {
      const bool add = block + 1 < blocks;
      const std::size_t first = block * kQueryRows, count = std::min(kQueryRows, length - first);
      const std::size_t keys = visible(first + count - 1, length);
      const T* d_rows = d_context + first * dim_;
      T *weights = scratch, *d_weights = scratch + kQueryRows * length;
      products.nt(weights, length, query + first * stride, stride, key, stride, count, keys, head_dim_, false);
      products.nt(d_weights, length, d_rows, dim_, value, stride, count, keys, head_dim_, false);
      rule(d_weights, weights, first, count, keys);
      products.tn(d_value, stride, weights, length, d_rows, dim_, keys, head_dim_, count, add);
      products.nn(d_query + first * stride, stride, d_weights, length, key, stride, count, head_dim_, keys, false);
      products.tn(d_key, stride, d_weights, length, query + first * stride, stride, keys, head_dim_, count, add);
    }
  }

 private:
  // Query rows that are multiplied at once.
  static constexpr std::size_t kQueryRows = 48;

  const KernelTable<T>* kernels_;
  std::size_t dim_, head_dim_;
  bool causal_;
};

inline std::size_t longest(const SequenceBatch& batch) noexcept {
  std::size_t length = 0;
  for (std::size_t s = 0; s < batch.num_sequences(); ++s) length = std::max(length, batch.length(s));
  return length;
}

}  // namespace attune::inline v0_1::detail
