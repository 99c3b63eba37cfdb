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
void SasrecBlock<T>::add_residual(T* y, const T* x, const detail::TrainingPass<T>& pass, std::size_t part) const {
  pass.mode.dropout.apply_rows(y, pass.batch, dim_, detail::dropout_site(index_ + 1, part));
  kernels_->add(y, x, pass.batch.num_tokens() * dim_);
}

template <class T>
void SasrecBlock<T>::forward(T* y, T* tape, const T* x, const detail::TrainingPass<T>& pass, T* scratch) const {
  const Tape<T> kept = layout(tape, pass.batch);
  const std::size_t tokens = pass.batch.num_tokens();
  const T* parameters = pass.parameters;
  const detail::Precision precision = pass.mode.precision;
  if (pre()) {
    attention_norm_.forward(kept.first, kept.attention_stats, x, tokens, parameters);
    attention_.forward(kept.middle, kept.attention, kept.first, pass, scratch);
    add_residual(kept.middle, x, pass, 0);
    feed_forward_norm_.forward(kept.last, kept.feed_forward_stats, kept.middle, tokens, parameters);
    feed_forward_.forward(y, kept.feed_forward, kept.last, tokens, parameters, precision);
    add_residual(y, kept.middle, pass, 1);
  } else {
    attention_.forward(kept.first, kept.attention, x, pass, scratch);
    add_residual(kept.first, x, pass, 0);
    attention_norm_.forward(kept.middle, kept.attention_stats, kept.first, tokens, parameters);
    feed_forward_.forward(kept.last, kept.feed_forward, kept.middle, tokens, parameters, precision);
    add_residual(kept.last, kept.middle, pass, 1);
    feed_forward_norm_.forward(y, kept.feed_forward_stats, kept.last, tokens, parameters);
  }
}

template <class T>
void SasrecBlock<T>::backward(T* d, T* d_parameters, const T* x, const T* tape, const detail::TrainingPass<T>& pass,
                              T* scratch) const {
  const Tape<const T> kept = layout(tape, pass.batch);
  const std::size_t tokens = pass.batch.num_tokens();
  const T* parameters = pass.parameters;
  const detail::Precision precision = pass.mode.precision;
  detail::Carver<T> carver(scratch);
  T* branch = carver.take(tokens * dim_);
  T* rest = carver.take(0);
  const auto enter_branch = [&](std::size_t part) {
    std::copy(d, d + tokens * dim_, branch);
    pass.mode.dropout.apply_rows(branch, pass.batch, dim_, detail::dropout_site(index_ + 1, part));
  };
  const auto leave_branch = [&] { kernels_->add(d, branch, tokens * dim_); };

  if (pre()) {
    enter_branch(1);
    feed_forward_.backward(branch, d_parameters, branch, kept.last, kept.feed_forward, tokens, parameters, precision,
                           rest);
    feed_forward_norm_.backward(branch, d_parameters, branch, kept.middle, kept.feed_forward_stats, tokens, parameters);
    leave_branch();
    enter_branch(0);
    attention_.backward(branch, d_parameters, branch, kept.first, kept.attention, pass, rest);
    attention_norm_.backward(branch, d_parameters, branch, x, kept.attention_stats, tokens, parameters);
    leave_branch();
  } else {
    feed_forward_norm_.backward(d, d_parameters, d, kept.last, kept.feed_forward_stats, tokens, parameters);
    enter_branch(1);
    feed_forward_.backward(branch, d_parameters, branch, kept.middle, kept.feed_forward, tokens, parameters, precision,
                           rest);
    leave_branch();
    attention_norm_.backward(d, d_parameters, d, kept.first, kept.attention_stats, tokens, parameters);
    enter_branch(0);
    attention_.backward(branch, d_parameters, branch, x, kept.attention, pass, rest);
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
void SasrecBlock<T>::project(T* queries, T* x, const detail::ServingPass<T>& pass, const ServingScratch& work) const {
  if (placement_ != NormPlacement::query) {
    return attention_.project(queries, attention_input(x, pass.rows, pass.parameters, work), pass, work.attention);
  }
  attention_.project(nullptr, x, pass, work.attention);
  attention_norm_.forward(x, work.stats, x, pass.rows, pass.parameters);
  attention_.project_queries(queries, x, pass.rows, pass.parameters);
}

template <class T>
void SasrecBlock<T>::remember(const T* x, const detail::ServingPass<T>& pass, T* scratch) const {
  const ServingScratch work = serving_layout(scratch, pass.rows);
  for (std::size_t first = 0; first < pass.rows; first += kServingRows) {
    const std::size_t count = std::min(kServingRows, pass.rows - first);
    const T* input = attention_input(x + first * dim_, count, pass.parameters, work);
    attention_.project(nullptr, input, pass.part(first, count), work.attention);
  }
}

template <class T>
void SasrecBlock<T>::extend(T* x, const detail::ServingPass<T>& pass, T* scratch) const {
  const ServingScratch work = serving_layout(scratch, pass.rows);
  for (std::size_t first = 0; first < pass.rows; first += kServingRows) {
    const std::size_t count = std::min(kServingRows, pass.rows - first);
    project(work.queries + first * dim_, x + first * dim_, pass.part(first, count), work);
  }
  for (std::size_t first = 0; first < pass.rows; first += kServingRows) {
    const std::size_t count = std::min(kServingRows, pass.rows - first);
    attention_.attend(work.rows, work.queries + first * dim_, pass.position + pass.rows, pass.part(first, count),
                      work.attention);
    finish(x + first * dim_, count, pass.parameters, work);
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
    const bool post = placement_ == NormPlacement::post;
    (post ? attention_norm_ : feed_forward_norm_).forward(x, work.stats, x, rows, parameters);
    feed_forward_.forward(work.rows, work.feed_forward, x, rows, parameters);
    kernels_->add(x, work.rows, rows * dim_);
    if (post) feed_forward_norm_.forward(x, work.stats, x, rows, parameters);
  }
}

}  // namespace attune::inline v0_1
