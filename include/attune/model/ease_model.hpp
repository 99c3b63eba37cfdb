// SPDX-License-Identifier: Apache-2.0
#pragma once

// EASE (Steck 2019, "Embarrassingly shallow autoencoders for sparse data"): the linear item-to-item model with zero
// diagonal that best reconstructs users' sets of items, in closed form, with a history that fades.

#include <cstdint>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/model/count_model.hpp"

namespace attune::inline v0_1 {

class Executor;

struct EaseOptions {
  double lambda = 300;             // of the L2 penalty: more trusts small counts less
  double decay = 0.8;              // weight of the k-th newest known event is decay^k, down to 1e-4
  std::size_t max_items = 10'000;  // a larger catalogue is refused: memory grows with its square, time with its cube

  // Throws Error(invalid_config) naming the field, what is allowed and what was given.
  ATTUNE_EXPORT void validate() const;
};

// With G [N, N] the users that two items have in common and P = (G + lambda I)^-1, the weights are
// B[x, y] = -P[x, y] / P[y, y], 0 on the diagonal; score(y) = sum over the events x_k of a history of
// decay^k B[x_k, y].
class ATTUNE_EXPORT EaseModel final : public CountModel {
 public:
  EaseModel() = default;
  // The same for any number of threads. 12 bytes per pair of items while it fits, 4 afterwards. Throws Error:
  // limit_exceeded (catalogue beyond max_items, with the memory it would take), invalid_config, non_finite.
  // Without an executor the calling thread works.
  static EaseModel fit(const Histories& histories, const EaseOptions& options = {}, Executor* executor = nullptr);

  // weights [items, items]. Throws Error: corrupt_file when they are no square or not finite, invalid_config.
  EaseModel(std::size_t num_items, std::vector<float> weights, const EaseOptions& options);

  std::string_view name() const noexcept override { return "ease"; }
  std::size_t num_items() const noexcept override { return known_.size(); }
  // Items without a user, or that no user has beside another one, say nothing.
  bool knows(ItemHandle item) const noexcept override { return item < num_items() && known_[item]; }
  std::span<const float> weights() const noexcept { return weights_; }  // [items, items]
  const EaseOptions& options() const noexcept { return options_; }

  void score_all(HistoryView history, std::span<float> scores, Workspace& workspace) const override;  // of any sign
  using CountModel::score_all;
  void to_terms(std::span<float> scores) const noexcept override;  // ten times the scores: a weight of about 1 suits

 private:
  std::vector<float> weights_;
  std::vector<bool> known_;  // [items]
  EaseOptions options_;
};

}  // namespace attune::inline v0_1
