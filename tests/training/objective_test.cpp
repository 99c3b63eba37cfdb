// SPDX-License-Identifier: Apache-2.0
#include "attune/training/objective.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "catch.hpp"

namespace attune {
namespace {

// Uniform in [-1, 1], from a counter.
template <class T>
std::vector<T> random_vector(std::size_t n, std::uint64_t seed) {
  std::vector<T> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = static_cast<T>(static_cast<double>(detail::mix(seed, i) >> 11) * 0x1p-52 - 1.0);
  }
  return x;
}

template <class T>
struct Problem {
  std::size_t dim;
  ScoreKind kind;
  double temperature;
  EmbeddingTable<T> items;
  std::vector<T> hidden;
  std::vector<ItemHandle> targets;
  std::vector<T> weights;
  double smoothing = 0;
  std::vector<ItemHandle> set;  // of the table's rows; empty: all
  std::vector<float> bias;      // of the logits of items, with a set
  bool rounded = false;
  std::size_t num_soft = 0;  // soft targets of each position
  std::vector<ItemHandle> soft_items;
  std::vector<T> soft_shares;

  std::size_t tokens() const { return targets.size(); }
};

struct Shape {
  std::size_t tokens, rows, dim;
};

template <class T>
Problem<T> make_problem(ScoreKind kind, Shape shape, double temperature = 0.2) {
  Problem<T> problem{shape.dim, kind, temperature, {shape.rows, shape.dim}, {}, {}, {}, 0, {}, {}, false, 0, {}, {}};
  for (std::size_t r = 0; r < shape.rows; ++r) {
    const auto row = random_vector<T>(shape.dim, 100 + r);
    std::copy(row.begin(), row.end(), problem.items.row(r).begin());
  }
  problem.hidden = random_vector<T>(shape.tokens * shape.dim, 7);
  for (std::size_t i = 0; i < shape.tokens; ++i) {
    problem.targets.push_back(static_cast<ItemHandle>(detail::mix(9, i) % shape.rows));
  }
  return problem;
}

template <class T>
struct Result {
  double loss;
  std::vector<T> d_hidden;
  BasicGradientBuffer<T> gradient;

  std::vector<T> d_items(std::size_t rows, std::size_t dim) {
    std::vector<T> all;
    for (std::size_t r = 0; r < rows; ++r) {
      const auto row = gradient.row(static_cast<ItemHandle>(r));
      all.insert(all.end(), row.begin(), row.end());
    }
    REQUIRE(all.size() == rows * dim);
    return all;
  }
};

template <class T>
Result<T> solve(const Problem<T>& problem) {
  OutputTable<T> table;
  if (problem.set.empty()) {
    table.assign(problem.items, problem.kind, problem.temperature, problem.rounded);
  } else {
    table.assign_set(problem.items, problem.kind, problem.temperature, problem.set, problem.bias, problem.rounded);
  }
  ObjectiveScratch<T> scratch;
  OutputGradient<T> outputs;
  Result<T> result{0, std::vector<T>(problem.hidden.size(), T(42)), {0, problem.items.rows(), problem.dim}};
  result.loss = softmax_cross_entropy<T>(result.d_hidden, outputs, result.gradient, problem.hidden, problem.targets,
                                         problem.weights, table, problem.smoothing, scratch,
                                         {problem.num_soft, problem.soft_items, problem.soft_shares});
  softmax_cross_entropy_fold<T>(result.gradient, table, outputs);
  for (const auto* cleared : {&outputs.rows, &outputs.common}) {
    REQUIRE(std::all_of(cleared->begin(), cleared->end(), [](T x) { return x == T(0); }));
  }
  return result;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return size == 0 ? std::sqrt(difference) : std::sqrt(difference / size);
}

double central_difference(Problem<double>& problem, double& parameter) {
  constexpr double kStep = 1e-5;
  const double value = parameter;
  parameter = value + kStep;
  const double above = solve(problem).loss;
  parameter = value - kStep;
  const double below = solve(problem).loss;
  parameter = value;
  return (above - below) / (2 * kStep);
}

void check_gradients(Problem<double>&& problem) {
  auto result = solve(problem);
  const std::size_t rows = problem.items.rows();
  std::vector<double> d_hidden, d_items;
  for (double& x : problem.hidden) d_hidden.push_back(central_difference(problem, x));
  for (std::size_t r = 0; r < rows; ++r) {
    for (double& x : problem.items.row(r)) d_items.push_back(central_difference(problem, x));
  }
  CHECK(distance(result.d_hidden, d_hidden) <= 1e-6);
  CHECK(distance(result.d_items(rows, problem.dim), d_items) <= 1e-6);
}

// Two soft targets for each position, 0.5 and 0.25 of its target's probability; the last position has only one.
void soften(Problem<double>& problem) {
  problem.num_soft = 2;
  for (std::size_t i = 0; i < problem.tokens(); ++i) {
    for (const std::size_t k : {0u, 1u}) {
      problem.soft_items.push_back(static_cast<ItemHandle>(detail::mix(31 + k, i) % problem.items.rows()));
      problem.soft_shares.push_back(0.5 / static_cast<double>(k + 1));
    }
  }
  problem.soft_items.back() = kNoHandle;
}

double softmax_loss_by_definition(const Problem<double>& problem) {
  double loss = 0;
  const auto norm = [](std::span<const double> x) {
    double sum = 0;
    for (const double v : x) sum += v * v;
    return std::sqrt(sum);
  };
  for (std::size_t i = 0; i < problem.tokens(); ++i) {
    if (problem.targets[i] == kNoHandle) continue;
    const std::span<const double> hidden{problem.hidden.data() + i * problem.dim, problem.dim};
    std::vector<double> logits;
    double sum = 0, mean = 0;
    for (std::size_t r = 0; r < problem.items.rows(); ++r) {
      const auto row = problem.items.row(r);
      double dot = 0;
      for (std::size_t d = 0; d < problem.dim; ++d) dot += hidden[d] * row[d];
      if (problem.kind == ScoreKind::cosine) dot /= norm(hidden) * norm(row) * problem.temperature;
      if (!problem.bias.empty()) dot += static_cast<double>(problem.bias[r]);
      logits.push_back(dot);
      mean += dot / static_cast<double>(problem.items.rows());
      const auto& set = problem.set;
      const bool counts = set.empty() || r == problem.targets[i] || std::find(set.begin(), set.end(), r) != set.end();
      if (counts) sum += std::exp(dot);
    }
    const double weight = problem.weights.empty() ? 1.0 : problem.weights[i];
    double left = 1, expected = 0;
    for (std::size_t k = i * problem.num_soft; k < (i + 1) * problem.num_soft; ++k) {
      if (problem.soft_items[k] == kNoHandle) continue;
      expected += problem.soft_shares[k] * logits[problem.soft_items[k]];
      left -= problem.soft_shares[k];
    }
    expected += left * ((1 - problem.smoothing) * logits[problem.targets[i]] + problem.smoothing * mean);
    loss += weight * (std::log(sum) - expected);
  }
  return loss;
}

}  // namespace

TEST_CASE("The loss is the cross-entropy of the softmax as its definition says", "[training][objective]") {
  for (const ScoreKind kind : {ScoreKind::cosine, ScoreKind::dot}) {
    auto problem = make_problem<double>(kind, {37, 11, 6});
    CHECK(solve(problem).loss == Approx(softmax_loss_by_definition(problem)).epsilon(1e-12));
    problem.weights = random_vector<double>(37, 3);
    problem.targets[4] = problem.targets[36] = kNoHandle;
    CHECK(solve(problem).loss == Approx(softmax_loss_by_definition(problem)).epsilon(1e-12));
  }
}

TEST_CASE("Label smoothing spreads the target over the catalogue", "[training][objective]") {
  const ScoreKind kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  auto problem = make_problem<double>(kind, {9, 13, 6});
  problem.smoothing = 0.3;
  problem.weights = random_vector<double>(9, 3);
  problem.targets[2] = kNoHandle;
  CHECK(solve(problem).loss == Approx(softmax_loss_by_definition(problem)).epsilon(1e-12));
  check_gradients(std::move(problem));
}

TEST_CASE("Soft targets take their shares of the target's probability", "[training][objective]") {
  const ScoreKind kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  auto problem = make_problem<double>(kind, {150, 7, 4});  // more positions than one block
  problem.weights = random_vector<double>(150, 3);
  problem.targets[2] = problem.targets[140] = kNoHandle;
  soften(problem);
  SECTION("alone") {}
  SECTION("with smoothing of what they leave") { problem.smoothing = 0.3; }
  CHECK(solve(problem).loss == Approx(softmax_loss_by_definition(problem)).epsilon(1e-12));
  check_gradients(std::move(problem));
}

TEST_CASE("A target that is its own soft target is a target", "[training][objective]") {
  auto problem = make_problem<double>(ScoreKind::cosine, {9, 13, 6});
  const double loss = solve(problem).loss;
  problem.num_soft = 1;
  problem.soft_items = problem.targets;
  problem.soft_shares.assign(9, 1.0);
  CHECK(solve(problem).loss == Approx(loss).epsilon(1e-12));
  check_gradients(std::move(problem));
}

TEST_CASE("A set of items and the target share the softmax, the target once", "[training][objective]") {
  const ScoreKind kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  auto problem = make_problem<double>(kind, {140, 13, 6});
  problem.set = {1, 4, 5, 11};
  SECTION("plain") {}
  SECTION("with a bias of logits") {
    for (std::size_t item = 0; item < 13; ++item) problem.bias.push_back(0.25f * static_cast<float>(item));
  }
  CHECK(solve(problem).loss == Approx(softmax_loss_by_definition(problem)).epsilon(1e-12));
  check_gradients(std::move(problem));
}

TEST_CASE("A table of one set after another forgets the first", "[training][objective]") {
  const auto problem = make_problem<double>(ScoreKind::cosine, {1, 9, 4});
  OutputTable<double> table;
  const ItemHandle first[] = {0, 3}, second[] = {3, 8};
  table.assign_set(problem.items, problem.kind, 0.1, first, {});
  table.assign_set(problem.items, problem.kind, 0.1, second, {});
  CHECK(table.row_of(0) == kNoHandle);
  CHECK(table.row_of(3) == 0);
  CHECK(table.row_of(8) == 1);
  table.assign(problem.items, problem.kind, 0.1);
  CHECK(table.rows() == 9);
  CHECK(table.row_of(0) == 0);
}

TEST_CASE("Gradients of the loss equal central differences", "[training][objective]") {
  const ScoreKind kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  SECTION("every position has a target") { check_gradients(make_problem<double>(kind, {9, 13, 6})); }
  SECTION("one item") {
    const auto problem = make_problem<double>(kind, {5, 1, 4});
    auto result = solve(problem);
    CHECK(result.loss == Approx(0).margin(1e-12));
    for (const double x : result.d_hidden) CHECK(x == Approx(0).margin(1e-12));
    for (const double x : result.d_items(1, 4)) CHECK(x == Approx(0).margin(1e-12));
  }
  SECTION("a target mask and weights") {
    auto problem = make_problem<double>(kind, {9, 13, 6});
    problem.weights = random_vector<double>(9, 5);
    problem.targets[0] = problem.targets[5] = kNoHandle;
    const auto result = solve(problem);
    for (std::size_t d = 0; d < 6; ++d) CHECK(result.d_hidden[5 * 6 + d] == 0.0);
    check_gradients(std::move(problem));
  }
  SECTION("more positions than one block") { check_gradients(make_problem<double>(kind, {150, 3, 2})); }
}

TEST_CASE("A zero row has logit 0 under cosine and passes no gradient", "[training][objective]") {
  auto problem = make_problem<double>(ScoreKind::cosine, {4, 3, 5});
  std::fill(problem.items.row(1).begin(), problem.items.row(1).end(), 0.0);
  std::fill_n(problem.hidden.begin() + 5, 5, 0.0);
  auto result = solve(problem);
  CHECK(std::isfinite(result.loss));
  for (const double x : result.gradient.row(1)) CHECK(x == 0.0);
  for (std::size_t d = 0; d < 5; ++d) CHECK(result.d_hidden[5 + d] == 0.0);

  problem.targets = {kNoHandle, 0, kNoHandle, kNoHandle};
  CHECK(solve(problem).loss == Approx(std::log(3.0)));
}

TEST_CASE("A batch without targets has loss 0 and zero gradients", "[training][objective]") {
  auto problem = make_problem<float>(ScoreKind::cosine, {6, 4, 8});
  std::fill(problem.targets.begin(), problem.targets.end(), kNoHandle);
  auto result = solve(problem);
  CHECK(result.loss == 0.0);
  for (const float x : result.d_hidden) CHECK(x == 0.0f);
  for (const float x : result.d_items(4, 8)) CHECK(x == 0.0f);
}

TEST_CASE("Single precision agrees with double precision", "[training][objective]") {
  const ScoreKind kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const Shape shape{300, 517, 24};
  auto narrow = solve(make_problem<float>(kind, shape, 0.05));
  auto wide = solve(make_problem<double>(kind, shape, 0.05));
  CHECK(narrow.loss == Approx(wide.loss).epsilon(1e-6));
  const auto items = narrow.d_items(shape.rows, shape.dim);
  CHECK(distance({narrow.d_hidden.begin(), narrow.d_hidden.end()}, wide.d_hidden) < 1e-5);
  CHECK(distance({items.begin(), items.end()}, wide.d_items(shape.rows, shape.dim)) < 1e-5);
}

TEST_CASE("A low temperature does not underflow", "[training][objective]") {
  const Shape shape{40, 30, 16};
  const auto narrow = solve(make_problem<float>(ScoreKind::cosine, shape, 0.004));
  const auto wide = solve(make_problem<double>(ScoreKind::cosine, shape, 0.004));
  CHECK(narrow.loss == Approx(wide.loss).epsilon(1e-4));
  CHECK(distance({narrow.d_hidden.begin(), narrow.d_hidden.end()}, wide.d_hidden) < 1e-3);
}

TEST_CASE("Huge logits neither overflow nor lose the loss", "[training][objective]") {
  auto problem = make_problem<float>(ScoreKind::dot, {3, 4, 4});
  problem.rounded = GENERATE(false, true);
  for (float& x : problem.hidden) x *= 1e4f;
  const auto result = solve(problem);
  for (const float x : result.d_hidden) CHECK(std::isfinite(x));
  auto exact = make_problem<double>(ScoreKind::dot, {3, 4, 4});
  for (std::size_t i = 0; i < exact.hidden.size(); ++i) exact.hidden[i] = static_cast<double>(problem.hidden[i]);
  CHECK(result.loss == Approx(solve(exact).loss).epsilon(1e-4));
}

TEST_CASE("Rounding leaves a certain answer certain", "[training][objective]") {
  auto problem = make_problem<float>(ScoreKind::dot, {2, 1, 8});
  problem.rounded = true;
  const float size = GENERATE(1e1f, 1e3f, 1e6f);
  std::ranges::copy(problem.items.row(0), problem.hidden.begin());
  for (float& x : problem.hidden) x *= size;
  const auto result = solve(problem);
  CHECK(result.loss == Approx(0).margin(0.2));  // one item: the softmax has nothing to choose
  for (const float x : result.d_hidden) CHECK(std::abs(x) <= 0.2f);
}

TEST_CASE("A vector too short to have a direction passes no gradient under cosine", "[training][objective]") {
  auto problem = make_problem<float>(ScoreKind::cosine, {3, 4, 4});
  std::ranges::fill(problem.items.row(2), 1e-42f);
  std::fill_n(problem.hidden.begin(), 4, 1e-42f);
  const auto result = solve(problem);
  CHECK(std::isfinite(result.loss));
  for (const float x : result.d_hidden) CHECK(std::isfinite(x));
  CHECK(std::all_of(result.d_hidden.begin(), result.d_hidden.begin() + 4, [](float x) { return x == 0.0f; }));
}

TEST_CASE("A vector that is not a number makes the loss not a number", "[training][objective]") {
  auto problem = make_problem<float>(ScoreKind::cosine, {3, 4, 4});
  problem.hidden[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK(!std::isfinite(solve(problem).loss));
}

}  // namespace attune
