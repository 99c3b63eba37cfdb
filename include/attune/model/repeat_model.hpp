// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a user had before he has again: his own goods, the lately and often bought first. For baskets and everything
// else that is consumed more than once; where seen items are left out it has nothing to say.

#include <cstdint>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/model/count_model.hpp"

namespace attune::inline v0_1 {

struct RepeatOptions {
  double half_life_days = 90;  // an event so much older than the newest counts half; 0: all count the same
  double smoothing = 0.02;     // share of popularity added, which ranks what the user never had

  // Throws Error(invalid_config) naming the field, what is allowed and what was given.
  ATTUNE_EXPORT void validate() const;
};

// Personal frequency that fades (as in TIFU-KNN: Hu et al., SIGIR 2020): score(y) = (1 - smoothing) * sum over the
// events of y of 2^(-age / half_life_days), normalised to sum 1, + smoothing * popularity share. Ages are those before
// the newest known event; an event without a time does not fade.
class ATTUNE_EXPORT RepeatModel final : public CountModel {
 public:
  RepeatModel() = default;
  // Throws Error(invalid_config).
  static RepeatModel fit(const Histories& histories, const RepeatOptions& options = {});
  RepeatModel(std::vector<std::uint64_t> popularity, const RepeatOptions& options);  // [items]

  std::string_view name() const noexcept override { return "repeat"; }
  std::size_t num_items() const noexcept override { return popularity_.size(); }
  bool knows(ItemHandle item) const noexcept override { return item < num_items() && popularity_[item] > 0; }
  std::span<const std::uint64_t> popularity() const noexcept { return popularity_; }  // [items]
  const RepeatOptions& options() const noexcept { return options_; }

  // Shares; of a history without any known item those of popularity.
  void score_all(HistoryView history, std::span<float> scores, Workspace& workspace) const override;
  using CountModel::score_all;
  void to_terms(std::span<float> scores) const noexcept override;  // logarithms of the shares

 private:
  std::vector<std::uint64_t> popularity_;
  RepeatOptions options_;
  std::vector<float> popularity_share_;  // [items]
};

}  // namespace attune::inline v0_1
