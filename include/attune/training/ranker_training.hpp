// SPDX-License-Identifier: Apache-2.0
#pragma once

// Learns to put the engine's best items in order, from lists that say what came next. The same bits for any number of
// threads.

#include <cstddef>

#include "attune/data/split.hpp"
#include "attune/executor.hpp"
#include "attune/model/checkpoint.hpp"

namespace attune::inline v0_1 {

struct RankerOptions {
  std::size_t candidates = 100;    // of each list; more finds what the engine ranks low, and costs time
  bool exclude_seen = true;        // as the answers will be asked for
  std::size_t max_lists = 10'000;  // a fixed sample of the queries beyond that
  Executor* executor = nullptr;    // null: the calling thread
};

// What ranking adds on lists it was not fitted on: each half of the users is ranked by weights of the other half. Of
// the model as it was given: a training that refits its encoder afterwards serves the ranker with an encoder that
// neither the weights nor these numbers have seen.
struct RankerReport {
  std::size_t lists = 0;
  double engine_ndcg_10 = 0, ndcg_10 = 0;  // in the engine's order, and reordered
  double standard_error = 0;               // of the difference; lists of one user count together
  bool kept = false;                       // the difference is above two standard errors
};

struct FittedRanker {
  LearnedRanker ranker;  // fitted on all lists; empty where it was not kept
  RankerReport report;
};

// Softmax cross-entropy over the candidates of a list (Cao et al., ICML 2007) of the targets among them, the
// probability of which the weighted sum gives; convex, solved by Newton's method. Lists without a target among the
// candidates teach nothing, but are measured. The encoder is told the time of the target where it reads that. The
// model's own ranker is not looked at. Throws Error(invalid_argument): a model without an encoder, no candidates,
// queries without item ids.
ATTUNE_EXPORT FittedRanker fit_ranker(const TrainedModel& model, const EvaluationQueries& queries,
                                      const RankerOptions& options = {});

}  // namespace attune::inline v0_1
