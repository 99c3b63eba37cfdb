// SPDX-License-Identifier: Apache-2.0
#include "attune/model/item_knn_model.hpp"

#include <cmath>

#include "attune/error.hpp"
#include "attune/executor.hpp"
#include "catch.hpp"
#include "model/count_data.hpp"

using namespace attune;
using namespace attune::test;

namespace {

// Every cosine, by brute force.
std::vector<std::vector<double>> cosines(const Users& users, std::size_t num_items) {
  const auto has = matrix_of(users, num_items);
  std::vector<std::vector<double>> both(num_items, std::vector<double>(num_items, 0));
  for (const auto& user : has) {
    for (std::size_t x = 0; x < num_items; ++x) {
      for (std::size_t y = 0; y < num_items; ++y) both[x][y] += user[x] * user[y];
    }
  }
  auto cosine = both;
  for (std::size_t x = 0; x < num_items; ++x) {
    for (std::size_t y = 0; y < num_items; ++y) {
      cosine[x][y] = x == y || both[x][y] == 0 ? 0 : both[x][y] / std::sqrt(both[x][x] * both[y][y]);
    }
  }
  return cosine;
}

// All but the `most` largest of a row become 0; of equal ones the lower items stay.
void keep_nearest(std::vector<double>& row, std::size_t most) {
  std::vector<std::pair<float, std::size_t>> order;
  for (std::size_t y = 0; y < row.size(); ++y) order.emplace_back(-static_cast<float>(row[y]), y);
  std::ranges::sort(order);
  for (std::size_t i = most; i < order.size(); ++i) row[order[i].second] = 0;
}

}  // namespace

TEST_CASE("Neighbours and scores are those of brute force", "[model][item_knn_model]") {
  const std::size_t num_items = 40;
  const Users users = random_users(60, 35, 1);
  const ItemKnnOptions options{.neighbours = GENERATE(std::size_t{1}, std::size_t{5}, std::size_t{1000}), .decay = 0.6};
  const auto model = ItemKnnModel::fit(histories_of(num_items, users), options);
  auto cosine = cosines(users, num_items);
  for (auto& row : cosine) keep_nearest(row, options.neighbours);

  const auto& neighbours = model.neighbours();
  std::size_t kept = 0;
  for (std::size_t x = 0; x < num_items; ++x) {
    for (std::size_t i = neighbours.offsets[x]; i < neighbours.offsets[x + 1]; ++i, ++kept) {
      CHECK(neighbours.similarities[i] == Approx(cosine[x][neighbours.columns[i]]));
    }
    kept -= static_cast<std::size_t>(std::ranges::count_if(cosine[x], [](double value) { return value > 0; }));
  }
  CHECK(kept == 0);

  for (const auto& history : random_users(30, 50, 2)) {
    const auto known = newest_known(history, users);
    const auto scores = scores_of(model, history);
    for (std::size_t y = 0; y < num_items; ++y) {
      double expected = 0;
      for (std::size_t k = 0; k < known.size(); ++k) expected += std::pow(0.6, k) * cosine[known[k]][y];
      CHECK(scores[y] == Approx(expected).margin(3e-4));
    }
  }
}

TEST_CASE("Two items that share all their users are as near as can be", "[model][item_knn_model]") {
  const auto model = ItemKnnModel::fit(histories_of(4, {{0, 1}, {1, 0, 0}, {2}, {2, 3}}));
  CHECK(model.neighbours().columns == std::vector<std::uint32_t>{1, 0, 3, 2});
  CHECK(model.neighbours().similarities[0] == 1.0f);
  CHECK(model.neighbours().similarities[2] == Approx(std::sqrt(0.5)));
  CHECK(model.neighbours().users == std::vector<std::uint64_t>{2, 2, 2, 1});
}

TEST_CASE("Items that are nobody's neighbours are ordered by their users", "[model][item_knn_model]") {
  const auto scores = scores_of(ItemKnnModel::fit(histories_of(5, {{0, 1}, {2}, {2}, {3}})), {0});
  CHECK(scores[1] > scores[2]);
  CHECK(scores[2] > scores[3]);
  CHECK(scores[3] > scores[4]);
  CHECK(scores[4] == 0);
}

TEST_CASE("Unknown items use up none of the places of a fading history", "[model][item_knn_model]") {
  const auto model = ItemKnnModel::fit(histories_of(4, {{0, 1}, {2, 1, 0}}));
  CHECK(!model.knows(3));
  CHECK(!model.knows(99));
  CHECK(scores_of(model, {2, 0, 3, 99, kNoHandle}) == scores_of(model, {2, 0}));
}

TEST_CASE("Nobody, one item, one user and equal users have neighbours or none", "[model][item_knn_model]") {
  CHECK(scores_of(ItemKnnModel(), {0}).empty());
  CHECK(scores_of(ItemKnnModel::fit(histories_of(0, {})), {0}).empty());
  CHECK(scores_of(ItemKnnModel::fit(histories_of(2, {})), {0}) == std::vector<float>{0, 0});
  CHECK(ItemKnnModel::fit(histories_of(1, {{0}, {0}})).neighbours().columns.empty());
  CHECK(ItemKnnModel::fit(histories_of(3, {{0, 1, 2}})).neighbours().similarities == std::vector<float>(6, 1.0f));
}

TEST_CASE("Neighbours do not depend on the number of threads", "[model][item_knn_model]") {
  const auto histories = histories_of(60, random_users(100, 60, 3));
  const auto alone = ItemKnnModel::fit(histories, {.neighbours = 7});
  ThreadPool three(3);
  const auto together = ItemKnnModel::fit(histories, {.neighbours = 7}, &three);
  CHECK(alone.neighbours().columns == together.neighbours().columns);
  CHECK(alone.neighbours().similarities == together.neighbours().similarities);
}

TEST_CASE("Neighbours that do not fit together are refused", "[model][item_knn_model]") {
  const auto good = ItemKnnModel::fit(histories_of(3, {{0, 1, 2}})).neighbours();
  CHECK_NOTHROW(ItemKnnModel(good, {}));
  using Neighbours = ItemKnnModel::Neighbours;
  const std::vector<std::pair<std::string, void (*)(Neighbours&)>> damages{
      {"an offset missing", [](Neighbours& n) { n.offsets.pop_back(); }},
      {"a column beyond the items", [](Neighbours& n) { n.columns.back() = 3; }},
      {"a similarity missing", [](Neighbours& n) { n.similarities.pop_back(); }},
      {"a similarity that is NaN", [](Neighbours& n) { n.similarities[0] = std::nanf(""); }},
      {"a similarity that is negative", [](Neighbours& n) { n.similarities[0] = -1; }},
      {"a count of users missing", [](Neighbours& n) { n.users.pop_back(); }},
  };
  for (const auto& [name, damage] : damages) {
    INFO(name);
    auto neighbours = good;
    damage(neighbours);
    CHECK_THROWS_WITH(ItemKnnModel(neighbours, {}), Catch::Matchers::StartsWith("neighbours: "));
  }
}

TEST_CASE("Options of item-kNN out of range are refused by name", "[model][item_knn_model]") {
  const auto histories = histories_of(2, {{0, 1}});
  CHECK_THROWS_WITH(ItemKnnModel::fit(histories, {.neighbours = 0}), Catch::Matchers::Contains("item_knn.neighbours"));
  for (const double decay : {0.0, 1.5, std::nan("")}) {
    CHECK_THROWS_WITH(ItemKnnModel::fit(histories, {.decay = decay}), Catch::Matchers::Contains("item_knn.decay"));
  }
}
