// SPDX-License-Identifier: Apache-2.0
#pragma once

// iALS: matrix factorisation for implicit feedback by alternating least squares (Hu, Koren & Volinsky 2008; objective
// and regularisation of Rendle et al. 2021, "Revisiting the performance of iALS"). Users are not kept: the vector of a
// history, known or not, is solved for when it is asked for.

#include <cstdint>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/model/count_model.hpp"

namespace attune::inline v0_1 {

class Executor;

struct IalsOptions {
  std::size_t embedding_dim = 64;     // a multiple of 16; time grows with its square, from there on with its cube
  std::size_t epochs = 8;             // of solving for all users, then for all items
  double unobserved_weight = 0.1;     // of a pair that did not happen, against 1 for every event
  double regularization = 0.01;       // of a vector, times (its events + unobserved_weight * the other side)^power
  double regularization_power = 1.0;  // 1: popular items and busy users are held down more
  double decay = 0.7;                 // weight of the k-th newest known event is decay^k, down to 1e-4
  std::uint64_t seed = 1;             // of the first item vectors

  // Throws Error(invalid_config) naming the field, what is allowed and what was given.
  ATTUNE_EXPORT void validate() const;
};

// Minimises sum over events (<w_u, h_i> - 1)^2 + unobserved_weight * sum over all pairs <w_u, h_i>^2
// + sum_u r(u) |w_u|^2 + sum_i r(i) |h_i|^2. A repeated event counts again. score(y) = <w, h_y>.
class ATTUNE_EXPORT IalsModel final : public CountModel {
 public:
  IalsModel() : IalsModel(0, {}, {}) {}
  // The same bits for any number of threads on one instruction-set level. Throws Error: invalid_config, non_finite.
  // Without an executor the calling thread works.
  static IalsModel fit(const Histories& histories, const IalsOptions& options = {}, Executor* executor = nullptr);

  // factors [items, D]. Throws Error: corrupt_file when they are not so many or not finite, invalid_config.
  IalsModel(std::size_t num_items, std::vector<float> factors, const IalsOptions& options);

  std::string_view name() const noexcept override { return "ials"; }
  std::size_t num_items() const noexcept override { return known_.size(); }
  bool knows(ItemHandle item) const noexcept override { return item < num_items() && known_[item]; }
  std::span<const float> factors() const noexcept { return factors_; }  // [items, D]
  const IalsOptions& options() const noexcept { return options_; }

  // user_vector [D]: with decay 1 what training would have given a user with these events; zero without a known one.
  void fold_in(std::span<float> user_vector, HistoryView history, Workspace& workspace) const;
  void score_all(HistoryView history, std::span<float> scores, Workspace& workspace) const override;  // of any sign
  using CountModel::score_all;
  void to_terms(std::span<float> scores) const noexcept override;  // ten times the scores: a weight of about 1 suits

 private:
  std::vector<float> factors_;
  std::vector<float> gramian_;  // [D, D] of the factors
  std::vector<bool> known_;     // [items]
  IalsOptions options_;
};

}  // namespace attune::inline v0_1
