// SPDX-License-Identifier: Apache-2.0
#pragma once

// Takes items out of the eligible bitmap of a scratch for as long as it lives: work for the items excluded, not for the
// whole catalogue.

#include <cstddef>
#include <cstdint>
#include <span>

#include "serving/request_scratch.hpp"
#include "serving/snapshot.hpp"

namespace attune::inline v0_1 {

class Exclusion {
 public:
  // `items` must outlive it and may hold any handles, also twice.
  Exclusion(RequestScratch& scratch, const Snapshot& snapshot, std::span<const ItemHandle> items)
      : eligible_(scratch.workspace.eligible), snapshot_(snapshot), items_(items) {
    if (scratch.generation != snapshot.generation) {
      eligible_ = snapshot.listed;
      scratch.generation = snapshot.generation;
    }
    for (const ItemHandle item : items_) {
      if (item / 64 >= eligible_.size()) continue;
      std::uint64_t& word = eligible_[item / 64];
      const std::uint64_t bit = std::uint64_t{1} << (item % 64);
      listed_ += (word & bit) != 0;
      scorable_ += (word & bit & snapshot.scorable[item / 64]) != 0;
      word &= ~bit;
    }
  }
  Exclusion(const Exclusion&) = delete;
  Exclusion& operator=(const Exclusion&) = delete;
  ~Exclusion() {
    for (const ItemHandle item : items_) {
      if (item / 64 < eligible_.size()) eligible_[item / 64] = snapshot_.listed[item / 64];
    }
  }

  std::span<const std::uint64_t> eligible() const noexcept { return eligible_; }
  std::size_t size() const noexcept { return items_.size(); }
  // How many an answer of this source can hold at most.
  std::size_t returnable(Source source) const noexcept {
    return source == Source::model ? snapshot_.num_scorable - scorable_ : snapshot_.num_listed - listed_;
  }

 private:
  std::vector<std::uint64_t>& eligible_;
  const Snapshot& snapshot_;
  std::span<const ItemHandle> items_;
  std::size_t listed_ = 0, scorable_ = 0;  // excluded ones among the snapshot's
};

}  // namespace attune::inline v0_1
