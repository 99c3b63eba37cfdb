// SPDX-License-Identifier: Apache-2.0
#include "attune/model/ials_model.hpp"

#include <Eigen/LU>
#include <cmath>

#include "attune/error.hpp"
#include "attune/executor.hpp"
#include "catch.hpp"
#include "model/count_data.hpp"
#include "model/ials_trainer.hpp"

using namespace attune;
using namespace attune::test;

namespace {

using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Rows rows_of(std::span<const float> factors, std::size_t dim) {
  using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return Eigen::Map<const Floats>(factors.data(), static_cast<Eigen::Index>(factors.size() / dim),
                                  static_cast<Eigen::Index>(dim))
      .cast<double>();
}

double ridge(const IalsOptions& options, double events, std::size_t other_side) {
  return options.regularization *
         std::pow(events + options.unobserved_weight * static_cast<double>(other_side), options.regularization_power);
}

// The objective of the header, over every pair.
double objective(const Users& users, std::span<const float> user_factors, std::span<const float> item_factors,
                 const IalsOptions& options) {
  const Rows w = rows_of(user_factors, options.embedding_dim), h = rows_of(item_factors, options.embedding_dim);
  const auto num_users = static_cast<std::size_t>(w.rows()), num_items = static_cast<std::size_t>(h.rows());
  double sum = options.unobserved_weight * (w * h.transpose()).squaredNorm();
  std::vector<double> events(num_items, 0);
  for (std::size_t u = 0; u < num_users; ++u) {
    const auto vector = w.row(static_cast<Eigen::Index>(u));
    for (const ItemHandle item : users[u]) {
      sum += std::pow(vector.dot(h.row(item)) - 1, 2);
      events[item] += 1;
    }
    sum += ridge(options, static_cast<double>(users[u].size()), num_items) * vector.squaredNorm();
  }
  for (std::size_t i = 0; i < num_items; ++i) {
    sum += ridge(options, events[i], num_users) * h.row(static_cast<Eigen::Index>(i)).squaredNorm();
  }
  return sum;
}

// The vector of a history by the normal equations, with a general inverse. The k-th newest event weighs decay^k.
Eigen::VectorXd folded_in(const std::vector<ItemHandle>& newest_first, const IalsModel& model) {
  const IalsOptions& options = model.options();
  const Rows h = rows_of(model.factors(), options.embedding_dim);
  Rows left = options.unobserved_weight * h.transpose() * h;
  Eigen::VectorXd right = Eigen::VectorXd::Zero(h.cols());
  double events = 0, weight = 1;
  for (const ItemHandle item : newest_first) {
    left += weight * h.row(item).transpose() * h.row(item);
    right += weight * h.row(item).transpose();
    events += weight;
    weight *= options.decay;
  }
  left.diagonal().array() += ridge(options, events, static_cast<std::size_t>(h.rows()));
  return left.inverse() * right;
}

const IalsOptions kSmall{.embedding_dim = 16, .epochs = 4, .regularization = 0.02, .decay = 1.0, .seed = 3};

std::vector<float> fold_in(const IalsModel& model, const std::vector<ItemHandle>& history) {
  Workspace workspace;
  std::vector<float> vector(model.options().embedding_dim, NAN);
  model.fold_in(vector, {history}, workspace);
  return vector;
}

}  // namespace

TEST_CASE("Every half of an epoch lowers the objective", "[model][ials_model]") {
  const Users users = random_users(80, 38, 1);
  const auto histories = histories_of(40, users);
  InlineExecutor executor;
  detail::IalsTrainer trainer(histories, kSmall, executor);
  double before = objective(users, trainer.users(), trainer.items(), kSmall);
  for (int epoch = 0; epoch < 5; ++epoch) {
    trainer.update_users();
    const double between = objective(users, trainer.users(), trainer.items(), kSmall);
    CHECK(between < before);
    trainer.update_items();
    before = objective(users, trainer.users(), trainer.items(), kSmall);
    CHECK(before < between);
  }
}

TEST_CASE("A history folds in to the vector that training gives a user with the same items", "[model][ials_model]") {
  const Users users = random_users(80, 38, 1);
  const auto histories = histories_of(40, users);
  InlineExecutor executor;
  detail::IalsTrainer trainer(histories, kSmall, executor);
  for (int epoch = 0; epoch < 3; ++epoch) {
    trainer.update_users();
    trainer.update_items();
  }
  trainer.update_users();
  const IalsModel model(40, trainer.items(), kSmall);
  for (std::size_t u = 0; u < users.size(); ++u) {
    const std::vector<float> vector = fold_in(model, users[u]);
    for (std::size_t d = 0; d < 16; ++d) {
      CHECK(vector[d] == Approx(trainer.users()[u * 16 + d]).epsilon(1e-3).margin(1e-5));
    }
  }
}

TEST_CASE("Folding in solves the normal equations, and scores are products", "[model][ials_model]") {
  const Users users = random_users(200, 90, 2);
  IalsOptions options = kSmall;
  options.decay = GENERATE(1.0, 0.8);
  options.regularization_power = GENERATE(1.0, 0.0);
  const auto model = IalsModel::fit(histories_of(100, users), options);
  const Rows factors = rows_of(model.factors(), 16);
  auto histories = random_users(20, 110, 3);
  histories.push_back(std::vector<ItemHandle>(150, 4));  // more events than one block of observations
  for (const auto& history : histories) {
    const Eigen::VectorXd vector = folded_in(newest_known(history, users), model);
    const Eigen::VectorXd expected = factors * vector;
    const auto scores = scores_of(model, history);
    for (std::size_t y = 0; y < 100; ++y) {
      REQUIRE(scores[y] == Approx(expected[static_cast<Eigen::Index>(y)]).epsilon(1e-2).margin(2e-4));
    }
  }
}

TEST_CASE("Two groups of users who share nothing are told apart", "[model][ials_model]") {
  Users users;
  for (ItemHandle u = 0; u < 20; ++u) users.push_back({u % 5, (u + 1) % 5, (u + 2) % 5});
  for (ItemHandle u = 0; u < 20; ++u) users.push_back({5 + u % 5, 5 + (u + 1) % 5, 5 + (u + 2) % 5});
  const auto scores = scores_of(IalsModel::fit(histories_of(10, users), kSmall), {0, 1});
  for (std::size_t near = 2; near < 5; ++near) {
    for (std::size_t far = 5; far < 10; ++far) CHECK(scores[near] > scores[far] + 0.05f);
  }
}

TEST_CASE("The seed decides, the number of threads does not", "[model][ials_model]") {
  const auto histories = histories_of(60, random_users(100, 60, 3));
  const auto alone = IalsModel::fit(histories, kSmall);
  ThreadPool three(3);
  CHECK(std::ranges::equal(alone.factors(), IalsModel::fit(histories, kSmall, &three).factors()));
  IalsOptions other = kSmall;
  other.seed = 4;
  CHECK(!std::ranges::equal(alone.factors(), IalsModel::fit(histories, other).factors()));
}

TEST_CASE("Items without an event and unknown ones say nothing to iALS", "[model][ials_model]") {
  const auto model = IalsModel::fit(histories_of(5, {{0, 1}, {2, 1, 0}}), kSmall);
  CHECK(model.knows(0));
  CHECK(!model.knows(3));
  CHECK(!model.knows(99));
  CHECK(scores_of(model, {2, 0, 3, 99, kNoHandle}) == scores_of(model, {2, 0}));
  CHECK(scores_of(model, {0})[3] == 0);
  CHECK(scores_of(model, {}) == std::vector<float>(5, 0.0f));
}

TEST_CASE("Nobody, one item, one user and equal users have finite iALS vectors", "[model][ials_model]") {
  CHECK(scores_of(IalsModel(), {0}).empty());
  CHECK(scores_of(IalsModel::fit(histories_of(0, {}), kSmall), {0}).empty());
  CHECK(scores_of(IalsModel::fit(histories_of(2, {}), kSmall), {0}) == std::vector<float>{0, 0});
  IalsOptions options = kSmall;
  options.regularization = GENERATE(0.02, 1e-12);
  for (const Users& users : {Users{{0}}, Users{{0, 0, 0}}, Users(50, {0, 1, 2}), Users{{0}, {1}, {2}}}) {
    for (const float score : scores_of(IalsModel::fit(histories_of(3, users), options), {0})) {
      CHECK(std::isfinite(score));
    }
  }
}

TEST_CASE("iALS vectors that are too few or not finite are refused", "[model][ials_model]") {
  CHECK_NOTHROW(IalsModel(2, std::vector<float>(32, 1.0f), kSmall));
  CHECK_THROWS_WITH(IalsModel(2, std::vector<float>(31, 1.0f), kSmall), Catch::Matchers::Contains("one vector"));
  CHECK_THROWS_WITH(IalsModel(2, std::vector<float>(32, NAN), kSmall), Catch::Matchers::Contains("not finite"));
}

TEST_CASE("A blend adds ten times the score of iALS, whatever its sign", "[model][ials_model]") {
  std::vector<float> terms{-0.5f, 0.0f, 0.25f};
  IalsModel().to_terms(terms);
  CHECK(terms == std::vector<float>{-5.0f, 0.0f, 2.5f});
}

TEST_CASE("Options of iALS out of range are refused by name", "[model][ials_model]") {
  const auto refused = [](const std::string& field, const std::function<void(IalsOptions&)>& change) {
    IalsOptions options = kSmall;
    change(options);
    CHECK_THROWS_WITH(IalsModel::fit(histories_of(2, {{0, 1}}), options),
                      Catch::Matchers::StartsWith("config: " + field + " must be "));
  };
  for (const std::size_t dim : {0u, 8u, 24u, 1040u}) {
    refused("ials.embedding_dim", [&](IalsOptions& o) { o.embedding_dim = dim; });
  }
  refused("ials.epochs", [](IalsOptions& o) { o.epochs = 0; });
  refused("ials.unobserved_weight", [](IalsOptions& o) { o.unobserved_weight = 0; });
  refused("ials.unobserved_weight", [](IalsOptions& o) { o.unobserved_weight = NAN; });
  refused("ials.regularization", [](IalsOptions& o) { o.regularization = 0; });
  refused("ials.regularization_power", [](IalsOptions& o) { o.regularization_power = 1.5; });
  refused("ials.decay", [](IalsOptions& o) { o.decay = 2; });
}
