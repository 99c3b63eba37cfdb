// SPDX-License-Identifier: Apache-2.0
#pragma once

// The formulas of the metrics, once: evaluate() feeds them with ranks in the whole catalogue, list_metrics() with ready
// lists. Const members are safe from any number of threads.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "attune/types.hpp"
#include "training/beyond_accuracy.hpp"

namespace attune::inline v0_1::detail {

enum class Trained { least, most };
// One in `divisor` of the items, at least one: those with the fewest or the most training events, ties by the lower
// handle.
std::vector<bool> part_of_items(std::span<const std::uint64_t> training_counts, Trained trained, std::size_t divisor);

class MetricSet {
 public:
  // `auc`: what add() is given knows the whole catalogue. `sampled`: see Report; 0 for none. Throws
  // Error(invalid_argument) without cutoffs, for a cutoff of 0 and for facts of another number of items.
  MetricSet(std::span<const std::size_t> cutoffs, const ItemFacts& facts, bool auc, std::size_t sampled = 0);

  std::size_t largest_cutoff() const noexcept { return cutoffs_.back(); }
  std::size_t num_items() const noexcept { return facts_.training_counts.size(); }

  // Metrics that are means over queries: their number, their names ("hr@10"), and what one query adds to their sums.
  std::size_t per_query() const noexcept { return names_.size(); }
  const std::vector<std::string>& names() const noexcept { return names_; }
  std::map<std::string, double> named(std::span<const double> means) const;
  void add(std::span<double> sums, const QueryOutcome& outcome) const;
  // The same for the ranks among sampled items.
  void add_sampled(std::span<double> sums, std::span<const std::size_t> ranks, std::size_t num_relevant) const;

  // Metrics of all answers together: how often each item was recommended, [cutoffs, items], gives coverage and Gini.
  std::size_t num_counts() const noexcept { return cutoffs_.size() * num_items(); }
  void count(std::span<std::uint64_t> counts, std::span<const ItemHandle> recommended) const;

  std::map<std::string, double> of_counts(std::span<const std::uint64_t> counts) const;

 private:
  ItemFacts facts_;
  std::vector<std::size_t> cutoffs_;
  std::vector<bool> tail_;  // the 10 % least-trained items
  BeyondAccuracy beyond_;
  bool auc_;
  std::size_t sampled_;
  std::size_t first_beyond_ = 0, first_sampled_ = 0;  // in names_; auc stands before first_sampled_
  std::vector<std::string> names_;
};

}  // namespace attune::inline v0_1::detail
