// SPDX-License-Identifier: Apache-2.0
#include "attune/data/sequence_batch.hpp"

#include <cassert>
#include <utility>

namespace attune::inline v0_1 {

namespace {

template <class T>
void append(std::vector<T>& column, std::span<const T> values) {
  column.insert(column.end(), values.begin(), values.end());
}

}  // namespace

void SequenceBatch::clear() noexcept {
  offsets_.resize(1);
  items_.clear();
  targets_.clear();
  times_.clear();
  next_times_.clear();
  weights_.clear();
  keys_.clear();
}

void SequenceBatch::add_training_sequence(HistoryView events, std::uint64_t key, std::size_t context) {
  assert(events.size() >= 2);
  assert(keys_.empty() || times_.empty() == events.times.empty());
  const std::size_t tokens = events.size() - 1;
  append(items_, events.items.first(tokens));
  targets_.insert(targets_.end(), context, kNoHandle);
  append(targets_, events.items.subspan(1 + context));
  if (!events.times.empty()) {
    append(times_, events.times.first(tokens));
    append(next_times_, events.times.subspan(1));
  }
  if (events.weights.empty()) {
    weights_.resize(items_.size(), 1.0f);
  } else {
    append(weights_, events.weights.subspan(1));
  }
  offsets_.push_back(items_.size());
  keys_.push_back(key);
}

void SequenceBatch::add_masked_sequence(HistoryView events, std::span<const std::uint8_t> hidden, std::uint64_t key) {
  add_sequence(events, key);
  const std::size_t first = items_.size() - events.size();
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (hidden[i] == 0) continue;
    std::swap(items_[first + i], targets_[first + i]);
    weights_[first + i] = events.weights.empty() ? 1.0f : events.weights[i];
  }
}

void SequenceBatch::add_sequence(HistoryView events, std::uint64_t key, Timestamp next) {
  assert(!events.empty());
  assert(keys_.empty() || times_.empty() == events.times.empty());
  append(items_, events.items);
  targets_.resize(items_.size(), kNoHandle);
  if (!events.times.empty()) {
    append(times_, events.times);
    append(next_times_, events.times.subspan(1));
    next_times_.push_back(next);
  }
  weights_.resize(items_.size(), 0.0f);
  offsets_.push_back(items_.size());
  keys_.push_back(key);
}

}  // namespace attune::inline v0_1
