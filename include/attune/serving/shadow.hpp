// SPDX-License-Identifier: Apache-2.0
#pragma once

// A candidate model beside the one that serves, on live traffic: before an event is recorded, both say what they would
// have shown the user, and the event tells which was right (Recommender::shadow). Nobody is shown the candidate's
// answers.

#include <array>
#include <cstddef>
#include <cstdint>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

struct ShadowOptions {
  // Of the users, dealt by their ids (Experiment "shadow"), in (0, 1]. An event of theirs costs two requests more, that
  // of the candidate with a full encode.
  double share = 0.01;
  std::size_t k = 10;  // length of the lists that are compared
  // Lists without the items of the history; then events on such items measure nothing, and are left out.
  bool exclude_seen = true;
};

struct ShadowReport {
  std::size_t events = 0;  // measured; an event later than others of its user, or of an unknown user, is not
  // Of the lists before the events, whether they held the item (hr@k) and where (ndcg@k): means.
  double hit_rate = 0, candidate_hit_rate = 0;
  double ndcg = 0, candidate_ndcg = 0;
  // candidate_ndcg - ndcg, between these with 95 % by the normal approximation, events taken as independent.
  std::array<double, 2> ndcg_gain{};
  double overlap = 0;        // of the two lists, relative to k: mean
  std::size_t failures = 0;  // events on which a damaged vector or a ranker that threw kept either from its answer
};

}  // namespace attune::inline v0_1
