// SPDX-License-Identifier: Apache-2.0
#include "attune/model/count_models.hpp"

#include <cmath>

#include "attune/error.hpp"
#include "catch.hpp"
#include "model/count_data.hpp"

using namespace attune;
using namespace attune::test;

namespace {

const std::vector<CountOptions> kAll{PopularityOptions{},
                                     MarkovOptions{},
                                     ItemKnnOptions{},
                                     EaseOptions{},
                                     IalsOptions{.embedding_dim = 16, .epochs = 2},
                                     RepeatOptions{}};

}  // namespace

TEST_CASE("Every kind of count model is fitted from its options and goes by its name", "[model][count_models]") {
  const auto histories = histories_of(30, random_users(40, 30, 1));
  const std::vector<std::string> names{"popularity", "markov", "item-knn", "ease", "ials", "repeat"};
  for (std::size_t i = 0; i < kAll.size(); ++i) {
    const auto model = fit_counts(histories, kAll[i]);
    CHECK(model->name() == names[i]);
    CHECK(to_string(kind_of(kAll[i])) == names[i]);
    CHECK(model->num_items() == 30);
    for (const float score : scores_of(*model, {1, 2, 3})) CHECK(std::isfinite(score));
  }
}

TEST_CASE("Count models leave their workspace to the next one", "[model][count_models]") {
  const auto histories = histories_of(30, random_users(40, 30, 1));
  Workspace shared;
  for (const auto& history : random_users(10, 35, 2)) {
    for (const CountOptions& options : kAll) {
      const auto model = fit_counts(histories, options);
      std::vector<float> scores(30);
      model->score_all({history}, scores, shared);
      CHECK(scores == scores_of(*model, history));
    }
  }
}

TEST_CASE("Options that no model takes are refused whatever the kind", "[model][count_models]") {
  CHECK_THROWS_AS(fit_counts(histories_of(2, {{0, 1}}), EaseOptions{.lambda = -1}), Error);
}
