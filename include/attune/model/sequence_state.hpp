// SPDX-License-Identifier: Apache-2.0
#pragma once

// The key/value cache of one user: what an encoder remembers of the encoded suffix, so that one more event costs one
// row instead of a full pass. Not synchronised; its owner locks.

#include <cstddef>

#include "attune/detail/kernel_table.hpp"
#include "attune/model/workspace.hpp"

namespace attune::inline v0_1 {

// Layout per block b: keys in blocks of 16 positions [ceil(W / 16)][D][16], values [W][D]. `hidden` [D] is the last
// row after the last block (before the final norm).
template <class T>
class SequenceState {
 public:
  SequenceState() = default;
  SequenceState(std::size_t num_blocks, std::size_t dim, std::size_t window)
      : dim_(dim), positions_((window + detail::kLanes - 1) / detail::kLanes * detail::kLanes) {
    memory_.take(num_blocks * 2 * positions_ * dim_ + dim_);
    num_blocks_ = num_blocks;
  }

  // Events of the model's history that are encoded, and where the encoded suffix begins. length() counts rows.
  std::size_t num_events() const noexcept { return num_events_; }
  std::size_t start() const noexcept { return start_; }
  std::size_t length() const noexcept { return num_events_ - start_; }
  void set_range(std::size_t start, std::size_t num_events) noexcept {
    start_ = start;
    num_events_ = num_events;
  }
  void reset() noexcept { set_range(0, 0); }

  T* keys(std::size_t block) noexcept { return data() + block * 2 * positions_ * dim_; }
  T* values(std::size_t block) noexcept { return keys(block) + positions_ * dim_; }
  T* hidden() noexcept { return data() + num_blocks_ * 2 * positions_ * dim_; }
  // Writes row `position` of both, from key [D] and value [D].
  void store(std::size_t block, std::size_t position, const T* key, const T* value) noexcept {
    T* lane = keys(block) + position / detail::kLanes * dim_ * detail::kLanes + position % detail::kLanes;
    T* row = values(block) + position * dim_;
    for (std::size_t d = 0; d < dim_; ++d) {
      lane[d * detail::kLanes] = key[d];
      row[d] = value[d];
    }
  }
  std::size_t memory_bytes() const noexcept { return memory_.memory_bytes() + sizeof(*this); }

 private:
  T* data() noexcept { return memory_.take(0).data(); }

  std::size_t num_blocks_ = 0, dim_ = 0, positions_ = 0;
  std::size_t start_ = 0, num_events_ = 0;
  Buffer<T> memory_;
};

}  // namespace attune::inline v0_1
