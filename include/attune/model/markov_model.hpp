// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which item follows which: decayed transition counts.

#include <cstdint>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/model/count_model.hpp"

namespace attune::inline v0_1 {

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
class ATTUNE_EXPORT MarkovModel final : public CountModel {
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

  std::string_view name() const noexcept override { return "markov"; }
  std::size_t num_items() const noexcept override { return counts_.popularity.size(); }
  bool knows(ItemHandle item) const noexcept override { return item < num_items() && counts_.popularity[item] > 0; }
  const Counts& counts() const noexcept { return counts_; }
  const MarkovOptions& options() const noexcept { return options_; }

  // Shares, positive (given smoothing) for every item that was ever seen. A history without any known item gives
  // popularity.
  void score_all(HistoryView history, std::span<float> scores, Workspace& workspace) const override;
  using CountModel::score_all;
  // Does not look at the other items: a search per handle and newest item.
  void score(HistoryView history, std::span<const ItemHandle> handles, std::span<float> scores,
             Workspace& workspace) const override;
  void to_terms(std::span<float> scores) const noexcept override;  // logarithms of the shares

 private:
  Counts counts_;
  MarkovOptions options_;
  std::vector<float> popularity_weight_;  // [items]: pop^-popularity_power
  std::vector<double> row_total_;         // [items]: sum of a row's counts, each times its column's weight
  std::vector<float> popularity_share_;   // [items]
};

}  // namespace attune::inline v0_1
