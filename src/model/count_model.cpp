// SPDX-License-Identifier: Apache-2.0
#include "attune/model/count_model.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "attune/detail/reduced_history.hpp"

namespace attune::inline v0_1 {

CountModel::~CountModel() = default;

bool CountModel::knows_any(HistoryView history) const noexcept {
  return std::ranges::any_of(history.items, [this](ItemHandle item) { return knows(item); });
}

void CountModel::score_all(HistoryView history, std::span<float> scores) const {
  Workspace workspace;
  score_all(history, scores, workspace);
}

void CountModel::score(HistoryView history, std::span<const ItemHandle> handles, std::span<float> scores,
                       Workspace& workspace) const {
  const std::span<float> all = workspace.count_scores.take(num_items());
  score_all(history, all, workspace);
  for (std::size_t i = 0; i < handles.size(); ++i) scores[i] = handles[i] < all.size() ? all[handles[i]] : 0.0f;
}

void CountModel::leave_one_out(std::span<float> differences, HistoryView history, std::span<const ItemHandle> items,
                               std::span<const float> shares, bool as_terms, Workspace& workspace) const {
  constexpr std::size_t kNewest = 1000;
  std::vector<float> scores(items.size());
  const auto sum_of = [&](HistoryView events) {
    this->score(events, items, scores, workspace);
    if (as_terms) to_terms(scores);
    return std::inner_product(shares.begin(), shares.end(), scores.begin(), 0.0f);
  };
  std::ranges::fill(differences, 0.0f);
  const float whole = sum_of(history);
  detail::ReducedHistory reduced;
  for (std::size_t i = history.size() - std::min(kNewest, history.size()); i < history.size(); ++i) {
    if (knows(history.items[i])) differences[i] = whole - sum_of(reduced.without(history, {&i, 1}));
  }
}

void CountModel::to_terms(std::span<float>) const noexcept {}

}  // namespace attune::inline v0_1
