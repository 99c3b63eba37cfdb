// SPDX-License-Identifier: Apache-2.0
#include "training/choice_model.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace attune::inline v0_1::detail {
namespace {

struct Derivatives {
  explicit Derivatives(std::size_t parts) : gradient(parts), hessian(parts * parts) {}
  double loss = 0;
  std::vector<double> gradient;
  std::vector<double> hessian;  // [parts, parts], its lower half
};

// Adds those of one choice.
void add(Derivatives& sum, const Choice& choice, std::span<const double> weights, std::vector<double>& shares) {
  const std::size_t parts = weights.size(), alternatives = choice.rows.size() / parts;
  const auto x = [&](std::size_t i, std::size_t part) { return static_cast<double>(choice.rows[i * parts + part]); };
  shares.assign(alternatives, 0);
  for (std::size_t i = 0; i < alternatives; ++i) {
    for (std::size_t part = 0; part < parts; ++part) shares[i] += weights[part] * x(i, part);
  }
  const double largest = *std::ranges::max_element(shares), chosen = shares.front();
  double total = 0;
  for (double& share : shares) total += share = std::exp(share - largest);
  sum.loss += largest + std::log(total) - chosen;
  std::vector<double> mean(parts);
  for (std::size_t i = 0; i < alternatives; ++i) {
    const double share = shares[i] / total;
    for (std::size_t part = 0; part < parts; ++part) {
      mean[part] += share * x(i, part);
      for (std::size_t other = 0; other <= part; ++other) {
        sum.hessian[part * parts + other] += share * x(i, part) * x(i, other);
      }
    }
  }
  for (std::size_t part = 0; part < parts; ++part) {
    sum.gradient[part] += mean[part] - x(0, part);
    for (std::size_t other = 0; other <= part; ++other) sum.hessian[part * parts + other] -= mean[part] * mean[other];
  }
}

Derivatives derivatives_at(std::span<const Choice> choices, std::span<const double> weights,
                           std::span<const double> start, double pull, Executor& executor) {
  constexpr std::size_t kSlots = 16;
  const std::size_t parts = weights.size();
  std::vector<Derivatives> slots(kSlots, Derivatives(parts));
  executor.run(kSlots, [&](std::size_t slot, std::size_t) {
    std::vector<double> shares;
    for (std::size_t i = slot; i < choices.size(); i += kSlots) add(slots[slot], choices[i], weights, shares);
  });
  Derivatives sum(parts);
  for (const Derivatives& slot : slots) {
    sum.loss += slot.loss;
    for (std::size_t i = 0; i < parts; ++i) sum.gradient[i] += slot.gradient[i];
    for (std::size_t i = 0; i < parts * parts; ++i) sum.hessian[i] += slot.hessian[i];
  }
  for (std::size_t part = 0; part < parts; ++part) {
    const double away = weights[part] - start[part];
    sum.loss += pull * away * away;
    sum.gradient[part] += 2 * pull * away;
    sum.hessian[part * parts + part] += 2 * pull;
  }
  return sum;
}

// The x of hessian x = gradient, by Cholesky's decomposition in place. The hessian is positive definite.
std::vector<double> solve(Derivatives at) {
  const std::size_t parts = at.gradient.size();
  std::vector<double>& x = at.gradient;
  const auto l = [&](std::size_t i, std::size_t j) -> double& { return at.hessian[i * parts + j]; };
  for (std::size_t i = 0; i < parts; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      for (std::size_t k = 0; k < j; ++k) l(i, j) -= l(i, k) * l(j, k);
      l(i, j) = i == j ? std::sqrt(l(i, i)) : l(i, j) / l(j, j);
    }
    for (std::size_t k = 0; k < i; ++k) x[i] -= l(i, k) * x[k];
    x[i] /= l(i, i);
  }
  for (std::size_t i = parts; i-- > 0;) {
    for (std::size_t k = i + 1; k < parts; ++k) x[i] -= l(k, i) * x[k];
    x[i] /= l(i, i);
  }
  return std::move(at.gradient);
}

}  // namespace

// A step that does not help is halved.
ChoiceWeights fit_choices(std::span<const Choice> choices, std::vector<double> start, double pull, Executor& executor) {
  constexpr int kSteps = 30, kHalvings = 20;
  constexpr double kEnough = 1e-6;
  ChoiceWeights fitted{start, 0};
  Derivatives here = derivatives_at(choices, fitted.weights, start, pull, executor);
  for (int step = 0; step < kSteps; ++step) {
    const std::vector<double> direction = solve(here);
    std::vector<double> moved = fitted.weights;
    Derivatives next(start.size());
    double share = 1;
    for (int halving = 0; halving < kHalvings; ++halving, share /= 2) {
      for (std::size_t part = 0; part < moved.size(); ++part) {
        moved[part] = fitted.weights[part] - share * direction[part];
      }
      next = derivatives_at(choices, moved, start, pull, executor);
      if (next.loss <= here.loss) break;
    }
    if (!(next.loss <= here.loss)) break;
    const bool enough = here.loss - next.loss < kEnough * here.loss;
    fitted.weights = std::move(moved);
    here = std::move(next);
    if (enough) break;
  }
  fitted.loss = here.loss;
  return fitted;
}

}  // namespace attune::inline v0_1::detail
