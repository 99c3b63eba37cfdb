// SPDX-License-Identifier: Apache-2.0
#include "attune/model/repeat_model.hpp"

#include <cmath>

#include "attune/error.hpp"
#include "catch.hpp"
#include "model/count_data.hpp"

using namespace attune;
using namespace attune::test;

namespace {

constexpr Timestamp kDay = 86'400'000;

// Items 0 to 4, seen 1, 2, 3, 0 and 2 times.
RepeatModel model(const RepeatOptions& options) {
  return RepeatModel::fit(histories_of(5, {{0, 1, 1, 2}, {2, 2, 4, 4}}), options);
}

std::vector<float> scores_at(const RepeatModel& repeats, std::vector<ItemHandle> items, std::vector<Timestamp> times) {
  std::vector<float> scores(repeats.num_items());
  repeats.score_all({.items = items, .times = times}, scores);
  return scores;
}

}  // namespace

TEST_CASE("What a user had comes again by how often and how lately, then by popularity", "[model][repeat]") {
  const RepeatModel repeats = model({.half_life_days = 10, .smoothing = 0.1});
  // Ages of 30, 20, 10 and 0 days before the newest event that is known; item 3 and 9 are not.
  const auto scores =
      scores_at(repeats, {1, 1, 4, 2, 3, 9}, {0, 10 * kDay, 20 * kDay, 30 * kDay, 99 * kDay, 99 * kDay});
  const double total = 0.125 + 0.25 + 0.5 + 1;
  CHECK(scores[0] == Approx(0.1 / 8));
  CHECK(scores[1] == Approx(0.9 * 0.375 / total + 0.1 * 2 / 8));
  CHECK(scores[2] == Approx(0.9 * 1 / total + 0.1 * 3 / 8));
  CHECK(scores[3] == 0);
  CHECK(scores[4] == Approx(0.9 * 0.5 / total + 0.1 * 2 / 8));
}

TEST_CASE("Repeats without times, or that never fade, count the same", "[model][repeat]") {
  const RepeatModel fading = model({.half_life_days = 1, .smoothing = 0}),
                    lasting = model({.half_life_days = 0, .smoothing = 0});
  const std::vector<float> expected{0, 2.0f / 3, 0, 0, 1.0f / 3};
  for (const auto& scores : {scores_of(fading, {1, 4, 1}), scores_at(lasting, {1, 4, 1}, {0, kDay, 9 * kDay}),
                             scores_at(fading, {1, 4, 1}, {kNoTime, kNoTime, 5})}) {
    for (std::size_t i = 0; i < 5; ++i) CHECK(scores[i] == Approx(expected[i]));
  }
  CHECK(scores_at(fading, {1, 4}, {9 * kDay, 5}) == scores_at(fading, {1, 4}, {5, 5}));  // a clock that went wrong
  const auto ancient = scores_at(fading, {1, 4}, {0, 200'000 * kDay});
  CHECK(ancient[4] == 1);
  CHECK(ancient[1] == 0);
}

TEST_CASE("Who had nothing that is known is answered with popularity", "[model][repeat]") {
  const RepeatModel repeats = model({});
  for (const auto& scores : {scores_of(repeats, {}), scores_of(repeats, {3, 77})}) {
    CHECK(scores == std::vector<float>{1.0f / 8, 2.0f / 8, 3.0f / 8, 0, 2.0f / 8});
  }
  CHECK_FALSE(repeats.knows(3));
  CHECK_FALSE(repeats.knows(5));
  CHECK(repeats.knows(4));
  std::vector<float> terms{0.5f, 0};
  repeats.to_terms(terms);
  CHECK(terms[0] == Approx(std::log(0.5)));
  CHECK(std::isfinite(terms[1]));
}

TEST_CASE("Options of repeats are refused by name", "[model][repeat]") {
  for (const auto& [options, field] : {std::pair{RepeatOptions{.half_life_days = -1}, "repeat.half_life_days"},
                                       {RepeatOptions{.half_life_days = std::nan("")}, "repeat.half_life_days"},
                                       {RepeatOptions{.smoothing = 1.5}, "repeat.smoothing"}}) {
    try {
      options.validate();
      FAIL("expected an error");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_config);
      CHECK(std::string(error.what()).find(field) != std::string::npos);
    }
  }
}
