// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a LearnedRanker reads of candidates, the same in training, evaluation and serving.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "attune/model/count_model.hpp"
#include "attune/model/learned_ranker.hpp"
#include "attune/model/ranker.hpp"

namespace attune::inline v0_1::detail {

class CandidateFeatures {
 public:
  static constexpr std::size_t kNumFeatures = LearnedRanker::kNumFeatures;

  // `events` [items] in training; empty: not known. `counts` may be null. Both in the handles of the candidates.
  // `reads_now`: whether the encoder reads the time of the request.
  CandidateFeatures(std::shared_ptr<const CountModel> counts, std::span<const std::uint64_t> events, bool reads_now);

  // features [candidates, kNumFeatures]. Uses of the workspace what count models do, `sequence` and `additive`.
  void read(std::span<float> features, HistoryView history, Timestamp now, std::span<const Candidate> candidates,
            Workspace& workspace) const;

 private:
  std::span<const float> count_terms(HistoryView history, std::span<const Candidate> candidates,
                                     Workspace& workspace) const;

  std::shared_ptr<const CountModel> counts_;
  std::vector<float> log_events_;  // [items]
  bool reads_now_;
};

}  // namespace attune::inline v0_1::detail
