// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a new policy would have earned, estimated from what another one logged, before it is let loose on users.

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "attune/executor.hpp"

namespace attune::inline v0_1 {

struct LoggedDecision {
  double propensity;          // probability with which it was taken, in (0, 1]
  double reward;              // that followed
  double target_probability;  // with which the new policy takes it, in [0, 1]; 1 or 0 for a policy without chance
};

struct OffPolicyOptions {
  double max_weight = std::numeric_limits<double>::infinity();  // clips weights: less variance for some bias
  std::size_t bootstrap = 1000;  // resamples of decisions for the 95 % intervals; 0: none
  std::uint64_t seed = 1;
  Executor* executor = nullptr;  // null: the calling thread
};

struct OffPolicyReport {
  std::size_t decisions = 0;
  double logged = 0;  // mean reward as it was
  // Weights w = target_probability / propensity. IPS: the mean of w times reward (Horvitz & Thompson, 1952). SNIPS: its
  // sum divided by the sum of w (Swaminathan & Joachims, NIPS 2015): a little biased, far steadier.
  double ips = 0, snips = 0;
  std::array<double, 2> ips_interval{}, snips_interval{};  // 0 and 0 without resamples
  double effective_sample_size = 0;  // (sum of w)^2 / sum of w^2 (Kish, 1965): few decisions speak where it is small
  double mean_weight = 0;            // near 1 where the propensities are right and nothing is clipped
  double largest_weight = 0;
  std::size_t clipped = 0;  // decisions
};

// Throws Error(invalid_argument) for a propensity or probability that is none, a ratio of the two or a reward that is
// not finite, a max_weight that is not above 0, and where the new policy takes none of the decisions.
ATTUNE_EXPORT OffPolicyReport off_policy(std::span<const LoggedDecision> decisions,
                                         const OffPolicyOptions& options = {});

// From a delimited file with the columns propensity, reward and target_probability. Throws Error(invalid_data) naming
// file and line for what off_policy() would not take, and as DelimitedReader does.
ATTUNE_EXPORT std::vector<LoggedDecision> read_logged_decisions(const std::string& file);

}  // namespace attune::inline v0_1
