// SPDX-License-Identifier: Apache-2.0
#pragma once

// Multi-head softmax attention of a sequence over itself (Vaswani et al. 2017). Training works on packed batches,
// sequence by sequence and head by head; serving works row by row against a cache. Immutable, safe from any thread.
//
// N tokens of a packed batch, L of one sequence, D width, H heads, E = D / H; T is float or double.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

#include "attune/detail/head_attention.hpp"
#include "attune/detail/training_pass.hpp"

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
        head_(config),
        qkv_(name + ".qkv", dim_, 3 * dim_, parameters),
        output_(name + ".output", dim_, dim_, parameters) {}

  // Training: y [N, D] from x [N, D], and d_x from d_y (which may be the same array).

  std::size_t tape_size(const SequenceBatch& batch) const noexcept { return layout<T>(nullptr, batch).size; }
  std::size_t scratch_size(const SequenceBatch& batch) const noexcept { return scratch_layout(nullptr, batch).size; }
  void forward(T* y, T* tape, const T* x, const TrainingPass<T>& pass, T* scratch) const;
  void backward(T* d_x, T* d_parameters, const T* d_y, const T* x, const T* tape, const TrainingPass<T>& pass,
                T* scratch) const;

  // Serving.

  // Stores keys and values of x [R, D]; writes their queries to q [R, D] unless it is null. scratch [R, 3 D].
  void project(T* q, const T* x, const ServingPass<T>& pass, T* scratch) const;
  // q [R, D]: the queries of x [R, D] alone.
  void project_queries(T* q, const T* x, std::size_t rows, const T* parameters) const {
    qkv_.forward_columns(q, x, 0, dim_, rows, parameters);
  }
  // y [R, D] from q [R, D] against a cache that holds `length` positions. scratch: attend_scratch_size.
  void attend(T* y, const T* q, std::size_t length, const ServingPass<T>& pass, T* scratch) const;
  std::size_t attend_scratch_size(std::size_t rows, std::size_t window) const noexcept {
    return rows * dim_ + cache_scores_size(heads_, window);
  }

 private:
  template <class P>
  struct Tape {
    P* qkv;             // [N, 3 D]: query, key, value
    P* log_normalizer;  // [H, N]: of the softmax of every row
    P* context;         // [N, D]: weighted values of all heads
    std::size_t size;
  };
  template <class P>
  Tape<P> layout(P* tape, const SequenceBatch& batch) const noexcept {
    Carver<P> carver(tape);
    P* qkv = carver.take(batch.num_tokens() * 3 * dim_);
    P* log_normalizer = carver.take(heads_ * batch.num_tokens());
    P* context = carver.take(batch.num_tokens() * dim_);
    return {qkv, log_normalizer, context, carver.used()};
  }

  struct Scratch {
    T* d_context;  // [N, D]
    T* d_qkv;      // [N, 3 D]
    T* head;
    std::size_t size;
  };
  Scratch scratch_layout(T* scratch, const SequenceBatch& batch) const noexcept {
    Carver<T> carver(scratch);
    T* d_context = carver.take(batch.num_tokens() * dim_);
    T* d_qkv = carver.take(batch.num_tokens() * 3 * dim_);
    T* head = carver.take(head_.scratch_size(longest(batch)));
    return {d_context, d_qkv, head, carver.used()};
  }

  // One head of one sequence.
  struct Place {
    std::size_t sequence, head, length;
  };
  // Calls body(place, token, column): the first token of the sequence and the first column of the head.
  template <class Body>
  void for_each_head(const SequenceBatch& batch, Body body) const {
    for (std::size_t s = 0; s < batch.num_sequences(); ++s) {
      for (std::size_t h = 0; h < heads_; ++h) body(Place{s, h, batch.length(s)}, batch.begin(s), h * head_dim_);
    }
  }
  // Draws the mask of `rows` rows [L] of attention weights, in place.
  void drop(T* weights, std::size_t first, std::size_t rows, const Place& place, const TrainingPass<T>& pass) const {
    const Dropout& dropout = pass.mode.dropout;
    for (std::size_t i = 0; i < rows; ++i) {
      Dropout::apply(weights + i * place.length, head_.visible(first + i, place.length), dropout.attention_rate,
                     dropout.stream, pass.batch.keys()[place.sequence],
                     dropout_site(block_, 2 + place.head, first + i));
    }
  }

  const KernelTable<T>* kernels_;
  std::size_t block_, dim_, heads_, head_dim_;
  T scale_;
  HeadAttention<T> head_;
  Linear<T> qkv_, output_;
};

template <class T>
void SelfAttention<T>::forward(T* y, T* tape, const T* x, const TrainingPass<T>& pass, T* scratch) const {
  const std::size_t tokens = pass.batch.num_tokens();
  const Tape<T> kept = layout(tape, pass.batch);
  const Scratch work = scratch_layout(scratch, pass.batch);
  qkv_.forward(kept.qkv, x, tokens, pass.parameters, pass.mode.precision);
  for_each_head(pass.batch, [&](const Place& place, std::size_t token, std::size_t column) {
    T* const log_normalizer = kept.log_normalizer + place.head * tokens + token;
    const auto softmax = [&](T* weights, std::size_t first, std::size_t rows, std::size_t keys) {
      for (std::size_t i = 0; i < rows; ++i) {
        T* const row = weights + i * place.length;
        const std::size_t seen = head_.visible(first + i, place.length);
        const T shift = scale_ * kernels_->max(row, seen);
        const T sum = kernels_->exp_sum(row, seen, scale_, shift);
        kernels_->scale(row, T(1) / sum, seen);
        std::fill(row + seen, row + keys, T(0));
        log_normalizer[first + i] = shift + std::log(sum);
      }
      drop(weights, first, rows, place, pass);
    };
    head_.forward(kept.context + token * dim_ + column, kept.qkv + token * 3 * dim_ + column, {place.length, 3 * dim_},
                  pass.mode.precision, work.head, softmax);
  });
  output_.forward(y, kept.context, tokens, pass.parameters, pass.mode.precision);
}

template <class T>
void SelfAttention<T>::backward(T* d_x, T* d_parameters, const T* d_y, const T* x, const T* tape,
                                const TrainingPass<T>& pass, T* scratch) const {
  const std::size_t tokens = pass.batch.num_tokens();
  const Tape<const T> kept = layout(tape, pass.batch);
  const Scratch work = scratch_layout(scratch, pass.batch);
  output_.backward(work.d_context, d_parameters, d_y, kept.context, tokens, pass.parameters, pass.mode.precision);
  for_each_head(pass.batch, [&](const Place& place, std::size_t token, std::size_t column) {
    const T* const log_normalizer = kept.log_normalizer + place.head * tokens + token;
    const auto softmax = [&](T* d_weights, T* weights, std::size_t first, std::size_t rows, std::size_t keys) {
      drop(d_weights, first, rows, place, pass);
      for (std::size_t i = 0; i < rows; ++i) {
        T *const row = weights + i * place.length, *const d_row = d_weights + i * place.length;
        const std::size_t seen = head_.visible(first + i, place.length);
        kernels_->exp_sum(row, seen, scale_, log_normalizer[first + i]);
        kernels_->softmax_backward(d_row, place.length, row, place.length, 1, seen, scale_, false);
        std::fill(row + seen, row + keys, T(0));
        std::fill(d_row + seen, d_row + keys, T(0));
      }
      drop(weights, first, rows, place, pass);
    };
    const std::size_t at = token * 3 * dim_ + column;
    head_.backward(work.d_qkv + at, work.d_context + token * dim_ + column, kept.qkv + at, {place.length, 3 * dim_},
                   pass.mode.precision, work.head, softmax);
  });
  qkv_.backward(d_x, d_parameters, work.d_qkv, x, tokens, pass.parameters, pass.mode.precision);
}

template <class T>
void SelfAttention<T>::project(T* q, const T* x, const ServingPass<T>& pass, T* scratch) const {
  const std::size_t columns = q == nullptr ? 2 * dim_ : 3 * dim_;
  qkv_.forward_columns(scratch, x, 3 * dim_ - columns, columns, pass.rows, pass.parameters);
  for (std::size_t i = 0; i < pass.rows; ++i) {
    const T* row = scratch + i * columns;
    if (q != nullptr) std::copy(row, row + dim_, q + i * dim_);
    const T* key = row + columns - 2 * dim_;
    pass.cache.store(pass.position + i, key, key + dim_);
  }
}

template <class T>
void SelfAttention<T>::attend(T* y, const T* q, std::size_t length, const ServingPass<T>& pass, T* scratch) const {
  T* context = scratch;
  T* scores = scratch + pass.rows * dim_;
  for (std::size_t i = 0; i < pass.rows; i += 2) {
    const std::size_t count = head_.visible(pass.position + i, length);
    const CacheQueries<T> queries{q + i * dim_, dim_, std::min<std::size_t>(2, pass.rows - i), count,
                                  head_.visible(pass.position + i + 1, length) - count};
    pass.cache.read(heads_, head_dim_, [&]<class S>(const CachedRows<S>& cache) {
      for_elements<S, T>(kernels_->attend_cached, kernels_->attend_rounded)(context + i * dim_, queries, cache, scale_,
                                                                            scores);
    });
  }
  output_.forward(y, context, pass.rows, pass.parameters);
}

}  // namespace attune::inline v0_1::detail
