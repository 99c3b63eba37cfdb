// SPDX-License-Identifier: Apache-2.0
#pragma once

// The k best of a stream of scored items in memory that the caller keeps. Pushing n items costs O(n log k); nothing is
// allocated once the memory has grown to k.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1::detail {

class TopK {
 public:
  TopK(std::vector<ScoredHandle>& memory, std::size_t k) : best_(memory), k_(k) {
    best_.clear();
    best_.reserve(k);
  }

  bool full() const noexcept { return k_ != 0 && best_.size() == k_; }
  const ScoredHandle& worst() const noexcept { return best_.front(); }  // precondition: full()
  // What scores less need not be pushed.
  float threshold() const noexcept { return full() ? best_.front().score : std::numeric_limits<float>::lowest(); }

  // Ignores scores that are not finite. Once full, `best_` is a heap with the worst item in front.
  void push(ScoredHandle candidate) {
    if (k_ == 0 || !std::isfinite(candidate.score)) return;
    if (!full()) {
      best_.push_back(candidate);
      if (full()) std::make_heap(best_.begin(), best_.end(), ranks_before);
    } else if (ranks_before(candidate, best_.front())) {
      std::pop_heap(best_.begin(), best_.end(), ranks_before);
      best_.back() = candidate;
      std::push_heap(best_.begin(), best_.end(), ranks_before);
    }
  }

  // Best first.
  std::span<const ScoredHandle> finish() {
    std::sort(best_.begin(), best_.end(), ranks_before);
    return best_;
  }

 private:
  std::vector<ScoredHandle>& best_;
  std::size_t k_;
};

// Calls visit(bit) for every bit of `word`, lowest first.
template <class Visit>
void for_each_bit(std::uint64_t word, Visit&& visit) {
  for (; word != 0; word &= word - 1) visit(static_cast<std::size_t>(std::countr_zero(word)));
}

}  // namespace attune::inline v0_1::detail
