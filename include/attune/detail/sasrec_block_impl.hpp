// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>

#include "attune/model/sasrec_block.hpp"

namespace attune::inline v0_1 {

template <class T>
SasrecBlock<T>::SasrecBlock(const EncoderConfig& config, std::size_t index, ParameterList& parameters)
    : kernels_(&detail::kernels<T>()),
      index_(index),
      dim_(config.embedding_dim),
      window_(config.max_sequence_length),
      placement_(config.norm_placement),
      attention_norm_("blocks." + std::to_string(index) + ".attention_norm", dim_, config.layer_norm_epsilon,
                      parameters),
      attention_("blocks." + std::to_string(index) + ".attention", config, index + 1, parameters),
      feed_forward_norm_("blocks." + std::to_string(index) + ".feed_forward_norm", dim_, config.layer_norm_epsilon,
                         parameters),
      feed_forward_("blocks." + std::to_string(index) + ".feed_forward", dim_, config.inner_dim, config.activation,
                    parameters) {}

// Training.

template <class T>
template <class P>
typename SasrecBlock<T>::template Tape<P> SasrecBlock<T>::layout(P* tape, const SequenceBatch& batch) const noexcept {
  const std::size_t tokens = batch.num_tokens();
  detail::Carver<P> carver(tape);
  Tape<P> parts{};
  parts.attention_stats = carver.take(attention_norm_.tape_size(tokens));
  parts.feed_forward_stats = carver.take(feed_forward_norm_.tape_size(tokens));
  parts.first = carver.take(tokens * dim_);
  parts.middle = carver.take(tokens * dim_);
  parts.last = carver.take(tokens * dim_);
  parts.attention = carver.take(attention_.tape_size(batch));
  parts.feed_forward = carver.take(feed_forward_.tape_size(tokens));
  parts.size = carver.used();
  return parts;
}

// The gradient of one branch, and behind it whatever the branch's layer needs.
template <class T>
std::size_t SasrecBlock<T>::scratch_size(const SequenceBatch& batch) const noexcept {
  const std::size_t tokens = batch.num_tokens();
  detail::Carver<T> carver(nullptr);
  carver.take(tokens * dim_);
  carver.take(std::max(attention_.scratch_size(batch), feed_forward_.scratch_size(tokens)));
  return carver.used();
}

// Parts of a block with dropout of their own: 0 is the attention branch, 1 the feed-forward branch, the rest heads.
template <class T>
void SasrecBlock<T>::add_residual(T* y, const T* x, const SequenceBatch& batch, const detail::Dropout& dropout,
                                  std::size_t part) const {
  dropout.apply_rows(y, batch, dim_, detail::dropout_site(index_ + 1, part));
  kernels_->add(y, x, batch.num_tokens() * dim_);
}

template <class T>
void SasrecBlock<T>::forward(T* y, T* tape, const T* x, const SequenceBatch& batch, const T* parameters,
                             const detail::Dropout& dropout, T* scratch) const {
  const Tape<T> kept = layout(tape, batch);
  const std::size_t tokens = batch.num_tokens();
  if (pre()) {
    attention_norm_.forward(kept.first, kept.attention_stats, x, tokens, parameters);
    attention_.forward(kept.middle, kept.attention, kept.first, batch, parameters, dropout, scratch);
    add_residual(kept.middle, x, batch, dropout, 0);
    feed_forward_norm_.forward(kept.last, kept.feed_forward_stats, kept.middle, tokens, parameters);
    feed_forward_.forward(y, kept.feed_forward, kept.last, tokens, parameters);
    add_residual(y, kept.middle, batch, dropout, 1);
  } else {
    attention_.forward(kept.first, kept.attention, x, batch, parameters, dropout, scratch);
    add_residual(kept.first, x, batch, dropout, 0);
    attention_norm_.forward(kept.middle, kept.attention_stats, kept.first, tokens, parameters);
    feed_forward_.forward(kept.last, kept.feed_forward, kept.middle, tokens, parameters);
    add_residual(kept.last, kept.middle, batch, dropout, 1);
    feed_forward_norm_.forward(y, kept.feed_forward_stats, kept.last, tokens, parameters);
  }
}

template <class T>
void SasrecBlock<T>::backward(T* d, T* d_parameters, const T* x, const T* tape, const SequenceBatch& batch,
                              const T* parameters, const detail::Dropout& dropout, T* scratch) const {
  const Tape<const T> kept = layout(tape, batch);
  const std::size_t tokens = batch.num_tokens();
  detail::Carver<T> carver(scratch);
  T* branch = carver.take(tokens * dim_);
  T* rest = carver.take(0);
  const auto enter_branch = [&](std::size_t part) {
    std::copy(d, d + tokens * dim_, branch);
    dropout.apply_rows(branch, batch, dim_, detail::dropout_site(index_ + 1, part));
  };
  const auto leave_branch = [&] { kernels_->add(d, branch, tokens * dim_); };

  if (pre()) {
    enter_branch(1);
    feed_forward_.backward(branch, d_parameters, branch, kept.last, kept.feed_forward, tokens, parameters, rest);
    feed_forward_norm_.backward(branch, d_parameters, branch, kept.middle, kept.feed_forward_stats, tokens, parameters);
    leave_branch();
    enter_branch(0);
    attention_.backward(branch, d_parameters, branch, kept.first, kept.attention, batch, parameters, dropout, rest);
    attention_norm_.backward(branch, d_parameters, branch, x, kept.attention_stats, tokens, parameters);
    leave_branch();
  } else {
    feed_forward_norm_.backward(d, d_parameters, d, kept.last, kept.feed_forward_stats, tokens, parameters);
    enter_branch(1);
    feed_forward_.backward(branch, d_parameters, branch, kept.middle, kept.feed_forward, tokens, parameters, rest);
    leave_branch();
    attention_norm_.backward(d, d_parameters, d, kept.first, kept.attention_stats, tokens, parameters);
    enter_branch(0);
    attention_.backward(branch, d_parameters, branch, x, kept.attention, batch, parameters, dropout, rest);
    leave_branch();
  }
}

// Serving.

template <class T>
typename SasrecBlock<T>::ServingScratch SasrecBlock<T>::serving_layout(T* scratch, std::size_t rows) const noexcept {
  const std::size_t chunk = std::min(rows, kServingRows);
  detail::Carver<T> carver(scratch);
  ServingScratch work{};
  work.queries = carver.take(rows * dim_);
  work.rows = carver.take(chunk * dim_);
  work.stats = carver.take(attention_norm_.tape_size(chunk));
  work.attention = carver.take(std::max(chunk * 3 * dim_, attention_.attend_scratch_size(chunk, window_)));
  work.feed_forward = carver.take(feed_forward_.tape_size(chunk));
  work.size = carver.used();
  return work;
}

template <class T>
const T* SasrecBlock<T>::attention_input(const T* x, std::size_t rows, const T* parameters,
                                         const ServingScratch& work) const {
  if (!pre()) return x;
  attention_norm_.forward(work.rows, work.stats, x, rows, parameters);
  return work.rows;
}

template <class T>
void SasrecBlock<T>::remember(const T* x, std::size_t rows, std::size_t position, KeyValueCache<T> cache,
                              const T* parameters, T* scratch) const {
  const ServingScratch work = serving_layout(scratch, rows);
  for (std::size_t first = 0; first < rows; first += kServingRows) {
    const std::size_t count = std::min(kServingRows, rows - first);
    const T* input = attention_input(x + first * dim_, count, parameters, work);
    attention_.project(nullptr, cache, input, count, position + first, parameters, work.attention);
  }
}

template <class T>
void SasrecBlock<T>::extend(T* x, std::size_t rows, std::size_t position, KeyValueCache<T> cache, const T* parameters,
                            T* scratch) const {
  const ServingScratch work = serving_layout(scratch, rows);
  for (std::size_t first = 0; first < rows; first += kServingRows) {
    const std::size_t count = std::min(kServingRows, rows - first);
    const T* input = attention_input(x + first * dim_, count, parameters, work);
    attention_.project(work.queries + first * dim_, cache, input, count, position + first, parameters, work.attention);
  }
  for (std::size_t first = 0; first < rows; first += kServingRows) {
    const std::size_t count = std::min(kServingRows, rows - first);
    attention_.attend(work.rows, work.queries + first * dim_, cache, count, position + first, position + rows,
                      parameters, work.attention);
    finish(x + first * dim_, count, parameters, work);
  }
}

template <class T>
void SasrecBlock<T>::finish(T* x, std::size_t rows, const T* parameters, const ServingScratch& work) const {
  kernels_->add(x, work.rows, rows * dim_);
  if (pre()) {
    feed_forward_norm_.forward(work.rows, work.stats, x, rows, parameters);
    feed_forward_.forward(work.rows, work.feed_forward, work.rows, rows, parameters);
    kernels_->add(x, work.rows, rows * dim_);
  } else {
    attention_norm_.forward(x, work.stats, x, rows, parameters);
    feed_forward_.forward(work.rows, work.feed_forward, x, rows, parameters);
    kernels_->add(x, work.rows, rows * dim_);
    feed_forward_norm_.forward(x, work.stats, x, rows, parameters);
  }
}

}  // namespace attune::inline v0_1
