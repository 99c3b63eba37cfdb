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

inline EncoderConfig with_block(EncoderConfig config, BlockKind block) noexcept {
  config.block = block;
  return config;
}

}  // namespace detail

template <class T, template <class> class Block>
TransformerEncoder<T, Block>::TransformerEncoder(const EncoderConfig& config, std::size_t num_items)
    : SequenceEncoder<T>(detail::with_block(config, Block<T>::kKind), num_items),
      kernels_(&detail::kernels<T>()),
      item_scale_(static_cast<T>(config.scale_items ? std::sqrt(static_cast<double>(config.embedding_dim)) : 1.0)) {
  if (config_.absolute_positions) {
    positions_ =
        parameters_.add("position_embedding.weight", {config_.max_sequence_length, dim()}, Initial::normal, true);
  }
  if (config_.mask_token) hidden_item_ = parameters_.add("mask_embedding.weight", {dim()}, Initial::normal);
  if (config_.padding == Padding::learned) padding_ = parameters_.add("padding.weight", {dim()}, Initial::normal);
  if (config_.time_buckets > 0) time_gaps_.emplace(config_.time_buckets);
  if (config_.embedding_norm) {
    embedding_norm_.emplace("embedding_norm", dim(), config_.layer_norm_epsilon, parameters_);
  }
  for (std::size_t b = 0; b < config_.num_blocks; ++b) blocks_.emplace_back(config_, b, parameters_);
  const double final_epsilon =
      config_.final_norm_epsilon != 0 ? config_.final_norm_epsilon : config_.layer_norm_epsilon;
  if (config_.final_norm) final_norm_.emplace("final_norm", dim(), final_epsilon, parameters_);
  this->make_weights();
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::embed(T* x, std::span<const ItemHandle> items, std::size_t position) const {
  const std::size_t size = items.size() * dim();
  if (positions_) {
    const T* place = weights_.data() + *positions_ + position * dim();
    std::copy(place, place + size, x);
  } else {
    std::fill(x, x + size, T(0));
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i] == kNoHandle && !hidden_item_) continue;
    const T* row = items[i] == kNoHandle ? weights_.data() + *hidden_item_ : items_.row(items[i]).data();
    kernels_->scaled_add(x + i * dim(), item_scale_, row, dim());
  }
}

// Serving.

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::apply_final_norm(T* y, const T* x) const {
  T stats[2];
  if (final_norm_) {
    final_norm_->forward(y, stats, x, 1, weights_.data());
  } else {
    std::copy(x, x + dim(), y);
  }
}

// An encoder with a mask token reads its answer off a hidden item at the end. (It is never cacheable: every row is
// new.)
template <class T, template <class> class Block>
std::span<const ItemHandle> TransformerEncoder<T, Block>::with_hidden_item(std::span<const ItemHandle> items,
                                                                           BasicWorkspace<T>& workspace) const {
  if (!hidden_item_) return items;
  const std::span<ItemHandle> sequence = workspace.sequence.take(items.size() + 1);
  std::copy(items.begin(), items.end(), sequence.begin());
  sequence.back() = kNoHandle;
  return sequence;
}

// All places in front of the oldest event hold one state, since they see each other alone.
template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::pad(T* row, std::size_t block, std::size_t count, const KeyValueCache<T>& cache,
                                       T* scratch) const {
  const detail::ServingPass<T> pass{cache, 1, 0, weights_.data(), nullptr, 0};
  if (config_.padding == Padding::learned && block + 1 < blocks_.size()) {
    blocks_[block].extend(row, pass, scratch);
  } else {
    blocks_[block].remember(row, pass, scratch);
  }
  cache.repeat(0, count);
}

// [rows, stride]: a row looks back from its own time or, where it knows that, from the time of the event behind it.
template <class T, template <class> class Block>
const std::uint8_t* TransformerEncoder<T, Block>::gaps_of(const Rows& rows, std::size_t stride,
                                                          BasicWorkspace<T>& workspace) const {
  if (!time_gaps_) return nullptr;
  std::uint8_t* const gaps = workspace.gaps.take(rows.items.size() * stride).data();
  for (std::size_t i = 0; i < rows.items.size(); ++i) {
    const std::size_t row = rows.position + i;
    if (rows.times.empty()) {
      std::fill_n(gaps + i * stride, row + 1, std::uint8_t{0});
      continue;
    }
    Timestamp at = rows.times[row];
    if (config_.request_time) at = row + 1 < rows.times.size() ? rows.times[row + 1] : rows.now;
    if (at == kNoTime) at = rows.times[row];
    time_gaps_->fill(gaps + i * stride, at, rows.times.data(), row + 1);
  }
  return gaps;
}

template <class T, template <class> class Block>
template <class Caches>
const T* TransformerEncoder<T, Block>::extend(const Rows& rows, std::size_t reserved, Caches cache,
                                              BasicWorkspace<T>& workspace) const {
  const std::size_t count = rows.items.size(), gap_stride = rows.position + count;
  const std::size_t padding = padding_of(rows.length);
  detail::Carver<T> sizes(nullptr);
  sizes.take(reserved);
  sizes.take(padding > 0 ? dim() : 0);
  sizes.take(count * dim());
  sizes.take(std::max(blocks_.front().serving_scratch_size(count), detail::LayerNorm<T>::tape_size(count)));
  detail::Carver<T> carver(workspace.encoder.take(sizes.used()).data());
  carver.take(reserved);
  T* const pad_row = carver.take(padding > 0 ? dim() : 0);
  T* x = carver.take(count * dim());
  T* scratch = carver.take(0);

  const bool to_newest = config_.position_origin == PositionOrigin::newest;
  embed(x, rows.items, rows.position + (to_newest ? config_.max_sequence_length - rows.length : 0));
  if (padding > 0 && padding_) std::copy_n(weights_.data() + *padding_, dim(), pad_row);
  if (padding > 0 && !padding_) std::fill_n(pad_row, dim(), T(0));
  if (embedding_norm_) embedding_norm_->forward(x, scratch, x, count, weights_.data());
  const std::uint8_t* const gaps = gaps_of(rows, gap_stride, workspace);
  const auto pass = [&](std::size_t block) {
    if (padding > 0) pad(pad_row, block, padding, cache(block), scratch);
    return detail::ServingPass<T>{cache(block), count, padding + rows.position, weights_.data(), gaps, gap_stride};
  };
  const std::size_t last = blocks_.size() - 1;
  for (std::size_t b = 0; b < last; ++b) blocks_[b].extend(x, pass(b), scratch);
  // Nobody reads what the last block makes of the rows before the last.
  const std::size_t unread = count - (rows.last_wanted ? 1 : 0);
  const detail::ServingPass<T> final_pass = pass(last);
  if (unread > 0) blocks_[last].remember(x, final_pass.part(0, unread), scratch);
  if (!rows.last_wanted) return nullptr;
  x += unread * dim();
  blocks_[last].extend(x, final_pass.part(unread, 1), scratch);
  return x;
}

// Where the last row is open, it waits for user_vector, and the one before it goes along: its time is known by now, and
// two rows read weights and caches once.
template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::advance(State& state, HistoryView history, BasicWorkspace<T>& workspace) const {
  const std::size_t n = history.size(), start = start_of(n);
  if (state.start() != start || state.num_events() > n || !this->cacheable()) state.set_range(start, start);
  const std::size_t known = state.num_events();
  if (known == n) return;
  std::span<const Timestamp> times;
  if (time_gaps_) {
    for (std::size_t i = known; i < n; ++i) {
      state.times()[i - start] = history.times.empty() ? kNoTime : history.times[i];
    }
    times = {state.times(), n - start};
  }
  const std::size_t settled = state.num_settled(), length = n - start;
  const std::size_t waiting = last_row_is_open() ? std::min<std::size_t>(2, length) : 0;
  const std::size_t end = std::max(settled, length - waiting);
  if (settled < end) {  // this may throw: until it has not, the state is what it was
    const auto items = with_hidden_item(history.items.subspan(start + settled, end - settled), workspace);
    const T* hidden = extend(
        {items, settled, length, times, kNoTime, !last_row_is_open()}, 0,
        [&](std::size_t block) { return state.cache(block); }, workspace);
    if (hidden != nullptr) std::copy(hidden, hidden + dim(), state.hidden());
  }
  state.set_range(start, n);
  state.set_settled(end);
  std::copy(history.items.end() - static_cast<std::ptrdiff_t>(waiting), history.items.end(),
            state.newest().end() - static_cast<std::ptrdiff_t>(waiting));
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::user_vector(std::span<T> user_vector, State& state, const Context& context,
                                               BasicWorkspace<T>& workspace) const {
  if (!last_row_is_open()) return apply_final_norm(user_vector.data(), state.hidden());
  const std::size_t length = state.length(), settled = state.num_settled();
  const Rows rows{state.newest().last(length - settled), settled, length, {state.times(), length}, context.now, true};
  apply_final_norm(user_vector.data(), extend(
                                           rows, 0, [&](std::size_t block) { return state.cache(block); }, workspace));
  state.set_settled(length - 1);
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::encode(std::span<T> user_vector, HistoryView history, const Context& context,
                                          BasicWorkspace<T>& workspace) const {
  if (history.empty()) {
    std::fill(user_vector.begin(), user_vector.end(), T(0));
    return;
  }
  const std::size_t start = start_of(history.size());
  const HistoryView suffix = history.subview(start, history.size() - start);
  const auto items = with_hidden_item(suffix.items, workspace);
  // One cache serves every block in turn.
  const std::size_t places = padding_of(items.size()) + items.size();
  const auto cache = [&](std::size_t) { return KeyValueCache<T>(workspace.encoder.data(), places, dim()); };
  const T* hidden = extend({items, 0, items.size(), suffix.times, context.now, true},
                           KeyValueCache<T>::size(places, dim()), cache, workspace);
  apply_final_norm(user_vector.data(), hidden);
}

// Training.

template <class T, template <class> class Block>
typename TransformerEncoder<T, Block>::Tape TransformerEncoder<T, Block>::layout(T* tape, const SequenceBatch& batch,
                                                                                 Keep keep) const noexcept {
  const std::size_t tokens = batch.num_tokens();
  const Block<T>& block = blocks_.front();  // all need the same
  std::size_t pairs = 0;
  for (std::size_t s = 0; time_gaps_ && s < batch.num_sequences(); ++s) pairs += batch.length(s) * batch.length(s);
  detail::Carver<T> carver(tape);
  Tape parts{};
  T* const gaps = carver.take((pairs + sizeof(T) - 1) / sizeof(T));
  parts.gaps = time_gaps_ ? reinterpret_cast<std::uint8_t*>(gaps) : nullptr;
  parts.sum = carver.take(embedding_norm_ ? tokens * dim() : 0);
  parts.embedding_stats = carver.take(embedding_norm_ ? detail::LayerNorm<T>::tape_size(tokens) : 0);
  parts.num_inputs = keep == Keep::all ? blocks_.size() + (final_norm_ ? 1 : 0) : 2;
  parts.input_stride = tokens * dim();
  parts.inputs = carver.take(parts.num_inputs * parts.input_stride);
  parts.final_stats = carver.take(final_norm_ ? detail::LayerNorm<T>::tape_size(tokens) : 0);
  const std::size_t block_size = block.tape_size(batch);
  parts.block_stride = keep == Keep::all ? block_size : 0;
  parts.blocks = carver.take(keep == Keep::all ? blocks_.size() * block_size : block_size);
  parts.scratch = carver.take(block.scratch_size(batch));
  parts.size = carver.used();
  return parts;
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::fill_gaps(std::uint8_t* gaps, const SequenceBatch& batch) const noexcept {
  for (std::size_t s = 0; s < batch.num_sequences(); ++s) {
    const std::size_t begin = batch.begin(s), length = batch.length(s);
    for (std::size_t i = 0; i < length; ++i, gaps += length) {
      if (batch.times().empty()) {
        std::fill_n(gaps, i + 1, std::uint8_t{0});
        continue;
      }
      Timestamp at = config_.request_time ? batch.next_times()[begin + i] : kNoTime;
      if (at == kNoTime) at = batch.times()[begin + i];
      time_gaps_->fill(gaps, at, batch.times().data() + begin, i + 1);
    }
  }
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::forward(std::span<T> hidden, Buffer<T>& tape, const SequenceBatch& batch,
                                           const TrainingMode& mode) const {
  run(hidden.data(), layout(tape.take(layout(nullptr, batch).size).data(), batch), batch, mode);
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::encode_rows(std::span<T> hidden, Buffer<T>& scratch,
                                               const SequenceBatch& batch) const {
  const std::size_t size = layout(nullptr, batch, Keep::nothing).size;
  run(hidden.data(), layout(scratch.take(size).data(), batch, Keep::nothing), batch, {});
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::run(T* hidden, const Tape& kept, const SequenceBatch& batch,
                                       const TrainingMode& mode) const {
  const std::size_t tokens = batch.num_tokens();
  if (time_gaps_) fill_gaps(kept.gaps, batch);
  T* x = embedding_norm_ ? kept.sum : kept.inputs;
  for (std::size_t s = 0; s < batch.num_sequences(); ++s) {
    assert(batch.length(s) <= config_.max_sequence_length);
    embed(x + batch.begin(s) * dim(), batch.items().subspan(batch.begin(s), batch.length(s)), 0);
  }
  if (embedding_norm_) embedding_norm_->forward(kept.inputs, kept.embedding_stats, x, tokens, weights_.data());
  mode.dropout.apply_rows(kept.inputs, batch, dim(), detail::dropout_site(0, 0));

  const auto pass = pass_over(batch, mode, kept);
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const bool last = b + 1 == blocks_.size() && !final_norm_;
    blocks_[b].forward(last ? hidden : kept.input(b + 1), kept.blocks + b * kept.block_stride, kept.input(b), pass,
                       kept.scratch);
  }
  if (final_norm_) {
    final_norm_->forward(hidden, kept.final_stats, kept.input(blocks_.size()), tokens, weights_.data());
  }
}

template <class T, template <class> class Block>
void TransformerEncoder<T, Block>::backward(std::span<T> d_weights, std::span<T> d_inputs, std::span<const T> d_hidden,
                                            Buffer<T>& tape, const SequenceBatch& batch,
                                            const TrainingMode& mode) const {
  const Tape kept = layout(tape.data(), batch);
  const std::size_t tokens = batch.num_tokens();
  T* d = d_inputs.data();
  T* d_parameters = d_weights.data();
  if (final_norm_) {
    final_norm_->backward(d, d_parameters, d_hidden.data(), kept.input(blocks_.size()), kept.final_stats, tokens,
                          weights_.data());
  } else {
    std::copy_n(d_hidden.begin(), tokens * dim(), d);
  }
  const auto pass = pass_over(batch, mode, kept);
  for (std::size_t b = blocks_.size(); b-- > 0;) {
    blocks_[b].backward(d, d_parameters, kept.input(b), kept.blocks + b * kept.block_stride, pass, kept.scratch);
  }
  mode.dropout.apply_rows(d, batch, dim(), detail::dropout_site(0, 0));
  if (embedding_norm_) {
    embedding_norm_->backward(d, d_parameters, d, kept.sum, kept.embedding_stats, tokens, weights_.data());
  }
  for (std::size_t s = 0; positions_ && s < batch.num_sequences(); ++s) {
    kernels_->add(d_parameters + *positions_, d + batch.begin(s) * dim(), batch.length(s) * dim());
  }
  if (config_.scale_items) kernels_->scale(d, item_scale_, tokens * dim());
  for (std::size_t i = 0; i < tokens; ++i) {
    if (batch.items()[i] != kNoHandle) continue;
    if (hidden_item_) kernels_->add(d_parameters + *hidden_item_, d + i * dim(), dim());
    std::fill_n(d + i * dim(), dim(), T(0));
  }
}

}  // namespace attune::inline v0_1
