// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a LearnedRanker reads of a candidate, the same in training, evaluation and serving.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "attune/model/count_model.hpp"
#include "attune/model/learned_ranker.hpp"

namespace attune::inline v0_1::detail {

class CandidateFeatures {
 public:
  static constexpr std::size_t kNumFeatures = LearnedRanker::kNumFeatures;

  // `events` [items] in training; empty: not known. `counts` may be null. Both in the handles of the candidates.
  // `reads_now`: whether the encoder reads the time of the request.
  CandidateFeatures(std::shared_ptr<const CountModel> counts, std::span<const std::uint64_t> events, bool reads_now);

  // What the candidates of one request have in common. Its views end with the history and with the next use of the
  // workspace.
  struct Request {
    HistoryView history;  // the part that is told of
    Timestamp now = kNoTime;
    std::span<const float> counted;             // [items of the counts]
    std::array<std::uint64_t, 64> may_be_seen;  // by hash: most candidates are not in the history
  };
  // `seen`: whether candidates may be in the history. Where they may not, evaluation still has a target among them,
  // which what the history says of it would give away: nothing is said of any.
  Request read(HistoryView history, Timestamp now, bool seen, Workspace& workspace) const;
  void fill(std::span<float, kNumFeatures> features, const Request& request, ItemHandle item, float score) const;

 private:
  std::shared_ptr<const CountModel> counts_;
  std::vector<float> log_events_;  // [items]
  bool reads_now_;
};

}  // namespace attune::inline v0_1::detail
