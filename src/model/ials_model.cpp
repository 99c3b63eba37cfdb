// SPDX-License-Identifier: Apache-2.0
#include "attune/model/ials_model.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "attune/detail/kernels.hpp"
#include "attune/error.hpp"
#include "attune/executor.hpp"
#include "model/count_options.hpp"
#include "model/ials_problem.hpp"
#include "model/ials_trainer.hpp"

namespace attune::inline v0_1 {

void IalsOptions::validate() const {
  using detail::require_option;
  require_option(embedding_dim % detail::kLanes == 0 && embedding_dim >= detail::kLanes && embedding_dim <= 1024,
                 "ials.embedding_dim", "a multiple of 16, at most 1024", std::to_string(embedding_dim));
  require_option(epochs >= 1, "ials.epochs", "at least 1", std::to_string(epochs));
  require_option(unobserved_weight > 0 && std::isfinite(unobserved_weight), "ials.unobserved_weight",
                 "positive and finite", std::to_string(unobserved_weight));
  require_option(regularization > 0 && std::isfinite(regularization), "ials.regularization", "positive and finite",
                 std::to_string(regularization));
  require_option(regularization_power >= 0 && regularization_power <= 1, "ials.regularization_power", "0 to 1",
                 std::to_string(regularization_power));
  detail::require_decay(decay, "ials.decay");
}

IalsModel IalsModel::fit(const Histories& histories, const IalsOptions& options, Executor* executor) {
  options.validate();
  InlineExecutor calling_thread;
  detail::IalsTrainer trainer(histories, options, executor != nullptr ? *executor : calling_thread);
  for (std::size_t epoch = 1; epoch <= options.epochs; ++epoch) {
    trainer.update_users();
    trainer.update_items();
    if (!std::ranges::all_of(trainer.items(), [](float x) { return std::isfinite(x); })) {
      throw Error(ErrorCode::non_finite, "iALS: an item vector is not finite at epoch " + std::to_string(epoch));
    }
  }
  return IalsModel(histories.num_items(), trainer.items(), options);
}

IalsModel::IalsModel(std::size_t num_items, std::vector<float> factors, const IalsOptions& options)
    : factors_(std::move(factors)), known_(num_items), options_(options) {
  options_.validate();
  const std::size_t dim = options_.embedding_dim;
  if (factors_.size() != num_items * dim) {
    throw Error(ErrorCode::corrupt_file, "iALS: expected one vector for each item");
  }
  if (!std::ranges::all_of(factors_, [](float x) { return std::isfinite(x); })) {
    throw Error(ErrorCode::corrupt_file, "iALS: a vector is not finite");
  }
  for (std::size_t item = 0; item < num_items; ++item) {
    known_[item] = std::ranges::any_of(std::span(factors_).subspan(item * dim, dim), [](float x) { return x != 0; });
  }
  gramian_ = detail::gramian_of(factors_, dim);
}

void IalsModel::fold_in(std::span<float> user_vector, HistoryView history, Workspace& workspace) const {
  const std::size_t dim = options_.embedding_dim;
  detail::IalsProblem problem(options_, gramian_, workspace.counts);
  const auto known = [this](ItemHandle item) { return knows(item); };
  detail::for_each_faded(history, options_.decay, known, [&](ItemHandle item, float weight) {
    problem.add(std::span(factors_).subspan(item * dim, dim), weight);
  });
  problem.solve(user_vector, num_items());
}

void IalsModel::score_all(HistoryView history, std::span<float> scores, Workspace& workspace) const {
  const std::size_t dim = options_.embedding_dim;
  const std::span<float> user_vector = workspace.count_vector.take(dim);
  fold_in(user_vector, history, workspace);
  detail::kernels<float>().dot_rows(scores.data(), user_vector.data(), factors_.data(), dim, dim, num_items());
}

void IalsModel::to_terms(std::span<float> scores) const noexcept {
  for (float& score : scores) score *= 10;
}

}  // namespace attune::inline v0_1
