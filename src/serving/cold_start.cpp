// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/cold_start.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "attune/detail/top_k.hpp"

namespace attune::inline v0_1 {

CountsColdStart::CountsColdStart(std::shared_ptr<const PopularityModel> popularity,
                                 std::shared_ptr<const MarkovModel> markov)
    : popularity_(std::move(popularity)), markov_(std::move(markov)) {}

Source CountsColdStart::source(HistoryView history, const Context&) const noexcept {
  const auto counted = [&](ItemHandle item) {
    return item < markov_->num_items() && markov_->counts().popularity[item] > 0;
  };
  const bool speaks = markov_ && std::any_of(history.items.begin(), history.items.end(), counted);
  return speaks ? Source::counts : Source::popularity;
}

std::span<const float> CountsColdStart::score_all(HistoryView history, const Context& context,
                                                  Workspace& workspace) const {
  const auto scores_of = [&](const auto& model) {
    const std::span<float> scores = workspace.scores.take(model.num_items());
    model.score_all(history, scores);
    return scores;
  };
  if (markov_ && (!popularity_ || source(history, context) == Source::counts)) return scores_of(*markov_);
  if (popularity_) return scores_of(*popularity_);
  return {};
}

std::span<const ScoredHandle> CountsColdStart::top_k(HistoryView history, const Context& context,
                                                     std::span<const std::uint64_t> eligible, std::size_t k,
                                                     Workspace& workspace) const {
  std::size_t candidates = 0;
  for (const std::uint64_t word : eligible) candidates += static_cast<std::size_t>(std::popcount(word));
  detail::TopK best(workspace.top, std::min(k, candidates));
  const std::span<const float> scores = score_all(history, context, workspace);
  for (std::size_t group = 0; group < eligible.size(); ++group) {
    detail::for_each_bit(eligible[group], [&](std::size_t bit) {
      const std::size_t item = group * 64 + bit;
      best.push({static_cast<ItemHandle>(item), item < scores.size() ? scores[item] : 0.0f});
    });
  }
  return best.finish();
}

void CountsColdStart::score(HistoryView history, const Context& context, std::span<const ItemHandle> handles,
                            std::span<float> scores, Workspace& workspace) const {
  const std::span<const float> all = score_all(history, context, workspace);
  for (std::size_t i = 0; i < handles.size(); ++i) scores[i] = handles[i] < all.size() ? all[handles[i]] : 0.0f;
}

}  // namespace attune::inline v0_1
