// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/cold_start.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "attune/detail/top_k.hpp"

namespace attune::inline v0_1 {

namespace {

// In place, logarithms become shares of all.
void to_shares(std::span<float> terms) noexcept {
  if (terms.empty()) return;
  const float largest = *std::ranges::max_element(terms);
  for (float& term : terms) term = std::exp(term - largest);
  const double total = std::accumulate(terms.begin(), terms.end(), 0.0);
  for (float& term : terms) term = static_cast<float>(static_cast<double>(term) / total);
}

}  // namespace

CountsColdStart::CountsColdStart(std::shared_ptr<const CountModel> popularity, std::shared_ptr<const CountModel> counts,
                                 std::shared_ptr<const UserPrior> prior)
    : popularity_(std::move(popularity)), counts_(std::move(counts)), prior_(std::move(prior)) {}

Source CountsColdStart::source(HistoryView history, const Context& context) const noexcept {
  if (is_cold(history)) {
    return prior_->largest(history, context.profile, counts_.get(), UserPrior::Beside::nothing);
  }
  return counts_ && counts_->knows_any(history) ? Source::counts : Source::popularity;
}

ColdTerms CountsColdStart::beside_model(HistoryView history, const Context& context, std::size_t size,
                                        Workspace& workspace) const {
  if (!is_cold(history)) return {};
  constexpr auto kBeside = UserPrior::Beside::model;
  const std::size_t items = prior_->num_items();
  const std::span<float> terms = workspace.cold.take(std::max(size, items));
  prior_->sum(terms.first(items), history, context.profile, popularity_.get(), counts_.get(), kBeside, workspace);
  std::fill(terms.begin() + static_cast<std::ptrdiff_t>(items), terms.end(), 0.0f);
  return {terms.first(size), prior_->largest(history, context.profile, counts_.get(), kBeside)};
}

std::span<const float> CountsColdStart::score_all(HistoryView history, const Context& context,
                                                  Workspace& workspace) const {
  if (is_cold(history)) {
    const std::span<float> shares = workspace.scores.take(prior_->num_items());
    prior_->sum(shares, history, context.profile, popularity_.get(), counts_.get(), UserPrior::Beside::nothing,
                workspace);
    to_shares(shares);
    return shares;
  }
  const CountModel* const model = answering(counts_.get(), popularity_.get(), history);
  if (model == nullptr) return {};
  const std::span<float> scores = workspace.scores.take(model->num_items());
  model->score_all(history, scores, workspace);
  return scores;
}

std::span<const ScoredHandle> CountsColdStart::top_k(HistoryView history, const Context& context,
                                                     std::span<const std::uint64_t> eligible,
                                                     std::span<const float> additive, std::size_t k,
                                                     Workspace& workspace) const {
  std::size_t candidates = 0;
  for (const std::uint64_t word : eligible) candidates += static_cast<std::size_t>(std::popcount(word));
  detail::TopK best(workspace.top, std::min(k, candidates));
  const std::span<const float> scores = score_all(history, context, workspace);
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

void CountsColdStart::score(HistoryView history, const Context& context, std::span<const ItemHandle> handles,
                            std::span<float> scores, Workspace& workspace) const {
  const std::span<const float> all = score_all(history, context, workspace);
  for (std::size_t i = 0; i < handles.size(); ++i) scores[i] = handles[i] < all.size() ? all[handles[i]] : 0.0f;
}

}  // namespace attune::inline v0_1
