// SPDX-License-Identifier: Apache-2.0
#include "attune/model/count_model.hpp"

#include <algorithm>

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

void CountModel::to_terms(std::span<float>) const noexcept {}

}  // namespace attune::inline v0_1
