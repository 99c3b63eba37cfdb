// SPDX-License-Identifier: Apache-2.0
#pragma once

// Packed training sequences: N tokens of B sequences back to back, no padding and so no work on it. Between the data
// and the encoder; one thread fills and reads a batch, buffers are reused.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

class ATTUNE_EXPORT SequenceBatch {
 public:
  void clear() noexcept;
  // `events` gives inputs events[0 .. n-1) and targets events[1 .. n), of which the first `context` are none; position
  // numbers count from 0 at its first event. `key` identifies the sequence for random numbers (dropout), whatever batch
  // it lands in. Precondition: at least two events.
  void add_training_sequence(HistoryView events, std::uint64_t key, std::size_t context = 0);
  // Inputs are the events, but kNoHandle where hidden[i]; targets are what is hidden. Precondition: at least one event.
  void add_masked_sequence(HistoryView events, std::span<const std::uint8_t> hidden, std::uint64_t key);
  // The encoder no longer sees which item a token has. Its target stays.
  void hide(std::size_t token) noexcept { items_[token] = kNoHandle; }
  // Inputs only: no targets. `next` is the time of what follows the last event. Precondition: at least one event.
  void add_sequence(HistoryView events, std::uint64_t key = 0, Timestamp next = kNoTime);

  std::size_t num_sequences() const noexcept { return keys_.size(); }  // B
  std::size_t num_tokens() const noexcept { return items_.size(); }    // N
  std::size_t begin(std::size_t sequence) const noexcept { return offsets_[sequence]; }
  std::size_t length(std::size_t sequence) const noexcept { return offsets_[sequence + 1] - offsets_[sequence]; }

  std::span<const ItemHandle> items() const noexcept { return items_; }           // [N]
  std::span<const Timestamp> times() const noexcept { return times_; }            // [N] or empty
  std::span<const Timestamp> next_times() const noexcept { return next_times_; }  // [N] or empty: time of the target
  std::span<const ItemHandle> targets() const noexcept { return targets_; }       // [N], kNoHandle where there is none
  std::span<const float> weights() const noexcept { return weights_; }            // [N], of the target
  std::span<const std::uint64_t> keys() const noexcept { return keys_; }          // [B]

 private:
  std::vector<std::size_t> offsets_{0};
  std::vector<ItemHandle> items_, targets_;
  std::vector<Timestamp> times_, next_times_;
  std::vector<float> weights_;
  std::vector<std::uint64_t> keys_;
};

}  // namespace attune::inline v0_1
