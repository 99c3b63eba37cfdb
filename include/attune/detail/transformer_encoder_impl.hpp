// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "attune/model/transformer_encoder.hpp"

namespace attune::inline v0_1 {

namespace detail {

// Standard normal, cut at two deviations: uniform proposals in [-2, 2], kept with probability exp(-x^2 / 2). A function
// of `key` alone.
inline double truncated_normal(std::uint64_t key) noexcept {
  const auto uniform = [&](std::uint64_t draw) { return static_cast<double>(mix(key, draw) >> 11) * 0x1p-53; };
  for (std::uint64_t draw = 0;; draw += 2) {
    const double x = 4.0 * uniform(draw) - 2.0;
    if (uniform(draw + 1) < std::exp(-0.5 * x * x)) return x;
  }
}

// The random stream of the item table; dense parameters use their index in the list.
inline constexpr std::uint64_t kItemStream = ~std::uint64_t{0};

}  // namespace detail

template <class T, template <class> class Block>
TransformerEncoder<T, Block>::TransformerEncoder(const EncoderConfig& config, std::size_t num_items)
    : config_((config.validate(), config)),
      kernels_(&detail::kernels<T>()),
      item_scale_(static_cast<T>(config.scale_items ? std::sqrt(static_cast<double>(config.embedding_dim)) : 1.0)),
      items_(num_items, config.embedding_dim) {
  positions_ =
      parameters_.add("position_embedding.weight", {config_.max_sequence_length, dim()}, Initial::normal, true);
  if (config_.embedding_norm) {
    embedding_norm_.emplace("embedding_norm", dim(), config_.layer_norm_epsilon, parameters_);
  }
  for (std::size_t b = 0; b < config_.num_blocks; ++b) blocks_.emplace_back(config_, b, parameters_);
  if (config_.final_norm) final_norm_.emplace("final_norm", dim(), config_.layer_norm_epsilon, parameters_);

  weights_.take(parameters_.total());
  for (const Parameter& parameter : parameters_.list()) {
    const T value = parameter.initial == Initial::one ? T(1) : T(0);
    std::fill_n(weights().begin() + static_cast<std::ptrdiff_t>(parameter.offset), parameter.size, value);
  }
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::initialize(std::uint64_t seed) {
  const auto draw = [&](std::uint64_t parameter, std::size_t element) {
    const std::uint64_t stream = detail::stream_of(seed, detail::Purpose::initial_values, parameter);
    return static_cast<T>(0.02 * detail::truncated_normal(detail::mix(stream, element)));
  };
  const std::span<const Parameter> list = parameters_.list();
  for (std::size_t p = 0; p < list.size(); ++p) {
    T* const values = weights().data() + list[p].offset;
    for (std::size_t i = 0; i < list[p].size; ++i) {
      values[i] = list[p].initial == Initial::normal ? draw(p, i) : list[p].initial == Initial::one ? T(1) : T(0);
    }
  }
  for (std::size_t r = 0; r < items_.rows(); ++r) {
    for (std::size_t d = 0; d < dim(); ++d) items_.row(r)[d] = draw(detail::kItemStream, r * dim() + d);
  }
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::embed(T* x, std::span<const ItemHandle> items, std::size_t position) const {
  const T* place = weights().data() + positions_ + position * dim();
  std::copy(place, place + items.size() * dim(), x);
  for (std::size_t i = 0; i < items.size(); ++i) {
    kernels_->scaled_add(x + i * dim(), item_scale_, items_.row(items[i]).data(), dim());
  }
}

// Serving.

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::apply_final_norm(T* y, const T* x) const {
  T stats[2];
  if (final_norm_) {
    final_norm_->forward(y, stats, x, 1, weights().data());
  } else {
    std::copy(x, x + dim(), y);
  }
}

template <class T, template <class> class Block>
template <class Caches>
const T* TransformerEncoder<T, Block>::extend(std::span<const ItemHandle> items, std::size_t position,
                                              std::size_t reserved, Caches cache, BasicWorkspace<T>& workspace) const {
  const std::size_t rows = items.size();
  detail::Carver<T> sizes(nullptr);
  sizes.take(reserved);
  sizes.take(rows * dim());
  sizes.take(std::max(blocks_.front().serving_scratch_size(rows), detail::LayerNorm<T>::tape_size(rows)));
  detail::Carver<T> carver(workspace.encoder.take(sizes.used()).data());
  carver.take(reserved);
  T* x = carver.take(rows * dim());
  T* scratch = carver.take(0);
  const T* parameters = weights().data();

  embed(x, items, position);
  if (embedding_norm_) embedding_norm_->forward(x, scratch, x, rows, parameters);
  const std::size_t last = blocks_.size() - 1;
  for (std::size_t b = 0; b < last; ++b) blocks_[b].extend(x, rows, position, cache(b), parameters, scratch);
  // Nobody reads what the last block makes of the rows before the last.
  blocks_[last].remember(x, rows - 1, position, cache(last), parameters, scratch);
  x += (rows - 1) * dim();
  blocks_[last].extend(x, 1, position + rows - 1, cache(last), parameters, scratch);
  return x;
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::advance(State& state, HistoryView history, BasicWorkspace<T>& workspace) const {
  const std::size_t start = window_start(history.size(), config_.max_sequence_length, config_.effective_hop());
  if (state.start() != start || state.num_events() > history.size() || !cacheable()) state.set_range(start, start);
  const std::size_t known = state.num_events();
  if (known == history.size()) return;
  const T* hidden = extend(
      history.items.subspan(known), state.length(), 0, [&](std::size_t block) { return state.cache(block); },
      workspace);
  std::copy(hidden, hidden + dim(), state.hidden());
  state.set_range(start, history.size());
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::user_vector(std::span<T> user_vector, const State& state, const Context&,
                                               BasicWorkspace<T>&) const {
  apply_final_norm(user_vector.data(), state.hidden());
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::encode(std::span<T> user_vector, HistoryView history, const Context&,
                                          BasicWorkspace<T>& workspace) const {
  if (history.empty()) {
    std::fill(user_vector.begin(), user_vector.end(), T(0));
    return;
  }
  const std::size_t start = window_start(history.size(), config_.max_sequence_length, config_.effective_hop());
  const std::size_t length = history.size() - start;
  // One cache serves every block in turn.
  const auto cache = [&](std::size_t) { return KeyValueCache<T>(workspace.encoder.data(), length, dim()); };
  const T* hidden = extend(history.items.subspan(start), 0, KeyValueCache<T>::size(length, dim()), cache, workspace);
  apply_final_norm(user_vector.data(), hidden);
}

// Training.

template <class T, template <class> class Block>
typename TransformerEncoder<T, Block>::Tape TransformerEncoder<T, Block>::layout(
    T* tape, const SequenceBatch& batch) const noexcept {
  const std::size_t tokens = batch.num_tokens();
  const Block<T>& block = blocks_.front();  // all need the same
  detail::Carver<T> carver(tape);
  Tape parts{};
  parts.sum = carver.take(embedding_norm_ ? tokens * dim() : 0);
  parts.embedding_stats = carver.take(embedding_norm_ ? detail::LayerNorm<T>::tape_size(tokens) : 0);
  parts.input_stride = tokens * dim();
  parts.inputs = carver.take((blocks_.size() + (final_norm_ ? 1 : 0)) * parts.input_stride);
  parts.final_stats = carver.take(final_norm_ ? detail::LayerNorm<T>::tape_size(tokens) : 0);
  parts.block_stride = block.tape_size(batch);
  parts.blocks = carver.take(blocks_.size() * parts.block_stride);
  parts.scratch = carver.take(block.scratch_size(batch));
  parts.size = carver.used();
  return parts;
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::forward(std::span<T> hidden, Buffer<T>& tape, const SequenceBatch& batch,
                                           const detail::Dropout& dropout) const {
  const Tape kept = layout(tape.take(layout(nullptr, batch).size).data(), batch);
  const std::size_t tokens = batch.num_tokens();
  const T* parameters = weights().data();
  T* x = embedding_norm_ ? kept.sum : kept.inputs;
  for (std::size_t s = 0; s < batch.num_sequences(); ++s) {
    assert(batch.length(s) <= config_.max_sequence_length);
    embed(x + batch.begin(s) * dim(), batch.items().subspan(batch.begin(s), batch.length(s)), 0);
  }
  if (embedding_norm_) embedding_norm_->forward(kept.inputs, kept.embedding_stats, x, tokens, parameters);
  dropout.apply_rows(kept.inputs, batch, dim(), detail::dropout_site(0, 0));

  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const T* input = kept.inputs + b * kept.input_stride;
    const bool to_tape = b + 1 < blocks_.size() || final_norm_;
    T* output = to_tape ? kept.inputs + (b + 1) * kept.input_stride : hidden.data();
    blocks_[b].forward(output, kept.blocks + b * kept.block_stride, input, batch, parameters, dropout, kept.scratch);
  }
  if (final_norm_) {
    const T* input = kept.inputs + blocks_.size() * kept.input_stride;
    final_norm_->forward(hidden.data(), kept.final_stats, input, tokens, parameters);
  }
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::backward(std::span<T> d_weights, std::span<T> d_inputs, std::span<const T> d_hidden,
                                            Buffer<T>& tape, const SequenceBatch& batch,
                                            const detail::Dropout& dropout) const {
  const Tape kept = layout(tape.data(), batch);
  const std::size_t tokens = batch.num_tokens();
  const T* parameters = weights().data();
  T* d = d_inputs.data();
  T* d_parameters = d_weights.data();
  if (final_norm_) {
    const T* input = kept.inputs + blocks_.size() * kept.input_stride;
    final_norm_->backward(d, d_parameters, d_hidden.data(), input, kept.final_stats, tokens, parameters);
  } else {
    std::copy_n(d_hidden.begin(), tokens * dim(), d);
  }
  for (std::size_t b = blocks_.size(); b-- > 0;) {
    blocks_[b].backward(d, d_parameters, kept.inputs + b * kept.input_stride, kept.blocks + b * kept.block_stride,
                        batch, parameters, dropout, kept.scratch);
  }
  dropout.apply_rows(d, batch, dim(), detail::dropout_site(0, 0));
  if (embedding_norm_) {
    embedding_norm_->backward(d, d_parameters, d, kept.sum, kept.embedding_stats, tokens, parameters);
  }
  for (std::size_t s = 0; s < batch.num_sequences(); ++s) {
    kernels_->add(d_parameters + positions_, d + batch.begin(s) * dim(), batch.length(s) * dim());
  }
  if (config_.scale_items) kernels_->scale(d, item_scale_, tokens * dim());
}

}  // namespace attune::inline v0_1
