// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "attune/executor.hpp"

namespace attune::inline v0_1::detail {

// weights [N, N]: in, the users that two items have in common (symmetric); out, the weights of EASE. The same bits for
// any number of threads. Throws Error(non_finite) where lambda is lost in rounding.
void ease_weights(std::span<float> weights, std::size_t num_items, double lambda, Executor& executor);

}  // namespace attune::inline v0_1::detail
