// SPDX-License-Identifier: Apache-2.0
#include "attune/model/ease_model.hpp"

#include <Eigen/LU>
#include <cmath>

#include "attune/error.hpp"
#include "attune/executor.hpp"
#include "catch.hpp"
#include "errors.hpp"
#include "model/count_data.hpp"

using namespace attune;
using namespace attune::test;

namespace {

// The closed form of the paper, with a general inverse.
Eigen::MatrixXd closed_form(const Users& users, std::size_t num_items, double lambda) {
  const auto rows = matrix_of(users, num_items);
  const auto size = static_cast<Eigen::Index>(num_items);
  Eigen::MatrixXd x(static_cast<Eigen::Index>(rows.size()), size);
  for (Eigen::Index u = 0; u < x.rows(); ++u) {
    for (Eigen::Index i = 0; i < size; ++i) x(u, i) = rows[static_cast<std::size_t>(u)][static_cast<std::size_t>(i)];
  }
  const Eigen::MatrixXd inverse = (x.transpose() * x + lambda * Eigen::MatrixXd::Identity(size, size)).inverse();
  Eigen::MatrixXd weights = inverse.array().rowwise() / -inverse.diagonal().transpose().array();
  weights.diagonal().setZero();
  return weights;
}

double weight(const Eigen::MatrixXd& weights, std::size_t x, std::size_t y) {
  return weights(static_cast<Eigen::Index>(x), static_cast<Eigen::Index>(y));
}

}  // namespace

TEST_CASE("Weights and scores are those of the closed form", "[model][ease_model]") {
  // More items than one block of columns that the solver takes at a time.
  const std::size_t num_items = GENERATE(std::size_t{30}, std::size_t{128}, std::size_t{150});
  const Users users = random_users(100, num_items - 2, 1);
  const auto model = EaseModel::fit(histories_of(num_items, users), {.lambda = 4, .decay = 0.7});
  const auto expected = closed_form(users, num_items, 4);
  for (std::size_t x = 0; x < num_items; ++x) {
    for (std::size_t y = 0; y < num_items; ++y) {
      REQUIRE(model.weights()[x * num_items + y] == Approx(weight(expected, x, y)).epsilon(1e-4).margin(1e-6));
    }
  }
  for (const auto& history : random_users(20, num_items + 5, 2)) {
    const auto known = newest_known(history, users);
    const auto scores = scores_of(model, history);
    for (std::size_t y = 0; y < num_items; ++y) {
      double score = 0;
      for (std::size_t k = 0; k < known.size(); ++k) score += std::pow(0.7, k) * weight(expected, known[k], y);
      REQUIRE(scores[y] == Approx(score).margin(3e-4));
    }
  }
}

TEST_CASE("Items that exclude each other have negative weights", "[model][ease_model]") {
  const auto model = EaseModel::fit(histories_of(3, {{0, 1}, {0, 1}, {0, 2}, {0, 2}}), {.lambda = 1});
  CHECK(scores_of(model, {1})[2] < 0);
  CHECK(scores_of(model, {1})[0] > 0);
  CHECK(scores_of(model, {1})[1] == 0);
}

TEST_CASE("Unknown items use up none of the places of a history for EASE", "[model][ease_model]") {
  const auto model = EaseModel::fit(histories_of(5, {{0, 1}, {2, 1, 0}, {4}}));
  CHECK(model.knows(0));
  CHECK(!model.knows(3));  // nobody has it
  CHECK(!model.knows(4));  // nobody has another one beside it
  CHECK(!model.knows(99));
  CHECK(scores_of(model, {2, 0, 3, 99, kNoHandle, 4}) == scores_of(model, {2, 0}));
}

TEST_CASE("Nobody, one item, one user and equal users have finite EASE weights", "[model][ease_model]") {
  CHECK(scores_of(EaseModel(), {0}).empty());
  CHECK(scores_of(EaseModel::fit(histories_of(0, {})), {0}).empty());
  CHECK(scores_of(EaseModel::fit(histories_of(2, {})), {0}) == std::vector<float>{0, 0});
  CHECK(scores_of(EaseModel::fit(histories_of(1, {{0}, {0}})), {0}) == std::vector<float>{0});
  const auto model = EaseModel::fit(histories_of(3, {{0, 1, 2}, {0, 1, 2}}), {.lambda = 1e-3});
  for (const float w : model.weights()) CHECK(std::isfinite(w));
  CHECK(scores_of(model, {0})[1] > 0);
}

TEST_CASE("EASE weights do not depend on the number of threads", "[model][ease_model]") {
  const auto histories = histories_of(300, random_users(200, 300, 3));
  const auto alone = EaseModel::fit(histories);
  ThreadPool three(3);
  const auto together = EaseModel::fit(histories, {}, &three);
  CHECK(std::ranges::equal(alone.weights(), together.weights()));
}

TEST_CASE("A catalogue that is too large for EASE is refused with the limit and the memory", "[model][ease_model]") {
  CHECK(code_of(
            [] {
              EaseModel::fit(histories_of(10'001, {{0, 1}}));
            },
            "at most ease.max_items = 10000 items, found 10001, which would take 2 GB") == ErrorCode::limit_exceeded);
  CHECK(code_of(
            [] {
              EaseModel::fit(histories_of(3, {{0, 1}}), {.max_items = 2});
            },
            "ease.max_items = 2") == ErrorCode::limit_exceeded);
  CHECK_NOTHROW(EaseModel::fit(histories_of(3, {{0, 1}}), {.max_items = 3}));
}

TEST_CASE("EASE weights that are no square or not finite are refused", "[model][ease_model]") {
  CHECK_NOTHROW(EaseModel(2, {0, 1, 1, 0}, {}));
  CHECK(code_of([] { EaseModel(2, {0, 1, 1}, {}); }, "one weight for each pair") == ErrorCode::corrupt_file);
  CHECK(code_of([] { EaseModel(2, {0, 1, NAN, 0}, {}); }, "not finite") == ErrorCode::corrupt_file);
}

TEST_CASE("A blend adds ten times the score of EASE, whatever its sign", "[model][ease_model]") {
  std::vector<float> terms{-0.5f, 0.0f, 0.25f};
  EaseModel().to_terms(terms);
  CHECK(terms == std::vector<float>{-5.0f, 0.0f, 2.5f});
}

TEST_CASE("Options of EASE out of range are refused by name", "[model][ease_model]") {
  const auto refused = [](EaseOptions options, const std::string& field) {
    const auto fit = [&] { EaseModel::fit(histories_of(2, {{0, 1}}), options); };
    CHECK(code_of(fit, "config: " + field + " must be ") == ErrorCode::invalid_config);
  };
  refused({.lambda = 0}, "ease.lambda");
  refused({.lambda = INFINITY}, "ease.lambda");
  refused({.lambda = std::nan("")}, "ease.lambda");
  refused({.decay = 0}, "ease.decay");
  refused({.max_items = 0}, "ease.max_items");
  refused({.max_items = 100'001}, "ease.max_items");
}
