// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/cold_start.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "attune/detail/top_k.hpp"

namespace attune::inline v0_1 {

CountsColdStart::CountsColdStart(std::shared_ptr<const CountModel> popularity, std::shared_ptr<const CountModel> counts)
    : popularity_(std::move(popularity)), counts_(std::move(counts)) {}

Source CountsColdStart::source(HistoryView history, const Context&) const noexcept {
  return counts_ && counts_->knows_any(history) ? Source::counts : Source::popularity;
}

std::span<const float> CountsColdStart::score_all(HistoryView history, Workspace& workspace) const {
  const CountModel* const model = answering(counts_.get(), popularity_.get(), history);
  if (model == nullptr) return {};
  const std::span<float> scores = workspace.scores.take(model->num_items());
  model->score_all(history, scores, workspace);
  return scores;
}

std::span<const ScoredHandle> CountsColdStart::top_k(HistoryView history, const Context&,
                                                     std::span<const std::uint64_t> eligible,
                                                     std::span<const float> additive, std::size_t k,
                                                     Workspace& workspace) const {
  std::size_t candidates = 0;
  for (const std::uint64_t word : eligible) candidates += static_cast<std::size_t>(std::popcount(word));
  detail::TopK best(workspace.top, std::min(k, candidates));
  const std::span<const float> scores = score_all(history, workspace);
  for (std::size_t group = 0; group < eligible.size(); ++group) {
    detail::for_each_bit(eligible[group], [&](std::size_t bit) {
      const std::size_t item = group * 64 + bit;
      const float score = item < scores.size() ? scores[item] : 0.0f;
      best.push({static_cast<ItemHandle>(item), additive.empty() ? score : score + additive[item]});
    });
  }
  return best.finish();
}

void CountsColdStart::attributions(std::span<float> attributions, HistoryView history, const Context&,
                                   std::span<const ItemHandle> items, std::span<const float> shares,
                                   Workspace& workspace) const {
  std::ranges::fill(attributions, 0.0f);
  const CountModel* const model = answering(counts_.get(), popularity_.get(), history);
  if (model != nullptr) model->leave_one_out(attributions, history, items, shares, false, workspace);
}

void CountsColdStart::score(HistoryView history, const Context&, std::span<const ItemHandle> handles,
                            std::span<float> scores, Workspace& workspace) const {
  const std::span<const float> all = score_all(history, workspace);
  for (std::size_t i = 0; i < handles.size(); ++i) scores[i] = handles[i] < all.size() ? all[handles[i]] : 0.0f;
}

}  // namespace attune::inline v0_1
