// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a request risks in order to learn (Request::exploration): places of its list that go to other items than the
// next in order, and with what chance. Which places and items depends on the seed, the user, the number of the request
// and the state of the recommender alone, so that an answer can be had again. docs/events.md is the how-to.

#include <cstddef>
#include <cstdint>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

// How an explored place chooses among the pool. uniform: each item with the same chance. thompson: an item with the
// chance that it earns most rewards per impression, as far as impressions and rewards tell (Thompson sampling with Beta
// priors: Chapelle & Li, NIPS 2011). linucb: the item that may earn most of them, as far as the vectors of items tell
// (LinUCB: Li, Chu, Langford & Schapire, WWW 2010, one regression for all); the first in order for an engine whose
// scorer shows no vectors.
enum class ExplorationMethod : std::uint8_t { uniform, thompson, linucb };

// Numbers out of range are taken as the nearest in range, and NaN as 0.
struct ExplorationOptions {
  // The chance of each place that is not pinned to be explored, in [0, 1]. More learns faster and costs relevance.
  double share = 0.1;
  ExplorationMethod method = ExplorationMethod::thompson;
  std::size_t pool = 50;  // the best so many that are not yet in the list; at least 1
  // Of thompson: an item has Beta(prior_rewards + rewards, prior_misses + impressions - rewards); at least 0.001. Fewer
  // of both let the first events say more.
  double prior_rewards = 1, prior_misses = 1;
  // Of thompson: so many draws are made, 1 to 1,024, and one of them is taken. More give propensities closer to what
  // they are on average, and cost time.
  std::size_t draws = 32;
  // Of linucb: so many standard deviations above what an item is expected to earn. More tries what is less known; at
  // least 0.
  double width = 1;
  // The chance of each such place to go to an item with fewer than `new_item_impressions`, each that the request allows
  // with the same, wherever the engine ranks it and whatever it scores. In [0, 1]; where both do not fit, share is
  // less. Reads the impressions of every item of the catalogue.
  double new_item_quota = 0;
  std::size_t new_item_impressions = 100;
  std::uint64_t seed = 0;
  std::uint64_t request = 0;  // its number: another one, other chances
};

}  // namespace attune::inline v0_1
