// SPDX-License-Identifier: Apache-2.0

// Renyi divergences of the Poisson-subsampled Gaussian. With u(x) = q (exp((2 x - 1) / (2 s^2)) - 1) the divergence of
// order a is ln E[(1 + u)^a] / (a - 1) over x normal with deviation s. E[u] is 0: what is summed here is the
// expectation of (1 + u)^a - 1 - a u, which is positive everywhere, so that nothing cancels however small it is.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "attune/privacy/accountant.hpp"
#include "privacy/mechanisms.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::kInfinity;

// Logarithm of a sum of exponentials.
class LogSum {
 public:
  void add(double logarithm) {
    if (logarithm == -kInfinity) return;
    if (logarithm > largest_) {
      sum_ *= std::exp(largest_ - logarithm);
      largest_ = logarithm;
    }
    sum_ += std::exp(logarithm - largest_);
  }
  double value() const { return sum_ == 0 ? -kInfinity : largest_ + std::log(sum_); }

 private:
  double largest_ = -kInfinity, sum_ = 0;
};

// ln(exp(x) - 1) for x > 0.
double log_expm1(double x) { return x > 30 ? x + std::log1p(-std::exp(-x)) : std::log(std::expm1(x)); }

// ln(E[(1 + u)^order] - 1) by the binomial theorem; the terms of 0 and 1 have no part in it.
double log_excess_integer(double order, double q, double noise) {
  LogSum sum;
  for (double i = 2; i <= order; ++i) {
    const double log_binomial = std::lgamma(order + 1) - std::lgamma(i + 1) - std::lgamma(order - i + 1);
    const double log_share = i * std::log(q) + (order - i) * std::log1p(-q);
    sum.add(log_binomial + log_share + log_expm1((i * i - i) / (2 * noise * noise)));
  }
  return sum.value();
}

// ln((1 + u)^order - 1 - order * u).
double log_remainder(double u, double order) {
  if (std::abs(u) * order < 1e-4) {  // its series: the difference would cancel
    const double third = (order - 2) * u / 3, fourth = third * (order - 3) * u / 4;
    return std::log(order * (order - 1) / 2 * u * u) + std::log1p(third + fourth);
  }
  const double power = order * std::log1p(u);
  if (power > 30) return power + std::log1p(-(1 + order * u) * std::exp(-power));
  return std::log(std::expm1(power) - order * u);
}

// The same by the trapezoidal rule, which converges exponentially in the inverse of its step.
double log_excess_fractional(double order, double q, double noise) {
  const double step = std::min(noise, noise * noise) / 4;
  const double begin = -13 * noise, end = order + 13 * noise;
  LogSum sum;
  for (double x = begin; x <= end; x += step) {
    const double exponent = (2 * x - 1) / (2 * noise * noise);
    const double log_density = -x * x / (2 * noise * noise);
    // Where exp(exponent) overflows, 1 and u are nothing beside it.
    const double term =
        exponent > 600 ? order * (std::log(q) + exponent) : log_remainder(q * std::expm1(exponent), order);
    sum.add(log_density + term);
  }
  return sum.value() + std::log(step / (noise * std::sqrt(2 * std::numbers::pi)));
}

double divergence_of_step(const GaussianMechanism& mechanism, double order) {
  const double q = mechanism.sampling_probability, noise = mechanism.noise_multiplier;
  if (q == 0) return 0;
  if (noise == 0) return kInfinity;
  if (q == 1) return order / (2 * noise * noise);
  const double log_excess =
      order == std::floor(order) ? log_excess_integer(order, q, noise) : log_excess_fractional(order, q, noise);
  const double log_moment =
      log_excess > 30 ? log_excess + std::log1p(std::exp(-log_excess)) : std::log1p(std::exp(log_excess));
  return log_moment / (order - 1);
}

double epsilon_of(double divergence, double order, double delta) {
  if (divergence == 0) return 0;
  if (delta == 0) return kInfinity;
  // The divergence bounds that of order 1, and this the total variation (Bretagnolle & Huber 1979).
  if (delta * delta > -std::expm1(-divergence)) return 0;
  return std::max(0.0, divergence + std::log1p(-1 / order) - std::log(delta * order) / (order - 1));
}

}  // namespace

void GaussianMechanism::validate() const {
  const auto require = [](bool holds, const char* field, const char* allowed, double found) {
    if (holds) return;
    throw Error(ErrorCode::invalid_argument,
                std::string(field) + ": expected " + allowed + ", found " + std::to_string(found));
  };
  require(sampling_probability >= 0 && sampling_probability <= 1, "sampling_probability", "0 to 1",
          sampling_probability);
  require(noise_multiplier >= 0, "noise_multiplier", "at least 0", noise_multiplier);
}

std::vector<double> renyi_orders() {
  std::vector<double> orders;
  for (int tenths = 11; tenths < 110; ++tenths) orders.push_back(tenths / 10.0);
  for (int order = 11; order < 64; ++order) orders.push_back(order);
  for (const double order : {128.0, 256.0, 512.0, 1024.0}) orders.push_back(order);
  return orders;
}

double renyi_divergence(const GaussianMechanism& mechanism, double order) {
  mechanism.validate();
  if (!(order > 1) || !std::isfinite(order)) {
    throw Error(ErrorCode::invalid_argument, "order: expected a number above 1, found " + std::to_string(order));
  }
  if (mechanism.steps == 0) return 0;
  return static_cast<double>(mechanism.steps) * divergence_of_step(mechanism, order);
}

PrivacyLoss renyi_epsilon(std::span<const GaussianMechanism> mechanisms, double delta, std::span<const double> orders) {
  detail::validate(mechanisms, delta);
  const std::vector<double> usual = orders.empty() ? renyi_orders() : std::vector<double>();
  PrivacyLoss least{.epsilon = kInfinity, .order = {}};
  for (const double order : orders.empty() ? std::span<const double>(usual) : orders) {
    double divergence = 0;
    for (const GaussianMechanism& mechanism : mechanisms) divergence += renyi_divergence(mechanism, order);
    const double epsilon = epsilon_of(divergence, order, delta);
    if (!least.order || epsilon < least.epsilon) least = {epsilon, order};
  }
  return least;
}

}  // namespace attune::inline v0_1
