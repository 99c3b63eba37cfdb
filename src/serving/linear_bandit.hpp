// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the vectors of items tell of their rewards per impression: LinUCB (Li, Chu, Langford & Schapire, WWW 2010) with
// one ridge regression for all items, so that an item that was never shown is judged by those that are like it. Safe
// from any number of threads. Allocates nothing once its memory has grown to the items that were shown.

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "attune/types.hpp"
#include "serving/item_exposure.hpp"

namespace attune::inline v0_1 {

class LinearBandit {
 public:
  // Takes in what became of impressions since it was last asked. `vector(item, x)` writes the vector of an item, x
  // [dim], as of `generation`; under another one than before all is learned anew. Costs dim^3 / 3 where something
  // changed, dim^2 for each item of which it did, and a look at every item up to the last that was ever shown.
  template <class VectorOf>
  void learn(const ItemExposure& exposure, std::uint64_t generation, std::size_t dim, VectorOf&& vector) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t changes = exposure.changes();
    if (generation == generation_ && changes == changes_) return;
    if (generation != generation_) start(generation, dim);
    bool again = false;  // where counts fell: the regression never unlearns
    const auto take_in = [&](ItemHandle item, ItemExposure::Count now) {
      if (item >= learned_.size()) learned_.resize(item + 1);
      const ItemExposure::Count before = learned_[item];
      again = again || now.impressions < before.impressions || now.rewards < before.rewards;
      if (again || (now.impressions == before.impressions && now.rewards == before.rewards)) return;
      vector(item, std::span(vector_));
      add(now.impressions - before.impressions, now.rewards - before.rewards);
      learned_[item] = now;
    };
    exposure.visit(take_in);
    if (again) {
      again = false;
      start(generation, dim);
      exposure.visit(take_in);
    }
    solve();
    changes_ = changes;
  }

  // x^T theta + width * sqrt(x^T A^-1 x) for x = (1, vector / |vector|), with A = I + the sum of x x^T over impressions
  // and theta = A^-1 (the sum of x over rewards). The same for every item where another generation was learned since.
  double upper_bound(std::uint64_t generation, std::span<const float> vector, double width);

 private:
  void start(std::uint64_t generation, std::size_t dim);
  void read(std::span<const float> vector);  // into x_
  void add(std::uint32_t impressions, std::uint32_t rewards);
  void solve();

  std::mutex mutex_;
  std::uint64_t generation_ = 0, changes_ = 0;
  std::vector<ItemExposure::Count> learned_;  // by item
  std::vector<float> vector_;                 // [dim]
  std::size_t size_ = 0;                      // dim + 1
  std::vector<double> a_, factor_;            // [size, size]: A, and its Cholesky factor
  std::vector<double> b_, theta_, x_, y_;     // [size]
};

}  // namespace attune::inline v0_1
