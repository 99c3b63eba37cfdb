// SPDX-License-Identifier: Apache-2.0

// The distribution of the privacy loss ln(P(x) / Q(x)), x drawn from P, where P and Q are what neighbours publish: on
// a grid, composed by Fourier transforms. Mass between two points of the grid goes to both so that P and Q keep what
// they have of it ("connecting the dots", Doroshenko et al. 2022): the pair on the grid can tell neighbours apart no
// worse than the real one, so that every epsilon is an upper bound, and its error is of second order in the step.

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <numeric>
#include <unsupported/Eigen/FFT>
#include <vector>

#include "privacy/mechanisms.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::kInfinity;

using Spectrum = std::vector<std::complex<double>>;

constexpr double kLeastDelta = 1e-10;  // Fourier transforms in double say nothing about smaller ones
constexpr double kTail = 1e-4;         // of delta: what all that is cut off may come to, which is added
constexpr double kPointsPerDeviation = 64;
constexpr double kMostPoints = 1 << 22;

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

// Mass of the standard normal between a and b; from the side where nothing cancels.
double normal_mass(double a, double b) {
  return a > 0 ? normal_cdf(-a) - normal_cdf(-b) : normal_cdf(b) - normal_cdf(a);
}

// Who has the record that the other lacks.
enum class Direction { removed, added };

// One step of a mechanism: P and Q are normal(0, noise) and (1 - q) normal(0, noise) + q normal(1, noise), which of
// them is which depends on the direction. The loss of removal grows with x, that of addition is its negative.
class Step {
 public:
  Step(const GaussianMechanism& mechanism, Direction direction)
      : q_(mechanism.sampling_probability), noise_(mechanism.noise_multiplier), direction_(direction) {}

  double log_ratio(double x) const {  // of the mixture to the plain normal
    const double exponent = (2 * x - 1) / (2 * noise_ * noise_);
    if (exponent > 600) return std::log(q_) + exponent;
    return std::log1p(q_ * std::expm1(exponent));
  }
  // Where log_ratio is `value`; -infinity where it is larger everywhere.
  double inverse(double value) const {
    const double u = std::expm1(value) / q_;
    if (u <= -1) return -kInfinity;
    return 0.5 + noise_ * noise_ * std::log1p(u);
  }
  double plain_mass(double a, double b) const { return normal_mass(a / noise_, b / noise_); }
  double mixed_mass(double a, double b) const {
    return (1 - q_) * plain_mass(a, b) + q_ * normal_mass((a - 1) / noise_, (b - 1) / noise_);
  }
  double p_mass(double a, double b) const {
    return direction_ == Direction::removed ? mixed_mass(a, b) : plain_mass(a, b);
  }
  double q_mass(double a, double b) const {
    return direction_ == Direction::removed ? plain_mass(a, b) : mixed_mass(a, b);
  }
  double sign() const { return direction_ == Direction::removed ? 1 : -1; }

  // Beyond this in both directions neither P nor Q has more than `tail`.
  std::pair<double, double> range(double tail) const {
    const double reach = noise_ * std::sqrt(-2 * std::log(tail));
    return {-reach, 1 + reach};
  }

 private:
  double q_, noise_;
  Direction direction_;
};

// Masses at losses (first + i) * step; what is at infinity counts in full.
struct LossDistribution {
  std::ptrdiff_t first = 0;
  std::vector<double> mass;
  double infinite = 0;
};

LossDistribution discretized(const Step& mechanism, double step, double tail) {
  const auto [begin, end] = mechanism.range(tail);
  const double sign = mechanism.sign();
  const auto [least, most] = std::minmax({sign * mechanism.log_ratio(begin), sign * mechanism.log_ratio(end)});
  LossDistribution result;
  result.first = static_cast<std::ptrdiff_t>(std::floor(least / step));
  result.mass.resize(static_cast<std::size_t>(std::ceil(most / step) - std::floor(least / step)) + 2, 0.0);
  double previous = sign > 0 ? -kInfinity : kInfinity;
  for (std::size_t i = 0; i + 1 < result.mass.size(); ++i) {
    const double loss = static_cast<double>(result.first + static_cast<std::ptrdiff_t>(i)) * step;
    // Events with a loss of at most loss + step and more than loss, all lower ones for the first.
    const bool last = i + 2 == result.mass.size();
    const double next = last ? sign * kInfinity : mechanism.inverse(sign * (loss + step));
    const double a = std::min(previous, next), b = std::max(previous, next);
    previous = next;
    if (!(a < b)) continue;
    const double p = mechanism.p_mass(a, b);
    if (last) {
      result.infinite += p;
      continue;
    }
    const double q = mechanism.q_mass(a, b);
    const double upper = std::clamp((p - std::exp(loss) * q) / -std::expm1(-step), 0.0, p);
    result.mass[i + 1] += upper;
    result.mass[i] += p - upper;
  }
  return result;
}

double log_moment(const LossDistribution& distribution, double step, double power) {
  const auto last = distribution.first + static_cast<std::ptrdiff_t>(distribution.mass.size()) - 1;
  const double largest = power * step * static_cast<double>(power > 0 ? last : distribution.first);
  double sum = 0;
  for (std::size_t i = 0; i < distribution.mass.size(); ++i) {
    const double loss = step * static_cast<double>(distribution.first + static_cast<std::ptrdiff_t>(i));
    sum += distribution.mass[i] * std::exp(power * loss - largest);
  }
  return largest + std::log(sum);
}

struct Part {
  LossDistribution distribution;
  double steps;
};

// All but `tail` of the sum of the losses lies beyond the bound on the one side (Chernoff).
double bound_of(const std::vector<Part>& parts, double step, double tail, double side) {
  double least = kInfinity;
  for (double power = 1.0 / 64; power <= 256; power *= 2) {
    double moments = -std::log(tail);
    for (const Part& part : parts) moments += part.steps * log_moment(part.distribution, step, side * power);
    if (std::isfinite(moments)) least = std::min(least, moments / power);
  }
  return side * least;
}

// The sum of the losses: first and mass as above. Adding wraps around at the number of points, which is enough for all
// that a sum can be but for the tails.
LossDistribution composed(const std::vector<Part>& parts, double step, double tail) {
  const double low = bound_of(parts, step, tail, -1), high = bound_of(parts, step, tail, 1);
  std::size_t points = 2;
  while (static_cast<double>(points) * step < high - low + 2 * step) points *= 2;
  Eigen::FFT<double> transform;
  transform.SetFlag(Eigen::FFT<double>::HalfSpectrum);
  Spectrum product, spectrum;
  std::vector<double> folded;
  LossDistribution sum;
  const auto wrapped = [points](std::ptrdiff_t index) {
    const auto size = static_cast<std::ptrdiff_t>(points);
    return static_cast<std::size_t>((index % size + size) % size);
  };
  for (const Part& part : parts) {
    folded.assign(points, 0.0);
    for (std::size_t i = 0; i < part.distribution.mass.size(); ++i) {
      folded[wrapped(part.distribution.first + static_cast<std::ptrdiff_t>(i))] += part.distribution.mass[i];
    }
    transform.fwd(spectrum, folded);
    product.resize(spectrum.size(), 1.0);
    for (std::size_t k = 0; k < spectrum.size(); ++k) {
      product[k] *= std::polar(std::pow(std::abs(spectrum[k]), part.steps), part.steps * std::arg(spectrum[k]));
    }
    sum.infinite += part.steps * part.distribution.infinite;
  }
  transform.inv(folded, product, static_cast<Eigen::Index>(points));
  sum.first = static_cast<std::ptrdiff_t>(std::floor(low / step));
  sum.mass.resize(points);
  for (std::size_t i = 0; i < points; ++i) {
    sum.mass[i] = std::max(0.0, folded[wrapped(sum.first + static_cast<std::ptrdiff_t>(i))]);
  }
  sum.infinite += 2 * tail;
  return sum;
}

// The smallest epsilon of at least 0 where the sum of max(0, mass * (1 - exp(epsilon - loss))) is at most delta.
double epsilon_of(const LossDistribution& sum, double step, double delta) {
  if (sum.infinite >= delta) return kInfinity;
  double mass = sum.infinite, discounted = 0;  // of the losses above: their mass, and that times exp(-loss)
  for (std::size_t i = sum.mass.size(); i-- > 0;) {
    const double loss = step * static_cast<double>(sum.first + static_cast<std::ptrdiff_t>(i));
    if (mass - discounted * std::exp(std::max(loss, 0.0)) > delta) {
      return std::max(0.0, std::log((mass - delta) / discounted));
    }
    if (loss <= 0) return 0;
    mass += sum.mass[i];
    discounted += sum.mass[i] * std::exp(-loss);
  }
  return 0;
}

double deviation_of(const GaussianMechanism& mechanism) {
  const double inverse = 1 / (mechanism.noise_multiplier * mechanism.noise_multiplier);
  return mechanism.sampling_probability * std::sqrt(std::expm1(std::min(inverse, 50.0)));
}

// A grid fine enough for the smallest deviation of a loss, and coarse enough for the range of all losses.
double step_for(std::span<const GaussianMechanism> mechanisms, double tail, double loss_bound) {
  double variance = 0, count = 0, widest = loss_bound;
  for (const GaussianMechanism& mechanism : mechanisms) {
    const double deviation = std::min(deviation_of(mechanism), 1.0);
    variance += static_cast<double>(mechanism.steps) * deviation * deviation;
    count += static_cast<double>(mechanism.steps);
    const Step removed(mechanism, Direction::removed);
    widest = std::max(widest, removed.log_ratio(removed.range(tail).second));
  }
  return std::max(std::sqrt(variance / count) / kPointsPerDeviation, 4 * widest / kMostPoints);
}

double composed_epsilon(const std::vector<GaussianMechanism>& mechanisms, double delta, Direction direction,
                        double loss_bound) {
  double count = 0;
  for (const GaussianMechanism& mechanism : mechanisms) count += static_cast<double>(mechanism.steps);
  const double tail = delta * kTail, tail_of_step = tail / count;
  const double step = step_for(mechanisms, tail_of_step, loss_bound);
  std::vector<Part> parts;
  for (const GaussianMechanism& mechanism : mechanisms) {
    parts.push_back(
        {discretized(Step(mechanism, direction), step, tail_of_step), static_cast<double>(mechanism.steps)});
  }
  return epsilon_of(composed(parts, step, tail), step, delta);
}

}  // namespace

namespace detail {

double gaussian_epsilon(double noise_multiplier, double delta) {
  const auto delta_at = [noise_multiplier](double epsilon) {
    const double half = 0.5 / noise_multiplier, shift = epsilon * noise_multiplier;
    // exp(epsilon) times a tail of the normal, from logarithms where the tail would vanish.
    const double tail = normal_cdf(-half - shift);
    return normal_cdf(half - shift) - (tail > 0 ? std::exp(epsilon + std::log(tail)) : 0.0);
  };
  if (delta_at(0) <= delta) return 0;
  double low = 0, high = 1;
  while (delta_at(high) > delta) high *= 2;
  for (int i = 0; i < 100 && low < high; ++i) {
    const double middle = std::midpoint(low, high);
    (delta_at(middle) > delta ? low : high) = middle;
  }
  return high;
}

}  // namespace detail

PrivacyLoss tight_epsilon(std::span<const GaussianMechanism> mechanisms, double delta) {
  const PrivacyLoss renyi = renyi_epsilon(mechanisms, delta);
  if (renyi.epsilon == 0 || !std::isfinite(renyi.epsilon)) return {renyi.epsilon, {}};
  std::vector<GaussianMechanism> sampled;
  double precision = 0;  // of the steps without sampling, which together are one Gaussian mechanism
  for (const GaussianMechanism& mechanism : mechanisms) {
    if (mechanism.sampling_probability == 0 || mechanism.steps == 0) continue;
    if (mechanism.sampling_probability < 1) {
      sampled.push_back(mechanism);
    } else {
      precision += static_cast<double>(mechanism.steps) / std::pow(mechanism.noise_multiplier, 2);
    }
  }
  if (sampled.empty()) return {detail::gaussian_epsilon(1 / std::sqrt(precision), delta), {}};
  if (delta < kLeastDelta) return renyi;
  if (precision > 0) sampled.push_back({.noise_multiplier = 1 / std::sqrt(precision)});
  const double epsilon = std::max(composed_epsilon(sampled, delta, Direction::removed, renyi.epsilon),
                                  composed_epsilon(sampled, delta, Direction::added, renyi.epsilon));
  if (renyi.epsilon < epsilon) return renyi;
  return {epsilon, {}};
}

}  // namespace attune::inline v0_1
