// SPDX-License-Identifier: Apache-2.0
#include "attune/model/markov_model.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include "attune/error.hpp"
#include "attune/model/popularity_model.hpp"
#include "catch.hpp"
#include "model/count_data.hpp"

using namespace attune;
using namespace attune::test;

namespace {

// The formula of the header, word by word, in double and without any sparseness.
std::vector<double> markov_scores(const std::vector<std::vector<ItemHandle>>& users, std::size_t num_items,
                                  const std::vector<ItemHandle>& history, const MarkovOptions& options) {
  std::vector<double> popularity(num_items, 0);
  std::vector<std::vector<double>> follows(num_items, std::vector<double>(num_items, 0));
  for (const auto& user : users) {
    for (std::size_t i = 0; i < user.size(); ++i) {
      popularity[user[i]] += 1;
      for (std::size_t w = 1; w <= options.steps && i + w < user.size(); ++w) {
        follows[user[i]][user[i + w]] += 1 / static_cast<double>(w);
      }
    }
  }
  std::vector<ItemHandle> known;
  for (const ItemHandle item : history) {
    if (item < num_items && popularity[item] > 0) known.push_back(item);
  }
  std::vector<double> scores(num_items, 0);
  for (std::size_t k = 0; k < std::min(options.history, known.size()); ++k) {
    const ItemHandle x = known[known.size() - 1 - k];
    for (std::size_t y = 0; y < num_items; ++y) {
      if (popularity[y] == 0) continue;
      scores[y] += std::pow(options.decay, static_cast<double>(k)) * follows[x][y] /
                   std::pow(popularity[x] * popularity[y], options.popularity_power);
    }
  }
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  const double events = std::accumulate(popularity.begin(), popularity.end(), 0.0);
  for (std::size_t y = 0; y < num_items; ++y) {
    scores[y] = (sum > 0 ? scores[y] / sum : 0) + (known.empty() ? 1 : options.smoothing) * popularity[y] / events;
  }
  return scores;
}

}  // namespace

TEST_CASE("Without items or events transition counts score nothing and zero", "[model][markov_model]") {
  CHECK(scores_of(MarkovModel::fit(histories_of(0, {{}})), {}).empty());
  CHECK(scores_of(MarkovModel(), {}).empty());
  CHECK(scores_of(MarkovModel::fit(histories_of(3, {})), {1}) == std::vector<float>{0, 0, 0});
}

TEST_CASE("Transition counts decay with the distance and end at the user", "[model][markov_model]") {
  MarkovOptions options;
  options.steps = 2;
  const auto model = MarkovModel::fit(histories_of(4, {{0, 1, 2, 3}, {0, 2, 0}}), options);
  const auto& counts = model.counts();
  CHECK(counts.offsets == std::vector<std::uint64_t>{0, 3, 5, 7, 7});
  CHECK(counts.columns == std::vector<std::uint32_t>{0, 1, 2, 2, 3, 0, 3});
  CHECK(counts.counts == std::vector<float>{0.5f, 1.0f, 1.5f, 1.0f, 0.5f, 1.0f, 1.0f});
  CHECK(counts.popularity == std::vector<std::uint64_t>{3, 1, 2, 1});
}

TEST_CASE("Scores follow the formula", "[model][markov_model]") {
  const std::size_t num_items = 60;
  const auto users = random_users(80, 50, 1);
  MarkovOptions options;
  if (GENERATE(false, true)) options = {3, 4, 0.5, 0.7, 0.02};
  const auto model = MarkovModel::fit(histories_of(num_items, users), options);
  for (const auto& user : random_users(50, 70, 2)) {
    std::vector<float> scores(num_items, std::numeric_limits<float>::quiet_NaN());
    model.score_all({user}, scores);
    const auto expected = markov_scores(users, num_items, user, options);
    for (std::size_t y = 0; y < num_items; ++y) CHECK(scores[y] == Approx(expected[y]).epsilon(1e-4).margin(1e-9));
  }
}

TEST_CASE("A history without a known item gives popularity", "[model][markov_model]") {
  const auto histories = histories_of(5, {{0, 1, 0}, {2, 0}});
  const auto model = MarkovModel::fit(histories);
  std::vector<float> popularity(5), scores(5);
  PopularityModel::fit(histories).score_all({}, popularity);
  const std::vector<ItemHandle> unknown{4, 17, kNoHandle};
  model.score_all({unknown}, scores);
  CHECK(scores == popularity);
  model.score_all({}, scores);
  CHECK(scores == popularity);
}

TEST_CASE("Unknown items use up none of the places of a history", "[model][markov_model]") {
  MarkovOptions options;
  options.history = 1;
  const auto model = MarkovModel::fit(histories_of(4, {{0, 1}, {2, 1, 0}}), options);
  std::vector<float> scores(4), expected(4);
  const std::vector<ItemHandle> plain{0}, noisy{0, 3, 99};
  model.score_all({plain}, expected);
  model.score_all({noisy}, scores);
  CHECK(scores == expected);
}

TEST_CASE("Parts that do not fit together are refused", "[model][markov_model]") {
  const auto good = MarkovModel::fit(histories_of(3, {{0, 1, 2, 0}})).counts();
  CHECK_NOTHROW(MarkovModel(good, {}));
  const std::vector<std::pair<std::string, void (*)(MarkovModel::Counts&)>> damages{
      {"an offset missing", [](MarkovModel::Counts& counts) { counts.offsets.pop_back(); }},
      {"no offset", [](MarkovModel::Counts& counts) { counts.offsets.clear(); }},
      {"offsets not from zero", [](MarkovModel::Counts& counts) { counts.offsets.front() = 1; }},
      {"offsets beyond the columns", [](MarkovModel::Counts& counts) { counts.offsets.back() += 1; }},
      {"offsets that fall", [](MarkovModel::Counts& counts) { counts.offsets[1] = counts.columns.size() + 1; }},
      {"a count missing", [](MarkovModel::Counts& counts) { counts.counts.pop_back(); }},
      {"a column beyond the items", [](MarkovModel::Counts& counts) { counts.columns[0] = 3; }},
      {"columns that fall", [](MarkovModel::Counts& counts) { std::swap(counts.columns[0], counts.columns[1]); }},
      {"a column twice", [](MarkovModel::Counts& counts) { counts.columns[1] = counts.columns[0]; }},
      {"a count of zero", [](MarkovModel::Counts& counts) { counts.counts[0] = 0; }},
      {"a count that is NaN", [](MarkovModel::Counts& counts) { counts.counts[0] = std::nanf(""); }},
      {"a count that is infinite", [](MarkovModel::Counts& counts) { counts.counts[0] = INFINITY; }},
  };
  for (const auto& [name, damage] : damages) {
    INFO(name);
    auto counts = good;
    damage(counts);
    try {
      MarkovModel(counts, {});
      FAIL_CHECK("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::corrupt_file);
    }
  }
}

TEST_CASE("A blend adds the logarithm of a transition share, at least that of the smallest share",
          "[model][markov_model]") {
  std::vector<float> terms{0.25f, 0.0f, 1e-30f};
  MarkovModel().to_terms(terms);
  CHECK(terms[0] == std::log(0.25f));
  CHECK(terms[1] == std::log(std::numeric_limits<float>::min()));
  CHECK(terms[2] == std::log(1e-30f));
}

TEST_CASE("Options out of range are refused by name", "[model][markov_model]") {
  const auto histories = histories_of(2, {{0, 1}});
  const std::vector<std::pair<std::string, MarkovOptions>> refused{
      {"markov.steps", {.steps = 0}},
      {"markov.steps", {.steps = 1001}},
      {"markov.history", {.history = 0}},
      {"markov.decay", {.decay = 0}},
      {"markov.decay", {.decay = 1.5}},
      {"markov.decay", {.decay = std::nan("")}},
      {"markov.popularity_power", {.popularity_power = -1}},
      {"markov.popularity_power", {.popularity_power = INFINITY}},
      {"markov.smoothing", {.smoothing = -0.1}},
  };
  for (const auto& [field, options] : refused) {
    INFO(field);
    try {
      MarkovModel::fit(histories, options);
      FAIL_CHECK("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_config);
      CHECK(std::string(error.what()).find("config: " + field + " must be ") == 0);
    }
  }
}
