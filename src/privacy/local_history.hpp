// SPDX-License-Identifier: Apache-2.0
#pragma once

// One user's history in the form that training reads.

#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/privacy/federated.hpp"
#include "training/sequences.hpp"

namespace attune::inline v0_1::detail {

// Negatives of the whole catalogue: which items anybody has is nobody's business.
inline NegativeSampler uniform_sampler(std::size_t items) {
  return NegativeSampler(std::vector<std::uint64_t>(items, 1), 0);
}

// Replaces `histories` by the events on items of the plan, without kinds and values, which the objective does not read.
// Returns what a step trains on. Throws Error(invalid_data) where that is nothing, or where times are missing.
std::vector<TrainingSequence> take_history(Histories& histories, HistoryView history, const FederatedPlan& plan);

}  // namespace attune::inline v0_1::detail
