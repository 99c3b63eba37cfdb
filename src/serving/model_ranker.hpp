// SPDX-License-Identifier: Apache-2.0
#pragma once

// The ranker that a model brings, in the handles of the catalogue.

#include <cstddef>
#include <memory>
#include <span>

#include "attune/model/checkpoint.hpp"
#include "attune/serving/ranker.hpp"
#include "model/candidate_features.hpp"

namespace attune::inline v0_1 {

class ModelRanker final : public Ranker {
 public:
  // Null where the model has none. Its row i is the catalogue's handles[i].
  static std::unique_ptr<const ModelRanker> of(const TrainedModel& model, std::span<const ItemHandle> handles);

  std::size_t candidates() const noexcept { return ranker_.candidates; }
  void rank(const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores,
            Workspace& workspace) const override;
  // Microseconds for all of them, most of it for what they have in common.
  std::size_t group_size() const noexcept override { return ranker_.candidates; }

 private:
  ModelRanker(LearnedRanker ranker, detail::CandidateFeatures features);

  LearnedRanker ranker_;
  detail::CandidateFeatures features_;
};

}  // namespace attune::inline v0_1
