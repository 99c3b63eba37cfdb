// SPDX-License-Identifier: Apache-2.0
#include "attune/model/popularity_model.hpp"

#include <cmath>
#include <limits>

#include "attune/error.hpp"
#include "catch.hpp"
#include "errors.hpp"
#include "model/count_data.hpp"

using namespace attune;
using namespace attune::test;

namespace {

constexpr Timestamp kDay = 24 * 3600 * 1000;

}  // namespace

TEST_CASE("Popularity is the share of events", "[model][popularity_model]") {
  const auto model = PopularityModel::fit(histories_of(4, {{0, 1, 1}, {}, {1, 2}}));
  CHECK(std::vector<std::uint64_t>(model.counts().begin(), model.counts().end()) ==
        std::vector<std::uint64_t>{1, 3, 1, 0});
  CHECK(model.recent().empty());
  CHECK(scores_of(model, {}) == std::vector<float>{0.2f, 0.6f, 0.2f, 0.0f});
  CHECK(scores_of(model, {3, 2}) == scores_of(model, {}));
}

TEST_CASE("Without items or events popularity is nothing and zero", "[model][popularity_model]") {
  CHECK(scores_of(PopularityModel::fit(histories_of(0, {})), {}).empty());
  CHECK(scores_of(PopularityModel::fit(histories_of(3, {{}})), {}) == std::vector<float>{0, 0, 0});
}

TEST_CASE("Popularity listens to no history", "[model][popularity_model]") {
  const auto model = PopularityModel::fit(histories_of(2, {{0, 1}}));
  CHECK(!model.knows(0));
  const std::vector<ItemHandle> history{0, 1};
  CHECK(!model.knows_any({history}));
}

TEST_CASE("With a window only its events score, and the rest keeps an order", "[model][popularity_model]") {
  Histories histories = histories_of(5, {{0, 0, 0, 1, 2}, {1, 3, 3}});
  histories.times = {0, 0, kDay, 3 * kDay, 10 * kDay, 3 * kDay - 1, kNoTime, kNoTime};
  const auto model = PopularityModel::fit(histories, {.window_days = 7});  // from the third day on
  const auto recent = model.recent();
  CHECK(std::vector<std::uint64_t>(recent.begin(), recent.end()) == std::vector<std::uint64_t>{0, 1, 1, 0, 0});
  CHECK(model.counts()[0] == 3);
  const auto scores = scores_of(model, {});
  CHECK(scores[1] == Approx(0.5 + 1e-3 * 2 / 8));
  CHECK(scores[2] == Approx(0.5 + 1e-3 * 1 / 8));
  CHECK(scores[0] == Approx(1e-3 * 3 / 8));
  CHECK(scores[3] == Approx(1e-3 * 2 / 8));
  CHECK(scores[4] == 0);
}

TEST_CASE("A window needs events with times and a length that makes sense", "[model][popularity_model]") {
  Histories histories = histories_of(2, {{0, 1}});
  const auto fit = [&](double days) { return [&, days] { PopularityModel::fit(histories, {.window_days = days}); }; };
  CHECK(code_of(fit(7), "popularity.window_days: expected events with times") == ErrorCode::invalid_data);
  histories.times = {kNoTime, kNoTime};
  CHECK(code_of(fit(7), "popularity.window_days: expected events with times") == ErrorCode::invalid_data);
  for (const double days : {-1.0, 1e7, std::nan("")}) {
    CHECK(code_of(fit(days), "config: popularity.window_days must be") == ErrorCode::invalid_config);
  }
}

TEST_CASE("More recent events than events are refused", "[model][popularity_model]") {
  const PopularityOptions options{.window_days = 1};
  CHECK_NOTHROW(PopularityModel({2, 1}, {2, 0}, options));
  CHECK(code_of([&] { PopularityModel({2, 1}, {1, 2}, options); }, "popularity") == ErrorCode::corrupt_file);
  CHECK(code_of([&] { PopularityModel({2, 1}, {1}, options); }, "popularity") == ErrorCode::corrupt_file);
}

TEST_CASE("A blend adds the logarithm of popularity, at least that of the smallest share",
          "[model][popularity_model]") {
  std::vector<float> terms{0.5f, 0.0f};
  PopularityModel().to_terms(terms);
  CHECK(terms == std::vector<float>{std::log(0.5f), std::log(std::numeric_limits<float>::min())});
}
