// SPDX-License-Identifier: Apache-2.0
#pragma once

// Models that only count: the baselines every encoder must beat, the answers of a cold start, and servable models of
// their own. Immutable once fitted; const members are safe from any number of threads.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

// Events per item.
class ATTUNE_EXPORT PopularityModel {
 public:
  PopularityModel() = default;
  explicit PopularityModel(std::vector<std::uint64_t> counts);
  static PopularityModel fit(const Histories& histories);

  std::size_t num_items() const noexcept { return counts_.size(); }
  std::span<const std::uint64_t> counts() const noexcept { return counts_; }
  // scores [num_items]: the share of all events; 0 for an item without any.
  void score_all(HistoryView history, std::span<float> scores) const;

 private:
  std::vector<std::uint64_t> counts_;
  double total_ = 0;
};

struct MarkovOptions {
  std::size_t steps = 5;     // gaps counted: y follows x within this many events
  std::size_t history = 10;  // newest known items of a history that speak
  double decay = 0.65;       // weight of the k-th newest is decay^k
  double popularity_power = 0.3;
  double smoothing = 1e-3;  // share of popularity added, so that unseen pairs still have an order (0: they have none)

  // Throws Error(invalid_config) naming the field, what is allowed and what was given.
  ATTUNE_EXPORT void validate() const;
};

// Decayed transition counts: score(y) = sum over the newest items x_k of decay^k * sum_{w=1..steps} count(y follows x
// after w) / w, divided by (pop(x) pop(y))^popularity_power, normalised to sum 1, plus smoothing * popularity share.
class ATTUNE_EXPORT MarkovModel {
 public:
  MarkovModel() = default;
  // Throws Error(invalid_config). Time grows with events * steps; scratch is one number per event and per item.
  static MarkovModel fit(const Histories& histories, const MarkovOptions& options = {});

  // Sparse rows: followers of item x are columns[offsets[x] .. offsets[x + 1]) with their decayed counts.
  struct Counts {
    std::vector<std::uint64_t> offsets;  // [items + 1]
    std::vector<std::uint32_t> columns;  // ascending within a row
    std::vector<float> counts;
    std::vector<std::uint64_t> popularity;  // [items]
  };
  // Throws Error: corrupt_file when the parts do not fit together, invalid_config.
  MarkovModel(Counts counts, const MarkovOptions& options);

  std::size_t num_items() const noexcept { return counts_.popularity.size(); }
  const Counts& counts() const noexcept { return counts_; }
  const MarkovOptions& options() const noexcept { return options_; }
  // scores [num_items]: shares, positive (given smoothing) for every item that was ever seen. Items of the history that
  // were not are skipped; a history without any known item gives popularity.
  void score_all(HistoryView history, std::span<float> scores) const;

 private:
  Counts counts_;
  MarkovOptions options_;
  std::vector<float> popularity_weight_;  // [items]: pop^-popularity_power
  std::vector<float> popularity_share_;   // [items]
};

}  // namespace attune::inline v0_1
