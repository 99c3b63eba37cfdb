// SPDX-License-Identifier: Apache-2.0

// Storages in codes against the float rows: the same items and the same bits, whatever the rows, the terms, the filter.
// The hidden case [long] asks 100,000 queries.

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "attune/serving/cosine_scorer.hpp"
#include "catch.hpp"
#include "serving/searches.hpp"

using namespace attune;
using namespace attune::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
using Generator = std::mt19937_64;

enum class Rows {
  isotropic,
  clustered,
  skewed,
  one_hot,
  few_values,
  duplicates,
  near_ties,
  outliers,
  lengths,
  opposite,
  mixed
};
constexpr Rows kAllRows[] = {Rows::isotropic,  Rows::clustered,  Rows::skewed,    Rows::one_hot,
                             Rows::few_values, Rows::duplicates, Rows::near_ties, Rows::outliers,
                             Rows::lengths,    Rows::opposite,   Rows::mixed};

void fill_normal(std::span<float> row, Generator& random) {
  std::normal_distribution<float> normal;
  std::ranges::generate(row, [&] { return normal(random); });
}

void fill_row(EmbeddingTable<float>& table, std::size_t i, Rows kind, Generator& random) {
  const std::span<float> row = table.row(i);
  std::normal_distribution<float> normal;
  fill_normal(row, random);
  switch (kind) {
    case Rows::isotropic: break;
    case Rows::clustered: {
      Generator centre(i % 5);
      for (float& x : row) x = 0.7f * x + 0.7f * std::normal_distribution<float>()(centre);
      break;
    }
    case Rows::skewed:
      for (std::size_t d = 0; d < row.size(); ++d) row[d] /= 1 + 0.35f * static_cast<float>(d);
      row[0] += 1;
      break;
    case Rows::one_hot:
      std::ranges::fill(row, 0.0f);
      row[random() % row.size()] = random() % 2 == 0 ? 1.0f : -3.0f;
      break;
    case Rows::few_values: std::ranges::generate(row, [&] { return static_cast<float>(random() % 2); }); break;
    case Rows::duplicates:
      if (i >= 3) std::ranges::copy(table.row(i % 3), row.begin());
      break;
    case Rows::near_ties:
      if (i > 0) {
        std::ranges::copy(table.row(0), row.begin());
        for (int change = 0; change < 2; ++change) {
          float& x = row[random() % row.size()];
          x = std::nextafter(x, random() % 2 == 0 ? kInfinity : -kInfinity);
        }
      }
      break;
    case Rows::outliers:
      if (i % 17 == 0) row[random() % row.size()] *= 1e4f;
      break;
    case Rows::lengths: {
      // Of tables of an odd size so far apart that no bound holds.
      const float length = std::exp2((table.rows() % 2 == 0 ? 15.0f : 60.0f) * normal(random));
      for (float& x : row) x *= length;
      break;
    }
    case Rows::opposite:
      if (i % 2 == 1) {
        for (std::size_t d = 0; d < row.size(); ++d) row[d] = -table.row(i - 1)[d];
      }
      break;
    case Rows::mixed: fill_row(table, i, kAllRows[random() % 10], random);
  }
  if (random() % 50 == 0) std::ranges::fill(row, 0.0f);
  if (random() % 50 == 0) row[0] = std::numeric_limits<float>::quiet_NaN();
}

enum class Terms { none, like_scores, huge_spread, constant, infinite };
constexpr Terms kAllTerms[] = {Terms::none, Terms::like_scores, Terms::huge_spread, Terms::constant, Terms::infinite};

std::vector<float> make_terms(std::size_t count, Terms kind, Generator& random) {
  if (kind == Terms::none) return {};
  std::vector<float> terms(count);
  std::normal_distribution<float> normal;
  for (float& x : terms) {
    switch (kind) {
      case Terms::none: break;
      case Terms::like_scores: x = 0.3f * normal(random); break;
      case Terms::huge_spread: x = normal(random) * std::pow(10.0f, 12 * normal(random)); break;
      case Terms::constant: x = -7.5f; break;
      case Terms::infinite:
        x = random() % 3 == 0 ? -kInfinity : random() % 9 == 0 ? kInfinity : normal(random);
        if (random() % 9 == 0) x = std::numeric_limits<float>::quiet_NaN();
    }
  }
  return terms;
}

// As many lists as rows, one list, or something between.
std::size_t rows_per_list(const EmbeddingTable<float>& table) {
  return std::array<std::size_t, 3>{1, 50, 2000}[table.rows() < 200 ? 0 : table.dim() % 2 + 1];
}

struct Scorers {
  Scorers(const EmbeddingTable<float>& table, ScoreKind kind, float scale)
      : exact(ScorerRows<float>(table, kind), scale),
        int8(ScorerRows<std::int8_t>(table, kind), scale),
        int4(ScorerRows<Int4>(table, kind), scale),
        clustered(ScorerRows<Clustered>(table, kind, {.rows_per_list = rows_per_list(table), .largest_share = 1}),
                  scale) {}
  CosineScorer<float> exact;
  CosineScorer<std::int8_t> int8;
  CosineScorer<Int4> int4;
  CosineScorer<Clustered> clustered;
};

// A query that is like nothing, like a row, near a row, or between two rows.
std::vector<float> make_query(const EmbeddingTable<float>& table, Generator& random) {
  std::vector<float> query(table.dim());
  fill_normal(query, random);
  const auto kind = random() % 4;
  const auto row = table.row(random() % table.rows()), other = table.row(random() % table.rows());
  for (std::size_t d = 0; d < query.size() && kind != 0; ++d) {
    query[d] = kind == 1 ? row[d] : kind == 2 ? row[d] + 0.05f * query[d] : row[d] + other[d];
  }
  return query;
}

// Asks queries of many kinds about rows of one kind; how many.
std::size_t compare_storages(Rows kind, ScoreKind score_kind, std::size_t seed) {
  Generator random(seed);
  Workspace workspace, other;
  std::size_t queries = 0;
  for (const std::size_t dim : {1u, 3u, 16u, 50u, 64u, 100u}) {
    for (const std::size_t count : {1u, 64u, 100u, 777u, 6000u}) {
      if (count == 6000 && dim != 50 && dim != 64) continue;
      EmbeddingTable<float> table(count, dim);
      for (std::size_t i = 0; i < count; ++i) fill_row(table, i, kind, random);
      const Scorers scorers(table, score_kind, std::array{1.0f, 1.0f, 13.0f, 13.0f, 1e-30f, 0.0f, -2.0f}[random() % 7]);
      for (const Terms terms_kind : kAllTerms) {
        const std::vector<float> terms = make_terms(count, terms_kind, random);
        const double share = std::array{1.0, 0.97, 0.3, 0.02}[random() % 4];
        const auto eligible = make_eligible(count, share, random);
        const std::vector<float> query = make_query(table, random);
        for (const std::size_t k :
             {std::size_t{0}, std::size_t{1}, std::size_t{10}, std::size_t{100}, count / 20, count + 1}) {
          INFO("rows " << static_cast<int>(kind) << " dim " << dim << " count " << count << " terms "
                       << static_cast<int>(terms_kind) << " share " << share << " k " << k);
          const auto expected = scorers.exact.top_k({.user_vector = query}, eligible, terms, k, workspace);
          REQUIRE(copied(scorers.int8.top_k({.user_vector = query}, eligible, terms, k, other)) == copied(expected));
          REQUIRE(copied(scorers.int4.top_k({.user_vector = query}, eligible, terms, k, other)) == copied(expected));
          REQUIRE(copied(scorers.clustered.top_k({.user_vector = query}, eligible, terms, k, other)) ==
                  copied(expected));
          ++queries;
        }
      }
    }
  }
  return queries;
}

// The same of batches; how many queries.
std::size_t compare_batches(Rows kind, ScoreKind score_kind, std::size_t seed) {
  Generator random(seed);
  Workspace workspace, other;
  std::size_t asked = 0;
  for (const auto& [count, dim] : {std::pair{40u, 16u}, {4200u, 24u}, {5000u, 64u}}) {
    EmbeddingTable<float> table(count, dim);
    for (std::size_t i = 0; i < count; ++i) fill_row(table, i, kind, random);
    const Scorers scorers(table, score_kind, std::array{1.0f, 1.0f, 13.0f, -2.0f}[random() % 4]);
    for (const std::size_t size : {0u, 1u, 5u, 40u}) {
      const double share = std::array{1.0, 0.9, 0.3, 0.02}[random() % 4];
      const auto eligible = make_eligible(count, share, random);
      std::vector<std::vector<float>> vectors(size);
      std::vector<std::vector<ItemHandle>> excluded(size);
      std::vector<BatchedQuery> of_float, of_int8, of_int4;
      for (std::size_t q = 0; q < size; ++q) {
        vectors[q] = make_query(table, random);
        if (random() % 20 == 0) std::ranges::fill(vectors[q], 0.0f);
        for (std::size_t i = random() % 50; i > 0; --i) {
          excluded[q].push_back(static_cast<ItemHandle>(random() % (count + 70)));
        }
        std::ranges::sort(excluded[q]);
        const std::size_t k = std::array<std::size_t, 6>{0, 1, 10, 100, 1000, count + 1}[random() % 6];
        of_float.push_back({.user_vector = vectors[q], .excluded = excluded[q], .k = k, .best = {{1, 2.0f}}});
      }
      of_int8 = of_int4 = of_float;
      scorers.exact.top_k_batch(of_float, eligible, workspace);
      scorers.int8.top_k_batch(of_int8, eligible, workspace);
      scorers.int4.top_k_batch(of_int4, eligible, workspace);
      for (std::size_t q = 0; q < size; ++q) {
        INFO("rows " << static_cast<int>(kind) << " dim " << dim << " count " << count << " share " << share
                     << " batch " << size << " query " << q << " k " << of_float[q].k);
        auto own = eligible;
        for (const ItemHandle item : excluded[q]) {
          if (item < count) own[item / 64] &= ~(std::uint64_t{1} << (item % 64));
        }
        const auto expected = copied(scorers.exact.top_k({.user_vector = vectors[q]}, own, {}, of_float[q].k, other));
        REQUIRE(of_float[q].best == expected);
        REQUIRE(of_int8[q].best == expected);
        REQUIRE(of_int4[q].best == expected);
        ++asked;
      }
    }
  }
  return asked;
}

}  // namespace

TEST_CASE("Storages in codes answer as the float rows do, bit for bit", "[serving][certified_scan][slow]") {
  const auto kind = GENERATE(from_range(std::begin(kAllRows), std::end(kAllRows)));
  const auto score_kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  CHECK(compare_storages(kind, score_kind, 0) > 500);
}

TEST_CASE("Batches are answered as one query after the other, bit for bit", "[serving][certified_scan][slow]") {
  const auto kind = GENERATE(from_range(std::begin(kAllRows), std::end(kAllRows)));
  const auto score_kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  CHECK(compare_batches(kind, score_kind, 0) == 3 * 46);
}

TEST_CASE("A batch may have more queries than are looked at together", "[serving][certified_scan]") {
  Generator random(7);
  EmbeddingTable<float> table(4500, 16);
  for (std::size_t i = 0; i < table.rows(); ++i) fill_row(table, i, Rows::isotropic, random);
  const CosineScorer<std::int8_t> scorer(ScorerRows<std::int8_t>(table, ScoreKind::cosine));
  const auto eligible = make_eligible(table.rows(), 1.0, random);
  std::vector<std::vector<float>> vectors(130);
  std::vector<BatchedQuery> queries;
  for (auto& vector : vectors) {
    vector = make_query(table, random);
    queries.push_back({.user_vector = vector});
  }
  Workspace workspace;
  scorer.top_k_batch(queries, eligible, workspace);
  for (const BatchedQuery& query : queries) {
    REQUIRE(query.best == copied(scorer.top_k({.user_vector = query.user_vector}, eligible, {}, 10, workspace)));
  }
}

TEST_CASE("A hundred thousand queries are answered as the float rows do", "[.long][serving][certified_scan]") {
  std::size_t queries = 0;
  for (std::size_t seed = 1; queries < 100'000; ++seed) {
    for (const Rows kind : kAllRows) {
      for (const ScoreKind score_kind : {ScoreKind::cosine, ScoreKind::dot}) {
        queries += compare_storages(kind, score_kind, seed) + compare_batches(kind, score_kind, seed);
      }
    }
  }
}

TEST_CASE("Storages in codes name the same neighbours and give the same scores", "[serving][certified_scan]") {
  Generator random(5);
  EmbeddingTable<float> table(3000, 50);
  for (std::size_t i = 0; i < table.rows(); ++i) fill_row(table, i, Rows::mixed, random);
  const Scorers scorers(table, ScoreKind::cosine, 20.0f);
  const auto eligible = make_eligible(table.rows(), 0.9, random);
  Workspace workspace, other;
  std::vector<ItemHandle> handles;
  for (ItemHandle item = 0; item < 3100; item += 7) handles.push_back(item);
  std::vector<float> scores(handles.size()), expected_scores(handles.size());
  for (ItemHandle item = 0; item < 200; ++item) {
    REQUIRE(scorers.int4.scorable(item) == scorers.exact.scorable(item));
    if (!scorers.exact.scorable(item)) continue;
    const Neighbours expected = scorers.exact.similar(item, eligible, 20, workspace);
    const Neighbours found = scorers.int4.similar(item, eligible, 20, other);
    REQUIRE(copied(found.items) == copied(expected.items));
    REQUIRE(found.kind == expected.kind);
    const Query query{.user_vector = table.row(item)};
    scorers.exact.score(query, handles, {}, expected_scores, workspace);
    scorers.int8.score(query, handles, {}, scores, other);
    REQUIRE(scores == expected_scores);
  }
}
