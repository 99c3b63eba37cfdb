// SPDX-License-Identifier: Apache-2.0
#include "model/ranking.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "platform/clock.hpp"

namespace attune::inline v0_1::detail {
namespace {

using platform::Clock;

// Scores as many candidates as there is time for, the first group in any case; returns how many. Throws what the ranker
// throws.
std::size_t score_in_time(const Ranker& ranker, const RankingQuery& query, std::span<const Candidate> candidates,
                          std::span<float> scores, std::chrono::nanoseconds deadline, Workspace& workspace) {
  const bool limited = deadline > std::chrono::nanoseconds::zero();
  const std::size_t size = limited ? std::max<std::size_t>(1, ranker.group_size()) : candidates.size();
  const Clock::time_point start = limited ? Clock::now() : Clock::time_point{};
  std::size_t scored = 0;
  while (scored < candidates.size()) {
    if (limited && scored != 0 && Clock::now() - start >= deadline) break;
    const std::size_t count = std::min(size, candidates.size() - scored);
    ranker.rank(query, candidates.subspan(scored, count), scores.subspan(scored, count), workspace);
    scored += count;
  }
  return scored;
}

}  // namespace

Ranking rank_candidates(const Ranker& ranker, const RankingQuery& query, std::span<Candidate> candidates,
                        std::vector<float>& scores, std::chrono::nanoseconds deadline, Workspace& workspace) {
  // What a ranker does not fill in is no score.
  scores.assign(candidates.size(), std::numeric_limits<float>::quiet_NaN());
  std::size_t scored = 0;
  try {
    scored = score_in_time(ranker, query, candidates, scores, deadline, workspace);
  } catch (...) {
    return {.failed = true};
  }
  const auto given = std::span(scores).first(scored);
  if (!std::ranges::all_of(given, [](float score) { return std::isfinite(score); })) return {.failed = true};
  std::ranges::sort(candidates.first(scored), [&](const Candidate& a, const Candidate& b) {
    return given[a.rank] > given[b.rank] || (given[a.rank] == given[b.rank] && a.rank < b.rank);
  });
  return {.reranked = scored, .late = scored < candidates.size()};
}

}  // namespace attune::inline v0_1::detail
