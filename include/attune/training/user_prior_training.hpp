// SPDX-License-Identifier: Apache-2.0
#pragma once

// Learns how much a profile, first choices, counts and a model count while a user has few events, from users whom the
// model has not seen. The same bits for any number of threads.

#include <array>
#include <cstddef>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/executor.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/model/user_prior.hpp"

namespace attune::inline v0_1 {

// A share of the users, evenly spaced among those with an event: a tenth, but at least 200 and at most 1,000, and never
// more than a fifth. By user.
ATTUNE_EXPORT std::vector<bool> users_to_hold_out(const Histories& histories);
// The same users and items without the events of some users.
ATTUNE_EXPORT Histories without_events_of(const Histories& histories, const std::vector<bool>& users);

struct UserPriorOptions {
  bool exclude_seen = true;      // as the answers will be asked for
  Executor* executor = nullptr;  // null: the calling thread
};

// NDCG@10 of the next event of the users who were held out, with the weights that were learned on them.
struct UserPriorReport {
  struct Step {
    std::size_t queries = 0;
    double popularity = 0, counts = 0, model = 0, sum = 0;  // 0 where a part does not answer
  };
  std::array<Step, UserPrior::kMostEvents + 1> by_events;
  std::size_t users = 0;  // held out, with an event
  double smoothing = 0;   // that was taken
};

// The prior of all users, with weights that are most likely for the next events of those who were held out (a
// conditional logit, McFadden 1974, over at most 1,024 evenly spaced items for each event: McFadden 1978), drawn
// towards what would answer without it; where that has the better NDCG@10, they go only a part of the way. `model` was
// trained on the histories without the events of `held_out`, one of their users for each; row u of the features is of
// user u. Throws Error(invalid_argument) for parts that do not fit together, and where nobody was held out.
ATTUNE_EXPORT UserPrior fit_user_prior(const TrainedModel& model, const Featurizer& featurizer,
                                       const FeatureTable& features, const Histories& histories,
                                       const std::vector<bool>& held_out, const UserPriorOptions& options = {},
                                       UserPriorReport* report = nullptr);

}  // namespace attune::inline v0_1
