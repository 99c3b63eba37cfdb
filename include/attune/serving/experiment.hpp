// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who sees which variant: users are dealt into arms by a hash of their id and the name of the experiment, so that every
// host, today and after a restart, gives a user the same arm without remembering it. A host keeps a Recommender (or a
// Policy, a Ranker, ...) for each arm. Immutable; safe from any number of threads; arm() allocates nothing.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

class ATTUNE_EXPORT Experiment {
 public:
  // Arm i gets the share shares[i] of the users, of their sum. Experiments of different names deal independently. Of
  // two arms, one whose share grows keeps its users. Throws Error(invalid_argument) for no arm, a share that is
  // negative or not finite, and a sum that is 0.
  Experiment(std::string_view name, std::span<const double> shares);

  std::size_t arms() const noexcept { return bounds_.size(); }
  // For an empty id, arm 0. The integer 7 and the text "7" are two users.
  std::size_t arm(const Id& user) const noexcept;

 private:
  std::uint64_t seed_;
  std::vector<double> bounds_;  // [arms], the end of each arm in [0, 1]
};

}  // namespace attune::inline v0_1
