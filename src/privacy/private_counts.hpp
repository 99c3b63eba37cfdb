// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which item follows which, and how many have each, counted with noise: one Gaussian mechanism over a table of all
// pairs of items and a column of all items, N (N + 1) cells in whole numbers.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/executor.hpp"
#include "attune/model/markov_model.hpp"
#include "attune/privacy/noise.hpp"
#include "attune/privacy/private_training.hpp"

namespace attune::inline v0_1::detail {

// What a user adds to a cell; cell x * num_items + y is "y follows x", num_items^2 + y is "has y".
struct CellCount {
  std::uint64_t cell;
  std::int64_t count;
};

class Contributions {
 public:
  // `bound`: of the L2 norm of what a record adds, in counts. The norm of what a user adds is at most that where the
  // unit is a user; where it is an event, so is the norm of the difference that an event makes (which is replaced by a
  // gap in its history).
  Contributions(const PrivateCountsOptions& options, PrivacyUnit unit, std::size_t num_items, double bound);

  // Cells ascending, each once. `history` has no more than num_items items.
  void of(std::span<const ItemHandle> history, std::vector<CellCount>& cells) const;

 private:
  double pair_scale(std::vector<CellCount>& cells) const;

  PrivateCountsOptions options_;
  PrivacyUnit unit_;
  std::size_t num_items_;
  double pair_bound_, item_bound_;
  std::vector<double> weights_;  // [steps]: of pairs that are 1, 2, ... apart
};

// In units of what a record may add.
struct PrivateCounts {
  std::vector<float> pairs;  // [items, items]
  std::vector<float> items;  // [items]
  double noise = 0;          // standard deviation in every cell
};

// `seed`: none draws noise from the operating system. The same for any number of threads given one. Throws
// Error(limit_exceeded) beyond options.max_items.
PrivateCounts private_counts(const Histories& histories, const PrivateCountsOptions& options, PrivacyUnit unit,
                             double noise_multiplier, std::optional<std::uint64_t> seed, Executor& executor);

// Noisy counts of items as whole numbers of thousandths, at least 1: every item of the catalogue is known.
std::vector<std::uint64_t> counted(std::span<const float> items);

// What noise leaves of the counts as a model; looks at nothing but them.
MarkovModel markov_of(const PrivateCounts& counts, const PrivateCountsOptions& options);

}  // namespace attune::inline v0_1::detail
