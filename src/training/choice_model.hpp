// SPDX-License-Identifier: Apache-2.0
#pragma once

// Weights of a sum by which choices are most likely: a conditional logit.

#include <cstddef>
#include <span>
#include <vector>

#include "attune/executor.hpp"

namespace attune::inline v0_1::detail {

// One choice: what is known of each alternative, that which was chosen first.
struct Choice {
  std::vector<float> rows;  // [alternatives, parts]
};

struct ChoiceWeights {
  std::vector<double> weights;  // [parts]
  double loss = 0;              // the sum over the choices of -log of the probability, and the pull
};

// Minimises the loss with pull * |weights - start|^2 added, by Newton's method; the pull is above 0. Sums are made in a
// fixed number of slots. Without choices: the start.
ChoiceWeights fit_choices(std::span<const Choice> choices, std::vector<double> start, double pull, Executor& executor);

}  // namespace attune::inline v0_1::detail
