// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which trial goes on, and to which rung: asynchronous successive halving (Li et al. 2020) as a function of results.

#include <cstddef>
#include <span>
#include <vector>

#include "attune/training/tuner.hpp"

namespace attune::inline v0_1::detail {

struct Halving {
  std::vector<std::size_t> rungs;  // epochs, ascending
  std::size_t eta = 3;
  std::size_t trials = 0;  // to be begun in all
};

// All epochs, and each time one in `eta` of them (rounded up) as long as that is at least `first`.
std::vector<std::size_t> rungs_of(std::size_t epochs, std::size_t eta, std::size_t first);

struct Step {
  std::size_t trial;  // place among those begun; their number: a new one
  std::size_t rung;
};

struct Outlook {
  std::vector<Step> steps = {};  // that may be done next, most advanced first
  // Of each trial begun: whether it could still train on, whatever the results to come are.
  std::vector<bool> may_go_on = {};
};

// `begun` holds the trials that have reached a rung, in the order of their numbers. Of n at a rung the best n / eta go
// on; at least one does once no new trial is left.
Outlook outlook_of(std::span<const TrialReport> begun, const Halving& halving);

}  // namespace attune::inline v0_1::detail
