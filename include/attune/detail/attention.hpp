// SPDX-License-Identifier: Apache-2.0
#pragma once

// Multi-head softmax attention of a sequence over itself (Vaswani et al. 2017). Training works on packed batches,
// sequence by sequence, head by head, in blocks of query rows with only the keys they can see; serving works row by
// row against a cache. Immutable, safe from any thread.
//
// N tokens of a packed batch, L of one sequence, D width, H heads, E = D / H; T is float or double.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

#include "attune/data/sequence_batch.hpp"
#include "attune/detail/dropout.hpp"
#include "attune/detail/layers.hpp"
#include "attune/model/config.hpp"
#include "attune/model/sequence_state.hpp"

namespace attune::inline v0_1::detail {

template <class T>
class SelfAttention {
 public:
  // `block` tells the dropout sites of different layers apart.
  SelfAttention(const std::string& name, const EncoderConfig& config, std::size_t block, ParameterList& parameters)
      : kernels_(&kernels<T>()),
        block_(block),
        dim_(config.embedding_dim),
        heads_(config.num_heads),
        head_dim_(dim_ / heads_),
        scale_(static_cast<T>(1.0 / std::sqrt(static_cast<double>(head_dim_)))),
        causal_(config.mask == AttentionMask::causal),
        qkv_(name + ".qkv", dim_, 3 * dim_, parameters),
        output_(name + ".output", dim_, dim_, parameters) {}

  // Training: y [N, D] from x [N, D], and d_x from d_y (which may be the same array).

  std::size_t tape_size(const SequenceBatch& batch) const noexcept { return layout<T>(nullptr, batch).size; }
  std::size_t scratch_size(const SequenceBatch& batch) const noexcept {
    return scratch_layout(nullptr, batch.num_tokens(), max_length(batch)).size;
  }
  void forward(T* y, T* tape, const T* x, const SequenceBatch& batch, const T* parameters, const Dropout& dropout,
               T* scratch) const;
  void backward(T* d_x, T* d_parameters, const T* d_y, const T* x, const T* tape, const SequenceBatch& batch,
                const T* parameters, const Dropout& dropout, T* scratch) const;

  // Serving: R rows at positions position ... position + R - 1 of one sequence.

  // Stores keys and values of x [R, D]; writes their queries to q [R, D] unless it is null. scratch [R, 3 D].
  void project(T* q, KeyValueCache<T> cache, const T* x, std::size_t rows, std::size_t position, const T* parameters,
               T* scratch) const;
  // y [R, D] from q [R, D] against a cache that holds `length` positions. scratch: attend_scratch_size.
  void attend(T* y, const T* q, KeyValueCache<T> cache, std::size_t rows, std::size_t position, std::size_t length,
              const T* parameters, T* scratch) const;
  std::size_t attend_scratch_size(std::size_t rows, std::size_t window) const noexcept {
    return rows * dim_ + heads_ * (window + kLanes);
  }

 private:
  // Query rows that are multiplied at once.
  static constexpr std::size_t kQueryRows = 48;

  template <class P>
  struct Tape {
    P* qkv;      // [N, 3 D]: query, key, value
    P* weights;  // per sequence [H, L, L], before dropout
    P* context;  // [N, D]: weighted values of all heads
    std::size_t size;
  };
  template <class P>
  Tape<P> layout(P* tape, const SequenceBatch& batch) const noexcept {
    std::size_t weights = 0;
    for (std::size_t s = 0; s < batch.num_sequences(); ++s) weights += heads_ * batch.length(s) * batch.length(s);
    Carver<P> carver(tape);
    P* qkv = carver.take(batch.num_tokens() * 3 * dim_);
    P* all_weights = carver.take(weights);
    P* context = carver.take(batch.num_tokens() * dim_);
    return {qkv, all_weights, context, carver.used()};
  }

  struct Scratch {
    T* d_context;  // [N, D]
    T* d_qkv;      // [N, 3 D]
    T* dropped;    // [kQueryRows, L]: weights after dropout
    T* d_weights;  // [kQueryRows, L]
    std::size_t size;
  };
  Scratch scratch_layout(T* scratch, std::size_t tokens, std::size_t length) const noexcept {
    Carver<T> carver(scratch);
    T* d_context = carver.take(tokens * dim_);
    T* d_qkv = carver.take(tokens * 3 * dim_);
    T* dropped = carver.take(kQueryRows * length);
    T* d_weights = carver.take(kQueryRows * length);
    return {d_context, d_qkv, dropped, d_weights, carver.used()};
  }

  static std::size_t max_length(const SequenceBatch& batch) noexcept {
    std::size_t length = 0;
    for (std::size_t s = 0; s < batch.num_sequences(); ++s) length = std::max(length, batch.length(s));
    return length;
  }

  // One head of one sequence. Strides are 3 D for query, key, value and their gradients, D for context, L for weights.
  struct Head {
    std::size_t length, index;
    std::uint64_t key;  // of the sequence
  };
  void forward_head(T* context, T* weights, const T* query, const Head& head, const Dropout& dropout, T* dropped) const;
  void backward_head(T* d_query, const T* d_context, const T* weights, const T* query, const Head& head,
                     const Dropout& dropout, const Scratch& scratch) const;

  std::size_t visible(std::size_t row, std::size_t length) const noexcept { return causal_ ? row + 1 : length; }
  // Draws the mask of `rows` rows of attention weights, in place.
  void drop(T* weights, std::size_t first, std::size_t rows, const Head& head, const Dropout& dropout) const {
    for (std::size_t i = 0; i < rows; ++i) {
      Dropout::apply(weights + i * head.length, visible(first + i, head.length), dropout.attention_rate, dropout.stream,
                     head.key, dropout_site(block_, 2 + head.index, first + i));
    }
  }
  // The weights [rows, L] that multiply the values: what the tape holds, or a copy in `dropped` with dropout.
  const T* dropped_weights(const T* weights, std::size_t first, std::size_t rows, const Head& head,
                           const Dropout& dropout, T* dropped) const {
    if (dropout.attention_rate == 0.0) return weights;
    std::copy(weights, weights + rows * head.length, dropped);
    drop(dropped, first, rows, head, dropout);
    return dropped;
  }

  const KernelTable<T>* kernels_;
  std::size_t block_, dim_, heads_, head_dim_;
  T scale_;
  bool causal_;
  Linear<T> qkv_, output_;
};

template <class T>
void SelfAttention<T>::forward(T* y, T* tape, const T* x, const SequenceBatch& batch, const T* parameters,
                               const Dropout& dropout, T* scratch) const {
  const Tape<T> kept = layout(tape, batch);
  T* dropped = scratch_layout(scratch, batch.num_tokens(), max_length(batch)).dropped;
  qkv_.forward(kept.qkv, x, batch.num_tokens(), parameters);
  T* weights = kept.weights;
  for (std::size_t s = 0; s < batch.num_sequences(); ++s) {
    const std::size_t begin = batch.begin(s), length = batch.length(s);
    for (std::size_t h = 0; h < heads_; ++h, weights += length * length) {
      forward_head(kept.context + begin * dim_ + h * head_dim_, weights, kept.qkv + begin * 3 * dim_ + h * head_dim_,
                   {length, h, batch.keys()[s]}, dropout, dropped);
    }
  }
  output_.forward(y, kept.context, batch.num_tokens(), parameters);
}

template <class T>
void SelfAttention<T>::backward(T* d_x, T* d_parameters, const T* d_y, const T* x, const T* tape,
                                const SequenceBatch& batch, const T* parameters, const Dropout& dropout,
                                T* scratch) const {
  const Tape<const T> kept = layout(tape, batch);
  const Scratch work = scratch_layout(scratch, batch.num_tokens(), max_length(batch));
  output_.backward(work.d_context, d_parameters, d_y, kept.context, batch.num_tokens(), parameters);
  const T* weights = kept.weights;
  for (std::size_t s = 0; s < batch.num_sequences(); ++s) {
    const std::size_t begin = batch.begin(s), length = batch.length(s);
    for (std::size_t h = 0; h < heads_; ++h, weights += length * length) {
      const std::size_t column = begin * 3 * dim_ + h * head_dim_;
      backward_head(work.d_qkv + column, work.d_context + begin * dim_ + h * head_dim_, weights, kept.qkv + column,
                    {length, h, batch.keys()[s]}, dropout, work);
    }
  }
  qkv_.backward(d_x, d_parameters, work.d_qkv, x, batch.num_tokens(), parameters);
}

template <class T>
void SelfAttention<T>::forward_head(T* context, T* weights, const T* query, const Head& head, const Dropout& dropout,
                                    T* dropped) const {
  const T* key = query + dim_;
  const T* value = query + 2 * dim_;
  const std::size_t length = head.length, stride = 3 * dim_;
  for (std::size_t first = 0; first < length; first += kQueryRows) {
    const std::size_t rows = std::min(kQueryRows, length - first);
    const std::size_t keys = visible(first + rows - 1, length);
    T* p = weights + first * length;
    kernels_->matmul_nt(p, length, query + first * stride, stride, key, stride, rows, keys, head_dim_, false);
    for (std::size_t i = 0; i < rows; ++i) {
      T* row = p + i * length;
      kernels_->softmax_forward(row, length, 1, visible(first + i, length), scale_, false);
      std::fill(row + visible(first + i, length), row + keys, T(0));
    }
    const T* used = dropped_weights(p, first, rows, head, dropout, dropped);
    kernels_->matmul_nn(context + first * dim_, dim_, used, length, value, stride, rows, head_dim_, keys, false);
  }
}

// From the last query rows to the first: those see every key, so they set d_key and d_value and the others add.
template <class T>
void SelfAttention<T>::backward_head(T* d_query, const T* d_context, const T* weights, const T* query, const Head& head,
                                     const Dropout& dropout, const Scratch& scratch) const {
  const T* key = query + dim_;
  const T* value = query + 2 * dim_;
  T* d_key = d_query + dim_;
  T* d_value = d_query + 2 * dim_;
  const std::size_t length = head.length, stride = 3 * dim_;
  const std::size_t blocks = (length + kQueryRows - 1) / kQueryRows;
  for (std::size_t block = blocks; block-- > 0;) {
    const bool add = block + 1 < blocks;
    const std::size_t first = block * kQueryRows, rows = std::min(kQueryRows, length - first);
    const std::size_t keys = visible(first + rows - 1, length);
    const T* p = weights + first * length;
    const T* d_rows = d_context + first * dim_;
    const T* used = dropped_weights(p, first, rows, head, dropout, scratch.dropped);
    kernels_->matmul_tn(d_value, stride, used, length, d_rows, dim_, keys, head_dim_, rows, add);

    T* d_p = scratch.d_weights;
    kernels_->matmul_nt(d_p, length, d_rows, dim_, value, stride, rows, keys, head_dim_, false);
    drop(d_p, first, rows, head, dropout);
    for (std::size_t i = 0; i < rows; ++i) {
      T* row = d_p + i * length;
      const std::size_t seen = visible(first + i, length);
      kernels_->softmax_backward(row, length, p + i * length, length, 1, seen, scale_, false);
      std::fill(row + seen, row + keys, T(0));
    }
    kernels_->matmul_nn(d_query + first * stride, stride, d_p, length, key, stride, rows, head_dim_, keys, false);
    kernels_->matmul_tn(d_key, stride, d_p, length, query + first * stride, stride, keys, head_dim_, rows, add);
  }
}

template <class T>
void SelfAttention<T>::project(T* q, KeyValueCache<T> cache, const T* x, std::size_t rows, std::size_t position,
                               const T* parameters, T* scratch) const {
  const std::size_t columns = q == nullptr ? 2 * dim_ : 3 * dim_;
  qkv_.forward_columns(scratch, x, 3 * dim_ - columns, columns, rows, parameters);
  for (std::size_t i = 0; i < rows; ++i) {
    const T* row = scratch + i * columns;
    if (q != nullptr) std::copy(row, row + dim_, q + i * dim_);
    const T* key = row + columns - 2 * dim_;
    cache.store(position + i, key, key + dim_);
  }
}

template <class T>
void SelfAttention<T>::attend(T* y, const T* q, KeyValueCache<T> cache, std::size_t rows, std::size_t position,
                              std::size_t length, const T* parameters, T* scratch) const {
  T* context = scratch;
  T* scores = scratch + rows * dim_;
  for (std::size_t i = 0; i < rows; ++i) {
    kernels_->attend_cached(context + i * dim_, q + i * dim_, cache.keys, cache.values, visible(position + i, length),
                            heads_, head_dim_, scale_, scores);
  }
  output_.forward(y, context, rows, parameters);
}

}  // namespace attune::inline v0_1::detail
