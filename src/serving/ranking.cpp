// SPDX-License-Identifier: Apache-2.0
#include "serving/ranking.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "platform/clock.hpp"

namespace attune::inline v0_1 {
namespace {

using platform::Clock;

// Scores as many candidates as there is time for, the first group in any case; returns how many. Throws what the ranker
// throws.
std::size_t score_in_time(const Ranker& ranker, const RankingQuery& query, std::chrono::nanoseconds deadline,
                          RequestScratch& scratch) {
  const std::span<const Candidate> candidates = scratch.candidates;
  const bool limited = deadline > std::chrono::nanoseconds::zero();
  const std::size_t size = limited ? std::max<std::size_t>(1, ranker.group_size()) : candidates.size();
  const Clock::time_point start = limited ? Clock::now() : Clock::time_point{};
  std::size_t scored = 0;
  while (scored < candidates.size()) {
    if (limited && scored != 0 && Clock::now() - start >= deadline) break;
    const std::size_t count = std::min(size, candidates.size() - scored);
    ranker.rank(query, candidates.subspan(scored, count), std::span(scratch.scores).subspan(scored, count),
                scratch.workspace);
    scored += count;
  }
  return scored;
}

}  // namespace

Ranking rank_candidates(const Ranker& ranker, const RankingQuery& query, std::span<const ScoredHandle> items,
                        std::size_t most, std::chrono::nanoseconds deadline, const Catalogue& catalogue,
                        RequestScratch& scratch) {
  scratch.ranked.assign(items.begin(), items.end());  // the ranker may use the workspace
  const std::size_t count = std::min(most, items.size());
  if (count == 0) return {.items = scratch.ranked};
  scratch.candidates.clear();
  catalogue.read([&](const IdMap& ids) {
    for (std::size_t rank = 0; rank < count; ++rank) {
      const ScoredHandle& item = items[rank];
      scratch.candidates.push_back({ids.id(item.item), item.item, item.score, rank});
    }
  });
  // What a ranker does not fill in is no score.
  scratch.scores.assign(count, std::numeric_limits<float>::quiet_NaN());
  std::size_t scored = 0;
  try {
    scored = score_in_time(ranker, query, deadline, scratch);
  } catch (...) {
    return {.items = scratch.ranked, .failed = true};
  }
  const auto scores = std::span(scratch.scores).first(scored);
  if (!std::ranges::all_of(scores, [](float score) { return std::isfinite(score); })) {
    return {.items = scratch.ranked, .failed = true};
  }
  const auto best = std::span(scratch.candidates).first(scored);
  std::ranges::sort(best, [&](const Candidate& a, const Candidate& b) {
    return scores[a.rank] > scores[b.rank] || (scores[a.rank] == scores[b.rank] && a.rank < b.rank);
  });
  for (std::size_t i = 0; i < scored; ++i) scratch.ranked[i] = {best[i].handle, best[i].score};
  return {.items = scratch.ranked, .reranked = scored, .late = scored < count};
}

}  // namespace attune::inline v0_1
