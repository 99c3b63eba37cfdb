// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <span>

#include "attune/privacy/accountant.hpp"

namespace attune::inline v0_1::detail {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Throws Error(invalid_argument) where a mechanism is not valid or delta is not within 0 and 1.
void validate(std::span<const GaussianMechanism> mechanisms, double delta);

// The smallest epsilon at which one Gaussian mechanism keeps delta, to rounding (Balle & Wang 2018, theorem 8).
double gaussian_epsilon(double noise_multiplier, double delta);

}  // namespace attune::inline v0_1::detail
