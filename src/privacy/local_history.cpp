// SPDX-License-Identifier: Apache-2.0
#include "privacy/local_history.hpp"

#include <string>

#include "attune/error.hpp"
#include "training/learner.hpp"

namespace attune::inline v0_1::detail {

std::vector<TrainingSequence> take_history(Histories& histories, HistoryView history, const FederatedPlan& plan) {
  histories.items.clear();
  histories.times.clear();
  for (std::size_t i = 0; i < history.size(); ++i) {
    if (history.items[i] >= plan.num_items) continue;
    histories.items.push_back(history.items[i]);
    if (!history.times.empty()) histories.times.push_back(history.times[i]);
  }
  histories.offsets = {0, histories.items.size()};
  auto sequences = training_sequences(histories, targets_window(plan.encoder));
  if (sequences.empty()) {
    throw Error(ErrorCode::invalid_data, "a user's history: expected two events on items of the plan, found " +
                                             std::to_string(histories.num_events()));
  }
  if (plan.encoder.time_buckets > 0 && histories.times.empty()) {
    throw Error(ErrorCode::invalid_data, "a user's history: expected times, as the encoder reads them, found none");
  }
  return sequences;
}

}  // namespace attune::inline v0_1::detail
