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

namespace attune::inline v0_1::detail {

// What is known about the answer to one query.
struct QueryOutcome {
  std::span<const std::size_t> ranks;       // of relevant items, ascending, from 1; those beyond the cutoffs may lack
  std::size_t num_relevant = 0;             // found or not, at least 1
  std::span<const ItemHandle> recommended;  // best first
};

class MetricSet {
 public:
  // Throws Error(invalid_argument) without cutoffs and for a cutoff of 0.
  MetricSet(std::span<const std::size_t> cutoffs, std::span<const std::uint64_t> training_counts);

  std::size_t largest_cutoff() const noexcept { return largest_cutoff_; }
  std::size_t num_items() const noexcept { return training_counts_.size(); }

  // Metrics that are means over queries: their number, their names ("hr@10"), and what one query adds to their sums.
  std::size_t per_query() const noexcept;
  std::string name(std::size_t index) const;
  void add(std::span<double> sums, const QueryOutcome& outcome) const;

  // Metrics of all answers together: how often each item was recommended, [cutoffs, items], gives coverage and Gini.
  std::size_t num_counts() const noexcept { return cutoffs_.size() * num_items(); }
  void count(std::span<std::uint64_t> counts, std::span<const ItemHandle> recommended) const;

  std::map<std::string, double> finish(std::span<const double> sums, std::size_t queries,
                                       std::span<const std::uint64_t> counts) const;

 private:
  std::vector<std::size_t> cutoffs_;
  std::vector<std::uint64_t> training_counts_;
  std::vector<bool> tail_;  // the 10 % least-trained items
  std::size_t largest_cutoff_ = 0;
};

}  // namespace attune::inline v0_1::detail
