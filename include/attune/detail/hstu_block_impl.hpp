// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>

#include "attune/model/hstu_block.hpp"

namespace attune::inline v0_1 {

template <class T>
HstuBlock<T>::HstuBlock(const EncoderConfig& config, std::size_t index, ParameterList& parameters)
    : kernels_(&detail::kernels<T>()),
      index_(index),
      dim_(config.embedding_dim),
      heads_(config.num_heads),
      head_dim_(dim_ / heads_),
      window_(config.max_sequence_length),
      divisor_(config.attention_divisor),
      has_positions_(config.relative_positions),
      bias_per_head_(config.bias_per_head),
      has_times_(config.time_buckets > 0),
      head_(config),
      input_norm_("blocks." + std::to_string(index) + ".input_norm", dim_, config.layer_norm_epsilon, parameters,
                  config.learned_norms),
      projection_("blocks." + std::to_string(index) + ".projection", dim_, 4 * dim_, parameters,
                  detail::Linear<T>::Bias::none),
      context_norm_("blocks." + std::to_string(index) + ".context_norm", dim_, config.layer_norm_epsilon, parameters,
                    config.learned_norms),
      output_("blocks." + std::to_string(index) + ".output", dim_, dim_, parameters, detail::Linear<T>::Bias::learned,
              Initial::xavier) {
  const std::string name = "blocks." + std::to_string(index);
  if (has_positions_) {
    positions_ = parameters.add(name + ".position_bias", {bias_per_head_ ? heads_ : 1, window_}, Initial::normal);
  }
  if (has_times_) times_ = parameters.add(name + ".time_bias", {config.time_buckets}, Initial::normal);
  if (config.feed_forward) feed_forward_.emplace(config, index, parameters);
}

template <class T>
detail::AttentionBias<T> HstuBlock<T>::bias_of(std::size_t row, std::size_t head, const T* parameters,
                                               const std::uint8_t* gaps_of_row) const noexcept {
  const T* positions = parameters + positions_ + position_table(head) + (window_ - 1 - row);
  return {has_positions_ ? positions : nullptr, parameters + times_, has_times_ ? gaps_of_row : nullptr};
}

// Training.

template <class T>
template <class P>
typename HstuBlock<T>::template Tape<P> HstuBlock<T>::layout(P* tape, const SequenceBatch& batch) const noexcept {
  const std::size_t tokens = batch.num_tokens();
  detail::Carver<P> carver(tape);
  Tape<P> parts{};
  parts.input_stats = carver.take(input_norm_.tape_size(tokens));
  parts.context_stats = carver.take(context_norm_.tape_size(tokens));
  parts.normal = carver.take(tokens * dim_);
  parts.before = carver.take(tokens * 4 * dim_);
  parts.after = carver.take(tokens * 4 * dim_);
  parts.context = carver.take(tokens * dim_);
  parts.normal_context = carver.take(tokens * dim_);
  parts.gated = carver.take(tokens * dim_);
  if (feed_forward_) {
    parts.middle = carver.take(tokens * dim_);
    parts.feed_forward = carver.take(feed_forward_->tape_size(tokens));
  }
  parts.size = carver.used();
  return parts;
}

template <class T>
typename HstuBlock<T>::Scratch HstuBlock<T>::scratch_layout(T* scratch, const SequenceBatch& batch) const noexcept {
  detail::Carver<T> carver(scratch);
  Scratch work{};
  work.d_gated = carver.take(batch.num_tokens() * dim_);
  work.d_context = carver.take(batch.num_tokens() * dim_);
  work.d_projected = carver.take(batch.num_tokens() * 4 * dim_);
  work.head = carver.take(head_.scratch_size(detail::longest(batch)));
  if (feed_forward_) work.feed_forward = carver.take(feed_forward_->scratch_size(batch.num_tokens()));
  work.size = carver.used();
  return work;
}

template <class T>
void HstuBlock<T>::forward(T* y, T* tape, const T* x, const detail::TrainingPass<T>& pass, T* scratch) const {
  const SequenceBatch& batch = pass.batch;
  const std::size_t tokens = batch.num_tokens();
  const Tape<T> kept = layout(tape, batch);
  T* const head_scratch = scratch_layout(scratch, batch).head;
  input_norm_.forward(kept.normal, kept.input_stats, x, tokens, pass.parameters);
  projection_.forward(kept.before, kept.normal, tokens, pass.parameters, pass.mode.precision);
  kernels_->activation_forward(Activation::silu, kept.after, kept.before, tokens * 4 * dim_);

  const std::uint8_t* gaps = pass.gaps;
  for (std::size_t s = 0; s < batch.num_sequences(); ++s) {
    const std::size_t begin = batch.begin(s), length = batch.length(s);
    for (std::size_t h = 0; h < heads_; ++h) {
      const auto rule = [&](T* weights, std::size_t first, std::size_t rows, std::size_t keys) {
        for (std::size_t i = first; i < first + rows; ++i, weights += length) {
          const auto bias = bias_of(i, h, pass.parameters, has_times_ ? gaps + i * length : nullptr);
          kernels_->silu_attention_forward(weights, bias, scale_of(i), i + 1);
          std::fill(weights + i + 1, weights + keys, T(0));
        }
      };
      head_.forward(kept.context + begin * dim_ + h * head_dim_, kept.after + begin * 4 * dim_ + dim_ + h * head_dim_,
                    {length, 4 * dim_}, pass.mode.precision, head_scratch, rule);
    }
    if (has_times_) gaps += length * length;
  }

  context_norm_.forward(kept.normal_context, kept.context_stats, kept.context, tokens, pass.parameters);
  for (std::size_t i = 0; i < tokens; ++i) {
    kernels_->multiply(kept.gated + i * dim_, kept.after + i * 4 * dim_, kept.normal_context + i * dim_, dim_);
  }
  pass.mode.dropout.apply_rows(kept.gated, batch, dim_, detail::dropout_site(index_ + 1, 0));
  T* const attended = feed_forward_ ? kept.middle : y;
  output_.forward(attended, kept.gated, tokens, pass.parameters, pass.mode.precision);
  kernels_->add(attended, x, tokens * dim_);
  if (feed_forward_) feed_forward_->forward(y, kept.feed_forward, attended, pass);
}

template <class T>
void HstuBlock<T>::backward(T* d, T* d_parameters, const T* x, const T* tape, const detail::TrainingPass<T>& pass,
                            T* scratch) const {
  const SequenceBatch& batch = pass.batch;
  const std::size_t tokens = batch.num_tokens();
  const Tape<const T> kept = layout(tape, batch);
  const Scratch work = scratch_layout(scratch, batch);
  if (feed_forward_) {
    feed_forward_->backward(d, d_parameters, kept.middle, kept.feed_forward, pass, work.feed_forward);
  }
  output_.backward(work.d_gated, d_parameters, d, kept.gated, tokens, pass.parameters, pass.mode.precision);
  pass.mode.dropout.apply_rows(work.d_gated, batch, dim_, detail::dropout_site(index_ + 1, 0));
  for (std::size_t i = 0; i < tokens; ++i) {
    const T* d_gated = work.d_gated + i * dim_;
    kernels_->multiply(work.d_projected + i * 4 * dim_, d_gated, kept.normal_context + i * dim_, dim_);
    kernels_->multiply(work.d_context + i * dim_, d_gated, kept.after + i * 4 * dim_, dim_);
  }
  context_norm_.backward(work.d_context, d_parameters, work.d_context, kept.context, kept.context_stats, tokens,
                         pass.parameters);

  const std::uint8_t* gaps = pass.gaps;
  for (std::size_t s = 0; s < batch.num_sequences(); ++s) {
    const std::size_t begin = batch.begin(s), length = batch.length(s);
    for (std::size_t h = 0; h < heads_; ++h) {
      const auto rule = [&](T* d_weights, T* weights, std::size_t first, std::size_t rows, std::size_t keys) {
        T* const d_positions = d_parameters + positions_ + position_table(h) + (window_ - 1);
        for (std::size_t i = first; i < first + rows; ++i, weights += length, d_weights += length) {
          const auto bias = bias_of(i, h, pass.parameters, has_times_ ? gaps + i * length : nullptr);
          kernels_->silu_attention_backward(d_weights, weights, bias, scale_of(i), i + 1);
          if (has_positions_) kernels_->add(d_positions - i, d_weights, i + 1);
          if (has_times_) kernels_->scatter_add(d_parameters + times_, d_weights, bias.gaps, i + 1);
          std::fill(weights + i + 1, weights + keys, T(0));
          std::fill(d_weights + i + 1, d_weights + keys, T(0));
        }
      };
      const std::size_t column = begin * 4 * dim_ + dim_ + h * head_dim_;
      head_.backward(work.d_projected + column, work.d_context + begin * dim_ + h * head_dim_, kept.after + column,
                     {length, 4 * dim_}, pass.mode.precision, work.head, rule);
    }
    if (has_times_) gaps += length * length;
  }

  kernels_->activation_backward(Activation::silu, work.d_projected, work.d_projected, kept.before, tokens * 4 * dim_);
  T* const d_branch = work.d_gated;
  projection_.backward(d_branch, d_parameters, work.d_projected, kept.normal, tokens, pass.parameters,
                       pass.mode.precision);
  input_norm_.backward(d_branch, d_parameters, d_branch, x, kept.input_stats, tokens, pass.parameters);
  kernels_->add(d, d_branch, tokens * dim_);
}

// Serving.

template <class T>
typename HstuBlock<T>::ServingScratch HstuBlock<T>::serving_layout(T* scratch, std::size_t rows) const noexcept {
  const std::size_t chunk = std::min(rows, kServingRows);
  detail::Carver<T> carver(scratch);
  ServingScratch work{};
  work.rows = carver.take(chunk * dim_);
  work.stats = carver.take(input_norm_.tape_size(chunk));
  work.before = carver.take(chunk * 4 * dim_);
  work.projected = carver.take(chunk * 4 * dim_);
  work.scores = carver.take(detail::cache_scores_size(heads_, window_));
  if (feed_forward_) work.feed_forward = carver.take(feed_forward_->serving_scratch_size(chunk));
  work.size = carver.used();
  return work;
}

template <class T>
void HstuBlock<T>::remember(const T* x, const detail::ServingPass<T>& pass, T* scratch) const {
  const ServingScratch work = serving_layout(scratch, pass.rows);
  for (std::size_t first = 0; first < pass.rows; first += kServingRows) {
    const std::size_t count = std::min(kServingRows, pass.rows - first);
    input_norm_.forward(work.rows, work.stats, x + first * dim_, count, pass.parameters);
    projection_.forward_columns(work.before, work.rows, 2 * dim_, 2 * dim_, count, pass.parameters);
    kernels_->activation_forward(Activation::silu, work.projected, work.before, count * 2 * dim_);
    for (std::size_t i = 0; i < count; ++i) {
      const T* key = work.projected + i * 2 * dim_;
      pass.cache.store(pass.position + first + i, key, key + dim_);
    }
  }
}

template <class T>
void HstuBlock<T>::attend(std::size_t i, std::size_t size, const detail::ServingPass<T>& pass,
                          const ServingScratch& work) const {
  const std::size_t row = pass.position + i;
  detail::AttentionBias<T> bias[2];
  T scale[2];
  for (std::size_t r = 0; r < size; ++r) {
    bias[r] = bias_of(row + r, 0, pass.parameters, pass.part(i + r, 1).gaps);
    scale[r] = scale_of(row + r);
  }
  const detail::CacheQueries<T> queries{work.projected + i * 4 * dim_ + dim_, 4 * dim_, size, row + 1, 1};
  const std::size_t position_stride = bias_per_head_ ? window_ : 0;
  pass.cache.read(heads_, head_dim_, [&]<class S>(const detail::CachedRows<S>& cache) {
    auto* const attend_to = detail::for_elements<S, T>(kernels_->silu_attend_cached, kernels_->silu_attend_rounded);
    attend_to(work.rows + i * dim_, queries, cache, bias, position_stride, scale, work.scores);
  });
}

// A row reads the keys up to its own, so one pass over the rows does.
template <class T>
void HstuBlock<T>::extend(T* x, const detail::ServingPass<T>& pass, T* scratch) const {
  const ServingScratch work = serving_layout(scratch, pass.rows);
  for (std::size_t first = 0; first < pass.rows; first += kServingRows) {
    const std::size_t count = std::min(kServingRows, pass.rows - first);
    T* const rows = x + first * dim_;
    input_norm_.forward(work.rows, work.stats, rows, count, pass.parameters);
    projection_.forward(work.before, work.rows, count, pass.parameters);
    kernels_->activation_forward(Activation::silu, work.projected, work.before, count * 4 * dim_);
    for (std::size_t i = 0; i < count; ++i) {
      const T* key = work.projected + i * 4 * dim_ + 2 * dim_;
      pass.cache.store(pass.position + first + i, key, key + dim_);
    }
    for (std::size_t i = 0; i < count; i += 2)
      attend(i, std::min<std::size_t>(2, count - i), pass.part(first, count), work);
    context_norm_.forward(work.rows, work.stats, work.rows, count, pass.parameters);
    for (std::size_t i = 0; i < count; ++i) {
      kernels_->multiply(work.rows + i * dim_, work.projected + i * 4 * dim_, work.rows + i * dim_, dim_);
    }
    output_.forward(work.before, work.rows, count, pass.parameters);
    kernels_->add(rows, work.before, count * dim_);
    if (feed_forward_) feed_forward_->serve(rows, count, pass.parameters, work.feed_forward);
  }
}

}  // namespace attune::inline v0_1
