// SPDX-License-Identifier: Apache-2.0
#include "serving/model_ranker.hpp"

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "serving/row_order.hpp"

namespace attune::inline v0_1 {

ModelRanker::ModelRanker(LearnedRanker ranker, detail::CandidateFeatures features)
    : ranker_(std::move(ranker)), features_(std::move(features)) {}

std::unique_ptr<const ModelRanker> ModelRanker::of(const TrainedModel& model, std::span<const ItemHandle> handles) {
  if (!model.encoder || model.ranker.empty()) return nullptr;
  model.ranker.validate();
  const RowOrder order(handles);
  std::vector<std::uint64_t> events(model.popularity ? order.size() : 0);
  for (std::size_t row = 0; row < handles.size() && !events.empty(); ++row) {
    events[handles[row]] = model.popularity->counts()[row];
  }
  detail::CandidateFeatures features(order.apply(model.counts), events, model.encoder->config().request_time);
  return std::unique_ptr<const ModelRanker>(new ModelRanker(model.ranker, std::move(features)));
}

void ModelRanker::rank(const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores,
                       Workspace& workspace) const {
  const auto request = features_.read(query.history, query.context.now, true, workspace);
  std::array<float, LearnedRanker::kNumFeatures> features;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    features_.fill(features, request, candidates[i].handle, candidates[i].score);
    scores[i] = ranker_(features);
  }
}

}  // namespace attune::inline v0_1
