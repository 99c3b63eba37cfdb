// SPDX-License-Identifier: Apache-2.0
#include "serving/group_engine.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "attune/detail/top_k.hpp"

namespace attune::inline v0_1 {

Context GroupEngine::context_of(const GroupMember& member, Context context) const {
  context.user = member.id;
  context.disliked = member.user.disliked;
  return context;
}

void GroupEngine::listen(const Context& context, Workspace& workspace) {
  std::vector<Source> sources;
  for (const GroupMember& member : all_) {
    const HistoryView history = member.user.history();
    const Context own = context_of(member, context);
    const bool encoded = !engine_.user_vector(history, own, nullptr, workspace).empty();
    sources.push_back(encoded ? Source::model : engine_.score(history, own, {}, {}, nullptr, workspace));
  }
  source_ = *std::ranges::min_element(sources);
  members_.clear();
  for (std::size_t m = 0; m < all_.size(); ++m) {
    if (sources[m] == source_) members_.push_back(&all_[m]);
  }
}

float GroupEngine::together(std::span<const float> scores) const noexcept {
  if (options_.strategy == GroupStrategy::least_misery) return *std::ranges::min_element(scores);
  return std::accumulate(scores.begin(), scores.end(), 0.0f) / static_cast<float>(scores.size());
}

Source GroupEngine::score(HistoryView, const Context& context, std::span<const ItemHandle> handles,
                          std::span<float> scores, detail::EngineState*, Workspace& workspace) const {
  std::vector<float> all(members_.size() * handles.size()), of_item(members_.size());
  for (std::size_t m = 0; m < members_.size(); ++m) {
    const std::span<float> row = std::span(all).subspan(m * handles.size(), handles.size());
    const Context own = context_of(*members_[m], context);
    engine_.score(members_[m]->user.history(), own, handles, row, nullptr, workspace);
  }
  for (std::size_t i = 0; i < handles.size(); ++i) {
    for (std::size_t m = 0; m < members_.size(); ++m) of_item[m] = all[m * handles.size() + i];
    scores[i] = together(of_item);
  }
  return source_;
}

EngineAnswer GroupEngine::recommend(HistoryView, const Context& context, std::span<const std::uint64_t> eligible,
                                    std::span<const float> additive, std::size_t k, detail::EngineState*,
                                    Workspace& workspace) const {
  try {
    return {best(context, eligible, additive, k, workspace), source_};
  } catch (const Error& error) {
    damaged_(error);
  }
  return engine_.recommend({}, context, eligible, additive, k, nullptr, workspace);
}

// The threshold algorithm: what is in no member's list scores at most what the ends of the lists make together.
std::span<const ScoredHandle> GroupEngine::best(const Context& context, std::span<const std::uint64_t> eligible,
                                                std::span<const float> additive, std::size_t k,
                                                Workspace& workspace) const {
  constexpr std::size_t kFirst = 100;
  const std::size_t most = std::min(size(), std::max(k, options_.most_candidates));
  std::vector<ItemHandle> candidates;
  std::vector<float> scores, ends(members_.size());
  for (std::size_t depth = std::max(k, kFirst);; depth *= 4) {
    depth = std::min(depth, most);
    bool complete = depth == most;
    candidates.clear();
    for (std::size_t m = 0; m < members_.size(); ++m) {
      const Context own = context_of(*members_[m], context);
      const auto found =
          engine_.recommend(members_[m]->user.history(), own, eligible, additive, depth, nullptr, workspace).items;
      for (const ScoredHandle& one : found) candidates.push_back(one.item);
      complete = complete || found.size() < depth;  // which is everything
      ends[m] = found.empty() ? -std::numeric_limits<float>::infinity() : found.back().score;
    }
    std::ranges::sort(candidates);
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    scores.resize(candidates.size());
    score({}, context, candidates, scores, nullptr, workspace);
    detail::TopK best(workspace.top, std::min(k, candidates.size()));
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      best.push({candidates[i], scores[i] + (additive.empty() ? 0.0f : additive[candidates[i]])});
    }
    if (complete || (best.full() && best.worst().score > together(ends))) return best.finish();
  }
}

}  // namespace attune::inline v0_1
