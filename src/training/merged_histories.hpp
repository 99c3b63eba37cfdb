// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histories with more events, for an update of the model that holds them.

#include <cstddef>
#include <vector>

#include "attune/data/interaction_log.hpp"

namespace attune::inline v0_1::detail {

struct MergedHistories {
  Histories histories;       // users and items of before have the same handles
  std::vector<bool> is_new;  // [events]
  std::size_t known_events = 0;
};

// Every event of `log` that `old` does not have takes its place in time, behind those of the same time. Where `old` has
// no times it follows the user's last event, and every event is new. Throws Error: see Updater::update.
MergedHistories merge(const Histories& old, const InteractionLog& log);

}  // namespace attune::inline v0_1::detail
