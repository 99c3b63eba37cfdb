// SPDX-License-Identifier: Apache-2.0
#pragma once

// The ranking stage of a request: groups, deadline, and what happens where a ranker fails.

#include <chrono>
#include <cstddef>
#include <span>

#include "attune/serving/catalogue.hpp"
#include "attune/serving/ranker.hpp"
#include "serving/request_scratch.hpp"

namespace attune::inline v0_1 {

struct Ranking {
  std::span<const ScoredHandle> items;  // all of them, in their final order with the engine's scores; in the scratch
  std::size_t reranked = 0;             // those in front; 0 where the ranker failed
  bool failed = false, late = false;
};

// `items` best first, of the engine, in the workspace of `scratch`; `most` of them are candidates. Without a deadline
// (0) the ranker sees all candidates at once.
Ranking rank_candidates(const Ranker& ranker, const RankingQuery& query, std::span<const ScoredHandle> items,
                        std::size_t most, std::chrono::nanoseconds deadline, const Catalogue& catalogue,
                        RequestScratch& scratch);

}  // namespace attune::inline v0_1
