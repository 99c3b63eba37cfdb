// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <vector>

#include "attune/detail/dropout.hpp"
#include "attune/training/objective.hpp"
#include "catch.hpp"

using namespace attune;

namespace {

constexpr std::size_t kItems = 9, kDim = 5, kTokens = 7;

struct Problem {
  ScoreKind kind = ScoreKind::cosine;
  ObjectiveConfig objective;
  EmbeddingTable<double> items{kItems, kDim};
  std::vector<double> hidden, weights;
  std::vector<ItemHandle> targets;
  std::vector<std::uint64_t> keys, counts;
};

double random_value(std::uint64_t seed, std::size_t i) {
  return static_cast<double>(detail::mix(seed, i) >> 11) * 0x1p-52 - 1.0;
}

Problem make_problem(LossKind loss, ScoreKind kind) {
  Problem problem;
  problem.kind = kind;
  problem.objective.loss = loss;
  problem.objective.negatives = 4;
  for (std::size_t i = 0; i < kItems * kDim; ++i) problem.items.row(i / kDim)[i % kDim] = random_value(1, i);
  for (std::size_t i = 0; i < kTokens * kDim; ++i) problem.hidden.push_back(random_value(2, i));
  for (std::size_t i = 0; i < kTokens; ++i) {
    problem.targets.push_back(static_cast<ItemHandle>(detail::mix(3, i) % kItems));
    problem.keys.push_back(detail::mix(4, i));
    problem.weights.push_back(1.0 + random_value(5, i));
  }
  problem.targets[3] = kNoHandle;
  for (std::size_t item = 0; item < kItems; ++item) problem.counts.push_back(1 + item * item);
  return problem;
}

struct Result {
  double loss;
  std::vector<double> d_hidden;
  BasicGradientBuffer<double> gradient{0, kItems, kDim};
};

Result solve(const Problem& problem) {
  const NegativeSampler sampler(problem.counts, problem.objective.sampling_power);
  ObjectiveScratch<double> scratch;
  Result result{0, std::vector<double>(problem.hidden.size(), 42.0)};
  result.loss =
      sampled_loss<double>(result.d_hidden, result.gradient, problem.hidden, problem.targets, problem.weights,
                           problem.keys, problem.items, problem.kind, 0.2, problem.objective, sampler, scratch);
  return result;
}

double logit(const Problem& problem, std::size_t token, ItemHandle item) {
  double dot = 0, squares = 0, row_squares = 0;
  for (std::size_t d = 0; d < kDim; ++d) {
    const double h = problem.hidden[token * kDim + d], e = problem.items.row(item)[d];
    dot += h * e;
    squares += h * h;
    row_squares += e * e;
  }
  return problem.kind == ScoreKind::cosine ? dot / std::sqrt(squares * row_squares) / 0.2 : dot;
}

// The loss as its papers write it, with the negatives that the sampler names.
double by_definition(const Problem& problem) {
  const NegativeSampler sampler(problem.counts, problem.objective.sampling_power);
  const double rate = 4.0 / (kItems - 1), t = problem.objective.calibration;
  const double beta = problem.objective.loss == LossKind::gbce ? rate * (t * (1 - 1 / rate) + 1 / rate) : 1.0;
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  double loss = 0;
  for (std::size_t i = 0; i < kTokens; ++i) {
    if (problem.targets[i] == kNoHandle) continue;
    const auto z = [&](ItemHandle item) {
      const double share = problem.objective.log_q ? static_cast<double>(sampler.log_share(item)) : 0.0;
      return logit(problem, i, item) - share;
    };
    const double own = z(problem.targets[i]);
    double sum = std::exp(own), binary = -beta * std::log(sigmoid(own));
    for (std::size_t n = 0; n < problem.objective.negatives; ++n) {
      const ItemHandle item = sampler.draw(detail::mix(problem.keys[i], n), problem.targets[i]);
      if (item == kNoHandle) continue;
      sum += std::exp(z(item));
      binary -= std::log(1 - sigmoid(z(item)));
    }
    loss += problem.weights[i] * (problem.objective.loss == LossKind::sampled_softmax ? std::log(sum) - own : binary);
  }
  return loss;
}

double central_difference(Problem& problem, double& variable) {
  constexpr double kStep = 1e-5;
  const double value = variable;
  variable = value + kStep;
  const double above = solve(problem).loss;
  variable = value - kStep;
  const double below = solve(problem).loss;
  variable = value;
  return (above - below) / (2 * kStep);
}

}  // namespace

TEST_CASE("Sampled losses are what their definitions say, and so are their gradients",
          "[training][sampled_objective]") {
  Problem problem = make_problem(GENERATE(LossKind::sampled_softmax, LossKind::bce, LossKind::gbce),
                                 GENERATE(ScoreKind::cosine, ScoreKind::dot));
  problem.objective.sampling_power = GENERATE(0.0, 0.5);
  problem.objective.log_q = problem.objective.loss == LossKind::sampled_softmax && problem.objective.sampling_power > 0;
  CHECK(solve(problem).loss == Approx(by_definition(problem)).epsilon(1e-10));
  Result result = solve(problem);
  for (std::size_t i = 0; i < problem.hidden.size(); ++i) {
    CHECK(result.d_hidden[i] == Approx(central_difference(problem, problem.hidden[i])).epsilon(1e-6).margin(1e-8));
  }
  for (ItemHandle item = 0; item < kItems; ++item) {
    for (std::size_t d = 0; d < kDim; ++d) {
      const double numeric = central_difference(problem, problem.items.row(item)[d]);
      CHECK(result.gradient.row(item)[d] == Approx(numeric).epsilon(1e-6).margin(1e-8));
    }
  }
}

TEST_CASE("gBCE without calibration is BCE", "[training][sampled_objective]") {
  Problem gbce = make_problem(LossKind::gbce, ScoreKind::dot);
  gbce.objective.calibration = 0;
  CHECK(solve(gbce).loss == Approx(solve(make_problem(LossKind::bce, ScoreKind::dot)).loss).epsilon(1e-12));
}

TEST_CASE("With one item in all there are no negatives, and the softmax loses nothing",
          "[training][sampled_objective]") {
  Problem problem = make_problem(LossKind::sampled_softmax, ScoreKind::cosine);
  problem.counts.assign(kItems, 0);
  problem.counts[2] = 10;
  std::fill(problem.targets.begin(), problem.targets.end(), ItemHandle{2});
  const Result result = solve(problem);
  CHECK(result.loss == Approx(0).margin(1e-12));
  for (const double x : result.d_hidden) CHECK(x == Approx(0).margin(1e-12));
}
