// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "attune/model/sequence_encoder.hpp"

namespace attune::inline v0_1 {

namespace detail {

// In [0, 1); a function of `key` and `draw` alone.
inline double uniform(std::uint64_t key, std::uint64_t draw) noexcept {
  return static_cast<double>(mix(key, draw) >> 11) * 0x1p-53;
}

// Standard normal, cut at two deviations: uniform proposals in [-2, 2], kept with probability exp(-x^2 / 2).
inline double truncated_normal(std::uint64_t key) noexcept {
  for (std::uint64_t draw = 0;; draw += 2) {
    const double x = 4.0 * uniform(key, draw) - 2.0;
    if (uniform(key, draw + 1) < std::exp(-0.5 * x * x)) return x;
  }
}

// Element `index` of a parameter as it starts.
inline double initial_value(const Parameter& parameter, std::uint64_t stream, std::size_t index) noexcept {
  switch (parameter.initial) {
    case Initial::zero: return 0.0;
    case Initial::one: return 1.0;
    case Initial::normal: return 0.02 * truncated_normal(mix(stream, index));
    case Initial::xavier: break;
  }
  const auto extents = static_cast<double>(parameter.shape[0] + parameter.shape[1]);
  return std::sqrt(6.0 / extents) * (2.0 * uniform(mix(stream, index), 0) - 1.0);
}

// The random stream of the item table; dense parameters use their index in the list.
inline constexpr std::uint64_t kItemStream = ~std::uint64_t{0};

}  // namespace detail

template <class T>
void SequenceEncoder<T>::make_weights() {
  weights_.take(parameters_.total());
  for (const Parameter& parameter : parameters_.list()) {
    const T value = parameter.initial == Initial::one ? T(1) : T(0);
    std::fill_n(weights().begin() + static_cast<std::ptrdiff_t>(parameter.offset), parameter.size, value);
  }
}

template <class T>
void SequenceEncoder<T>::initialize(std::uint64_t seed) {
  const std::span<const Parameter> list = parameters_.list();
  for (std::size_t p = 0; p < list.size(); ++p) {
    T* const values = weights().data() + list[p].offset;
    for (std::size_t i = 0; i < list[p].size; ++i) {
      values[i] = static_cast<T>(
          detail::initial_value(list[p], detail::stream_of(seed, detail::Purpose::initial_values, p), i));
    }
  }
  const std::uint64_t stream = detail::stream_of(seed, detail::Purpose::initial_values, detail::kItemStream);
  for (std::size_t r = 0; r < items_.rows(); ++r) {
    for (std::size_t d = 0; d < dim(); ++d) {
      items_.row(r)[d] = static_cast<T>(0.02 * detail::truncated_normal(detail::mix(stream, r * dim() + d)));
    }
  }
}

template <class T>
void SequenceEncoder<T>::leave_one_out(std::span<T> attributions, HistoryView history, const Context& context,
                                       std::span<const T> d_user_vector, BasicWorkspace<T>& workspace) const {
  std::vector<T> vector(dim());
  const auto value = [&](HistoryView events) {
    encode(vector, events, context, workspace);
    return std::inner_product(vector.begin(), vector.end(), d_user_vector.begin(), T(0));
  };
  const T whole = value(history);
  for (std::size_t i = 0; i < history.size(); ++i) {
    std::vector<ItemHandle> items(history.items.begin(), history.items.end());
    std::vector<Timestamp> times(history.times.begin(), history.times.end());
    items.erase(items.begin() + static_cast<std::ptrdiff_t>(i));
    if (!times.empty()) times.erase(times.begin() + static_cast<std::ptrdiff_t>(i));
    attributions[i] = whole - value({items, times});
  }
}

// An encoder with a mask token reads its answer off a hidden item at the end.
template <class T>
void SequenceEncoder<T>::attributions(std::span<T> attributions, HistoryView history, const Context& context,
                                      std::span<const T> d_user_vector, BasicWorkspace<T>& workspace) const {
  std::fill(attributions.begin(), attributions.end(), T(0));
  if (history.empty()) return;
  const std::size_t start = window_start(history.size(), config_.window(), config_.effective_hop());
  const HistoryView suffix = history.subview(start, history.size() - start);
  if (!config_.trainable()) {
    return leave_one_out(attributions.subspan(start), suffix, context, d_user_vector, workspace);
  }
  std::vector<ItemHandle> items(suffix.items.begin(), suffix.items.end());
  std::vector<Timestamp> times(suffix.times.begin(), suffix.times.end());
  if (config_.mask_token) {
    items.push_back(kNoHandle);
    if (!times.empty()) times.push_back(context.now);
  }
  SequenceBatch batch;
  batch.add_sequence({items, times}, 0, context.now);

  const std::size_t size = items.size() * dim();
  std::vector<T> hidden(size), d_inputs(size), d_weights(parameters_.total());
  forward(hidden, workspace.encoder, batch);
  std::vector<T> d_hidden(size);
  std::copy(d_user_vector.begin(), d_user_vector.end(), d_hidden.end() - static_cast<std::ptrdiff_t>(dim()));
  backward(d_weights, d_inputs, d_hidden, workspace.encoder, batch);
  for (std::size_t i = 0; i < suffix.size(); ++i) {
    const std::span<const T> row = items_.row(suffix.items[i]);
    for (std::size_t d = 0; d < dim(); ++d) attributions[start + i] += row[d] * d_inputs[i * dim() + d];
  }
}

}  // namespace attune::inline v0_1
