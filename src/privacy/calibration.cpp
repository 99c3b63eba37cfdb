// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "privacy/mechanisms.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr double kMostNoise = 1e6;
constexpr double kPrecision = 1e-4;

}  // namespace

namespace detail {

void validate(std::span<const GaussianMechanism> mechanisms, double delta) {
  for (const GaussianMechanism& mechanism : mechanisms) mechanism.validate();
  if (!(delta >= 0 && delta <= 1)) {
    throw Error(ErrorCode::invalid_argument, "delta: expected 0 to 1, found " + std::to_string(delta));
  }
}

}  // namespace detail

// Renyi accounting, which is quick, says where to search.
double calibrate_noise(double epsilon, double delta, double sampling_probability, std::uint64_t steps,
                       std::span<const GaussianMechanism> spent) {
  detail::validate(spent, delta);
  if (!(epsilon > 0)) {
    throw Error(ErrorCode::invalid_argument, "epsilon: expected more than 0, found " + std::to_string(epsilon));
  }
  std::vector<GaussianMechanism> all(spent.begin(), spent.end());
  all.push_back({.sampling_probability = sampling_probability, .noise_multiplier = kMostNoise, .steps = steps});
  all.back().validate();
  double& noise = all.back().noise_multiplier;
  if (const double least = tight_epsilon(all, delta).epsilon; least > epsilon) {
    throw Error(ErrorCode::limit_exceeded, "epsilon: expected at least " + std::to_string(least) +
                                               ", which is spent already, found " + std::to_string(epsilon));
  }
  double low = 0, high = kMostNoise;
  const auto search = [&](auto fits, double precision) {
    while (high - low > precision * high) {
      noise = low == 0 ? high / 2 : std::sqrt(low * high);
      if (low == 0 && noise < 1e-2) return;
      (fits() ? high : low) = noise;
    }
  };
  search([&] { return renyi_epsilon(all, delta).epsilon <= epsilon; }, 0.1);
  low = low == 0 ? 0 : low / 4;
  search([&] { return tight_epsilon(all, delta).epsilon <= epsilon; }, kPrecision);
  return high;
}

}  // namespace attune::inline v0_1
