// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which items of a snapshot a request at some time may return, kept from request to request: those that are neither
// removed nor outside their time. Brought up to date by what changed and by what begins or ends in between.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "attune/types.hpp"
#include "serving/item_columns.hpp"
#include "serving/snapshot.hpp"

namespace attune::inline v0_1 {

class LiveItems {
 public:
  bool current(const Snapshot& snapshot, Timestamp at) const noexcept {
    return snapshot.edition == edition_ && snapshot.catalogue->changes() == changes_ && right_at(at);
  }
  // Whether nothing begins or ends between the time of the last request and this one.
  bool right_at(Timestamp at) const noexcept { return first_ <= at && at <= last_; }
  // With the catalogue's columns locked. `copy` follows the bits, unless its size is another.
  void refresh(const Snapshot& snapshot, const detail::ItemColumns& columns, Timestamp at,
               std::span<std::uint64_t> copy);

  std::span<const std::uint64_t> bits() const noexcept { return bits_; }
  bool has(ItemHandle item) const noexcept {
    return item / 64 < bits_.size() && (bits_[item / 64] >> (item % 64) & 1u) != 0;
  }
  std::uint64_t changes() const noexcept { return changes_; }  // of the catalogue, that are in the bits
  // How many there are, and how many of them the snapshot's model can return.
  std::size_t size() const noexcept { return size_; }
  std::size_t num_scorable() const noexcept { return num_scorable_; }

 private:
  struct Times {
    Timestamp first = std::numeric_limits<Timestamp>::min(), last = std::numeric_limits<Timestamp>::max();
  };
  class Update;

  std::uint64_t edition_ = 0, changes_ = 0;
  std::vector<std::uint64_t> bits_;
  std::vector<Times> times_;        // at which each word is right; empty: at all
  Timestamp first_ = 0, last_ = 0;  // at which all of them are
  std::size_t size_ = 0, num_scorable_ = 0;
};

}  // namespace attune::inline v0_1
