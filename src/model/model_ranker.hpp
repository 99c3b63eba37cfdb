// SPDX-License-Identifier: Apache-2.0
#pragma once

// The ranker that a model brings.

#include <cstddef>
#include <span>

#include "attune/model/ranker.hpp"
#include "model/candidate_features.hpp"

namespace attune::inline v0_1::detail {

class ModelRanker final : public Ranker {
 public:
  // Throws Error(invalid_argument): see LearnedRanker::validate. `features` in the handles of the candidates.
  ModelRanker(LearnedRanker ranker, CandidateFeatures features);

  void rank(const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores,
            Workspace& workspace) const override;
  std::size_t candidates() const noexcept override { return ranker_.candidates; }
  // All at once: what they have in common takes longer than any of them. A deadline never cuts them in two.
  std::size_t group_size() const noexcept override { return ranker_.candidates; }

 private:
  LearnedRanker ranker_;
  CandidateFeatures features_;
};

}  // namespace attune::inline v0_1::detail
