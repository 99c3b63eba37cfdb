// SPDX-License-Identifier: Apache-2.0
#include "model/model_ranker.hpp"

#include <utility>

namespace attune::inline v0_1::detail {

ModelRanker::ModelRanker(LearnedRanker ranker, CandidateFeatures features)
    : ranker_(std::move(ranker)), features_(std::move(features)) {
  ranker_.validate();
}

void ModelRanker::rank(const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores,
                       Workspace& workspace) const {
  constexpr std::size_t F = LearnedRanker::kNumFeatures;
  const std::span<float> features = workspace.scores.take(candidates.size() * F);
  features_.read(features, query.history, query.context.now, candidates, workspace);
  for (std::size_t i = 0; i < candidates.size(); ++i) scores[i] = ranker_(features.subspan(i * F).first<F>());
}

}  // namespace attune::inline v0_1::detail
