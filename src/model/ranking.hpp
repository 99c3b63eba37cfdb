// SPDX-License-Identifier: Apache-2.0
#pragma once

// The ranking stage, the same where it is served and where it is measured: groups, deadline, and what happens where a
// ranker fails.

#include <chrono>
#include <cstddef>
#include <span>
#include <vector>

#include "attune/model/ranker.hpp"

namespace attune::inline v0_1::detail {

struct Ranking {
  std::size_t reranked = 0;  // candidates in front that are in their new order; 0 where the ranker failed
  bool failed = false, late = false;
};

// `candidates`, in the engine's order with ranks from 0, come out in their final order. `scores` become those of the
// ranker, by Candidate::rank. Without a deadline (0) the ranker sees all candidates at once.
Ranking rank_candidates(const Ranker& ranker, const RankingQuery& query, std::span<Candidate> candidates,
                        std::vector<float>& scores, std::chrono::nanoseconds deadline, Workspace& workspace);

}  // namespace attune::inline v0_1::detail
