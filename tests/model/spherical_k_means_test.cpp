// SPDX-License-Identifier: Apache-2.0
#include "model/spherical_k_means.hpp"

#include <cmath>
#include <random>
#include <set>

#include "catch.hpp"

using namespace attune;

namespace {

// Every row lies near one axis; row i near axis i % dim. Some have no direction.
ScorerRows<float> rows_near_axes(std::size_t count, std::size_t dim, ScoreKind kind) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  EmbeddingTable<float> table(count, dim);
  for (std::size_t i = 0; i < count; ++i) {
    if (i % 10 == 9) continue;
    for (float& x : table.row(i)) x = normal(random);
    table.row(i)[i % dim] += 1;
    for (float& x : table.row(i)) x *= static_cast<float>(1 + i % 3);
  }
  return ScorerRows<float>(table, kind);
}

}  // namespace

TEST_CASE("Centroids have norm 1, and rows of one direction share one", "[model][spherical_k_means]") {
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const std::size_t dim = 7, count = 2000, lists = 40;
  const ScorerRows<float> rows = rows_near_axes(count, dim, kind);
  InlineExecutor executor;
  const std::vector<float> centroids = spherical_k_means(rows, lists, 3, executor);
  REQUIRE(centroids.size() == lists * rows.stride());
  for (std::size_t list = 0; list < lists; ++list) {
    double squares = 0;
    for (std::size_t d = 0; d < rows.stride(); ++d) {
      const auto x = static_cast<double>(centroids[list * rows.stride() + d]);
      squares += x * x;
      if (d >= dim) CHECK(x == 0);
    }
    CHECK(squares == Approx(1).margin(1e-6));
  }
  const auto nearest = nearest_centroids(rows.row(0), count, rows.stride(), centroids, executor);
  std::vector<std::set<std::size_t>> axes(lists);
  for (std::size_t i = 0; i < count; ++i) {
    REQUIRE(nearest[i] < lists);
    if (rows.scorable(static_cast<ItemHandle>(i))) axes[nearest[i]].insert(i % dim);
  }
  for (const auto& of_list : axes) CHECK(of_list.size() <= 1);
}

TEST_CASE("Centroids are the same for any number of threads", "[model][spherical_k_means]") {
  const ScorerRows<float> rows = rows_near_axes(9000, 20, ScoreKind::cosine);
  InlineExecutor one;
  ThreadPool three(3);
  const std::vector<float> centroids = spherical_k_means(rows, 100, 5, one);
  CHECK(spherical_k_means(rows, 100, 5, three) == centroids);
  CHECK(spherical_k_means(rows, 100, 6, one) != centroids);
}

TEST_CASE("The first of equal centroids is the nearest", "[model][spherical_k_means]") {
  const std::size_t stride = 16;
  std::vector<float> centroids(200 * stride);
  for (std::size_t list = 0; list < 200; ++list) centroids[list * stride + list % 3] = 1;
  std::vector<float> rows(3 * stride);
  for (std::size_t i = 0; i < 3; ++i) rows[i * stride + 2 - i] = 5;
  InlineExecutor executor;
  CHECK(nearest_centroids(rows.data(), 3, stride, centroids, executor) == std::vector<std::uint32_t>{2, 1, 0});
}
