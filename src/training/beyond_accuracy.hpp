// SPDX-License-Identifier: Apache-2.0
#pragma once

// Metrics of lists that are about more than what was found: serendipity, novelty, diversity, miscalibration. What is
// not known about the items leaves its metrics out. Const members are safe from any number of threads.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "attune/data/categories.hpp"
#include "attune/training/evaluation.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1::detail {

// What is known about the items; borrowed.
struct ItemFacts {
  std::span<const std::uint64_t> training_counts;
  const TrainingUsers* training_users = nullptr;  // null: not known
  const Categories* categories = nullptr;         // null: not known
};

// What is known about the answer to one query.
struct QueryOutcome {
  std::span<const std::size_t> ranks;       // of relevant items, ascending, from 1; those beyond the cutoffs may lack
  std::span<const ItemHandle> found;        // the items of these ranks
  std::size_t num_relevant = 0;             // found or not, at least 1
  std::span<const ItemHandle> recommended;  // best first
  std::span<const ItemHandle> history = {};
  double auc = 0;
};

class BeyondAccuracy {
 public:
  // Ascending cutoffs. The formulas stand at Report.
  BeyondAccuracy(std::span<const std::size_t> cutoffs, const ItemFacts& facts);

  // "novelty@10".
  const std::vector<std::string>& names() const noexcept { return names_; }
  // Adds a query to the sums [names().size()].
  void add(std::span<double> sums, const QueryOutcome& outcome) const;

 private:
  // One metric at its cutoffs; returns the sum behind them.
  double* add_serendipity(double* sums, const QueryOutcome& outcome) const;
  double* add_novelty(double* sums, const QueryOutcome& outcome) const;
  double* add_diversity(double* sums, const QueryOutcome& outcome) const;
  double* add_miscalibration(double* sums, const QueryOutcome& outcome) const;

  std::vector<std::size_t> cutoffs_;
  const Categories* categories_;
  std::vector<std::string> names_;
  std::vector<double> popularity_;  // [items] in (0, 1]: from the rank by training events; 0 without any
  std::vector<double> novelty_;     // [items]; empty where training users are not known
};

}  // namespace attune::inline v0_1::detail
