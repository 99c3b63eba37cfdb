// SPDX-License-Identifier: Apache-2.0
#pragma once

// What it costs in privacy to publish sums with Gaussian noise, and how much noise a budget needs. Two data sets are
// neighbours where one has a record more; what a record is (an event, or a user's whole history) is up to the caller.
// Every epsilon here is an upper bound at the given delta. Functions of their arguments alone; safe from any thread.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

// A sum of what the records give, each at most 1 in L2, plus normal noise of the given standard deviation in every
// coordinate, published `steps` times. Each step takes every record with the given probability, independently of the
// others (Poisson sampling): what is said here does not hold for shuffled batches.
struct GaussianMechanism {
  double sampling_probability = 1;
  double noise_multiplier = 0;  // standard deviation of the noise, in units of the bound on a record; 0: no privacy
  std::uint64_t steps = 1;

  // Throws Error(invalid_argument) naming the field, what is allowed and what was given.
  ATTUNE_EXPORT void validate() const;
};

struct PrivacyLoss {
  double epsilon = 0;           // infinite where nothing can be promised
  std::optional<double> order;  // of the Renyi divergence that says so; none from the tight accountant
};

// The orders that renyi_epsilon() chooses from: 1.1 to 10.9 by tenths, 11 to 63, 128, 256, 512, 1024.
ATTUNE_EXPORT std::vector<double> renyi_orders();

// Renyi divergence of `order` > 1 between neighbours, all steps together: exact, for fractional orders too (Mironov,
// Talwar & Zhang 2019). Throws Error(invalid_argument).
ATTUNE_EXPORT double renyi_divergence(const GaussianMechanism& mechanism, double order);

// Of all mechanisms together, on the same data (Canonne, Kamath & Steinke 2020, proposition 12). Takes microseconds per
// order, and is up to a few times too large for few steps of rare sampling. Throws Error(invalid_argument).
ATTUNE_EXPORT PrivacyLoss renyi_epsilon(std::span<const GaussianMechanism> mechanisms, double delta,
                                        std::span<const double> orders = {});  // empty: renyi_orders()

// The same from the distribution of the privacy loss itself, composed by Fourier transforms: within about a thousandth
// of the smallest epsilon there is, and never below it but for rounding of 1e-12 in delta (Doroshenko et al. 2022).
// Takes tenths of a second, and up to 300 MB. A delta below 1e-10 is answered by renyi_epsilon(). Throws
// Error(invalid_argument).
ATTUNE_EXPORT PrivacyLoss tight_epsilon(std::span<const GaussianMechanism> mechanisms, double delta);

// The smallest noise multiplier, to a ten-thousandth, with which `steps` steps keep within (epsilon, delta) by the
// tight accountant when `spent` was published as well. Throws Error: invalid_argument; limit_exceeded where no noise is
// enough, naming what is spent already.
ATTUNE_EXPORT double calibrate_noise(double epsilon, double delta, double sampling_probability, std::uint64_t steps,
                                     std::span<const GaussianMechanism> spent = {});

}  // namespace attune::inline v0_1
