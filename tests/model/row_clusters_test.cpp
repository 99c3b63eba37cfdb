// SPDX-License-Identifier: Apache-2.0
#include "attune/model/row_clusters.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "attune/error.hpp"
#include "attune/executor.hpp"
#include "catch.hpp"

using namespace attune;

namespace {

using Generator = std::mt19937_64;

enum class Rows { isotropic, clustered, one_hot, equal, near_ties, opposite, lengths };

EmbeddingTable<float> make_table(std::size_t count, std::size_t dim, Rows kind, Generator& random) {
  EmbeddingTable<float> table(count, dim);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < count; ++i) {
    const std::span<float> row = table.row(i);
    Generator centre(i % 20);
    for (float& x : row) x = normal(random);
    switch (kind) {
      case Rows::isotropic: break;
      case Rows::clustered:
        for (float& x : row) x = 0.3f * x + std::normal_distribution<float>()(centre);
        break;
      case Rows::one_hot:
        std::ranges::fill(row, 0.0f);
        row[random() % dim] = random() % 2 == 0 ? 1.0f : -1.0f;
        break;
      case Rows::equal: std::ranges::fill(row, 0.5f); break;
      case Rows::near_ties:
        std::ranges::fill(row, 0.7f);
        row[random() % dim] = std::nextafter(0.7f, static_cast<float>(random() % 2));
        break;
      case Rows::opposite:
        for (std::size_t d = 0; d < dim && i % 2 == 1; ++d) row[d] = -table.row(i - 1)[d];
        break;
      case Rows::lengths:
        for (float& x : row) x *= std::exp2(static_cast<float>(i % 21) - 10);
        break;
    }
    if (i % 13 == 5) std::ranges::fill(row, 0.0f);
  }
  return table;
}

}  // namespace

TEST_CASE("Every scorable row is in one place, and its list and group know how near it is", "[model][row_clusters]") {
  Generator random(1);
  const auto kind = GENERATE(Rows::isotropic, Rows::clustered, Rows::equal, Rows::lengths);
  const ScorerRows<float> rows(make_table(3000, 20, kind, random), ScoreKind::dot);
  const RowClusters clusters(rows, {.rows_per_list = 100, .largest_share = 1});
  const std::size_t lists = clusters.num_lists();
  REQUIRE(lists == rows.num_scorable() / 100);
  CHECK(clusters.first_group(0) == 0);
  CHECK(clusters.first_group(lists) * 64 == clusters.order().size());
  CHECK(clusters.codes().size() == clusters.order().size());
  std::vector<int> seen(rows.size());
  for (const ItemHandle item : clusters.order()) {
    if (item != kNoHandle) ++seen[item];
  }
  for (ItemHandle item = 0; item < rows.size(); ++item) REQUIRE(seen[item] == (rows.scorable(item) ? 1 : 0));
  for (std::size_t list = 0; list < lists; ++list) {
    const RowClusters::Cone& all = clusters.list(list);
    for (std::size_t group = clusters.first_group(list); group < clusters.first_group(list + 1); ++group) {
      const RowClusters::Cone& cone = clusters.group(group);
      CHECK(cone.low <= cone.high);
      CHECK((all.low <= cone.low && cone.high <= all.high && cone.norm <= all.norm));
      if (group > clusters.first_group(list)) CHECK(cone.low <= clusters.group(group - 1).low);
    }
  }
}

TEST_CASE("With confidence 1 no score exceeds the bound of its group, nor that of its list",
          "[model][row_clusters][slow]") {
  Generator random(2);
  const auto kind = GENERATE(Rows::isotropic, Rows::clustered, Rows::one_hot, Rows::equal, Rows::near_ties,
                             Rows::opposite, Rows::lengths);
  const auto score_kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  for (const std::size_t dim : {1u, 2u, 16u, 50u, 64u, 300u}) {
    const EmbeddingTable<float> table = make_table(700, dim, kind, random);
    const ScorerRows<float> rows(table, score_kind);
    const RowClusters clusters(rows, {.rows_per_list = dim % 3 == 0 ? 1u : 80u, .largest_share = 1});
    REQUIRE(clusters.confidence() == 1);
    std::normal_distribution<float> normal;
    Buffer<float> prepared;
    std::vector<float> products(clusters.num_lists());
    for (int q = 0; q < 20; ++q) {
      std::vector<float> query(dim);
      const std::span<const float> near = table.row(random() % table.rows());
      for (std::size_t d = 0; d < dim; ++d)
        query[d] = static_cast<float>(q % 3) * normal(random) + (q % 2 == 0 ? near[d] : 0.0f);
      if (!rows.prepare(query, prepared)) continue;
      const std::span<const float> vector = prepared.take(rows.stride());
      double squares = 0;
      for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
      clusters.compare(products, vector.data());
      for (std::size_t list = 0; list < clusters.num_lists(); ++list) {
        const RowClusters::Sight sight = clusters.sight(products[list], std::sqrt(squares));
        for (std::size_t i = clusters.first_group(list) * 64; i < clusters.first_group(list + 1) * 64; ++i) {
          const ItemHandle item = clusters.order()[i];
          if (item == kNoHandle) continue;
          float score = 0;
          rows.dot(&score, vector.data(), item, 1);
          INFO("rows " << static_cast<int>(kind) << " dim " << dim << " query " << q << " row " << item);
          REQUIRE(sight.bound(clusters.group(i / 64)) >= static_cast<double>(score));
          REQUIRE(sight.bound(clusters.list(list)) >= static_cast<double>(score));
        }
      }
    }
  }
}

TEST_CASE("Lists that spare nothing are dropped, and those that spare much are kept", "[model][row_clusters]") {
  Generator random(3);
  const ScorerRows<float> flat(make_table(5000, 64, Rows::isotropic, random), ScoreKind::cosine);
  const RowClusters dropped(flat, {});
  CHECK(dropped.num_lists() == 0);
  CHECK(dropped.order().empty());
  CHECK(dropped.codes().size() == flat.size());
  CHECK(dropped.confidence() == 1);
  const ScorerRows<float> gathered(make_table(5000, 64, Rows::clustered, random), ScoreKind::cosine);
  const RowClusters kept(gathered, {});
  CHECK(kept.num_lists() == 68);
  CHECK(kept.sample_share() < 0.3);
  CHECK(kept.sample_recall() == 1);
  CHECK(kept.memory_bytes() > kept.codes().memory_bytes());
  CHECK(RowClusters(ScorerRows<float>(EmbeddingTable<float>(5, 8), ScoreKind::dot), {}).num_lists() == 0);
  CHECK(RowClusters(ScorerRows<float>(EmbeddingTable<float>(0, 8), ScoreKind::dot), {}).num_lists() == 0);
}

TEST_CASE("The confidence finds what is asked for of the samples, and less costs less", "[model][row_clusters]") {
  Generator random(4);
  const ScorerRows<float> rows(make_table(6000, 64, Rows::clustered, random), ScoreKind::cosine);
  const EmbeddingTable<float> queries = make_table(200, 64, Rows::clustered, random);
  std::vector<float> given;
  for (std::size_t q = 0; q < queries.rows(); ++q) {
    given.insert(given.end(), queries.row(q).begin(), queries.row(q).end());
  }
  for (const std::span<const float> samples : {std::span<const float>{}, std::span<const float>(given)}) {
    double confidence = 1, share = 1;
    for (const double recall : {1.0, 0.99, 0.9, 0.5}) {
      const RowClusters clusters(rows, {.recall = recall, .queries = samples, .largest_share = 1});
      CHECK(clusters.sample_recall() >= recall);
      CHECK(clusters.confidence() <= confidence);
      CHECK(clusters.sample_share() <= share);
      confidence = clusters.confidence();
      share = clusters.sample_share();
    }
    CHECK(confidence < 0.5);
  }
}

TEST_CASE("Lists are the same for any number of threads", "[model][row_clusters]") {
  Generator random(5);
  const ScorerRows<float> rows(make_table(9000, 30, Rows::clustered, random), ScoreKind::cosine);
  ThreadPool three(3);
  const RowClusters one(rows, {.recall = 0.95, .largest_share = 1});
  const RowClusters many(rows, {.recall = 0.95, .largest_share = 1, .executor = &three});
  CHECK(std::ranges::equal(one.order(), many.order()));
  CHECK(one.confidence() == many.confidence());
  CHECK(one.sample_share() == many.sample_share());
}

TEST_CASE("Lists of rows that are made late are those of rows that are there", "[model][row_clusters]") {
  Generator random(8);
  const auto table = std::make_shared<EmbeddingTable<float>>(make_table(3000, 20, Rows::clustered, random));
  const ScorerRows<float> rows(*table, ScoreKind::cosine);
  const ClusterOptions options{.rows_per_list = 100, .largest_share = 1};
  const RowClusters clusters(rows, options);
  const RowClusters late(ScorerRows<float>(table, ScoreKind::cosine, rows.scorable_bits()), options);
  REQUIRE(late.num_lists() == clusters.num_lists());
  CHECK(std::ranges::equal(late.order(), clusters.order()));
}

TEST_CASE("A row is loosened once", "[model][row_clusters]") {
  Generator random(6);
  const ScorerRows<float> rows(make_table(100, 8, Rows::isotropic, random), ScoreKind::cosine);
  RowClusters clusters(rows, {});
  for (const ItemHandle item : {ItemHandle{3}, ItemHandle{99}, ItemHandle{3}, ItemHandle{130}}) clusters.loosen(item);
  CHECK(std::ranges::equal(clusters.loose(), std::vector<ItemHandle>{3, 99, 130}));
  REQUIRE(clusters.loose_bits().size() == 3);
  CHECK(clusters.loose_bits()[0] == 8);
  CHECK(clusters.loose_bits()[2] == 4);
}

TEST_CASE("Impossible options are refused by name", "[model][row_clusters]") {
  Generator random(7);
  const ScorerRows<float> rows(make_table(100, 8, Rows::isotropic, random), ScoreKind::cosine);
  for (const double recall : {0.0, -1.0, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_AS(RowClusters(rows, {.recall = recall}), Error);
  }
  const std::vector<float> query(9);
  CHECK_THROWS_WITH(RowClusters(rows, {.queries = query}),
                    Catch::Contains("ClusterOptions::queries") && Catch::Contains("8") && Catch::Contains("9"));
}
