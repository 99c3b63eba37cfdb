// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/cosine_scorer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "attune/detail/kernels.hpp"
#include "attune/detail/reference_kernels.hpp"
#include "catch.hpp"
#include "serving/searches.hpp"

using namespace attune;
using namespace attune::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

enum class Rows { gaussian, one_hot, few_values, with_zeros };

EmbeddingTable<float> make_rows(std::size_t count, std::size_t dim, Rows kind, std::mt19937_64& random) {
  EmbeddingTable<float> table(count, dim);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < count; ++i) {
    const auto row = table.row(i);
    switch (kind) {
      case Rows::gaussian: std::ranges::generate(row, [&] { return normal(random); }); break;
      case Rows::one_hot: row[random() % dim] = 1; break;
      case Rows::few_values: std::ranges::generate(row, [&] { return static_cast<float>(random() % 2); }); break;
      case Rows::with_zeros:
        if (i % 3 != 0) std::ranges::generate(row, [&] { return normal(random); });
        if (i % 7 == 1) row[0] = std::numeric_limits<float>::quiet_NaN();
        break;
    }
  }
  return table;
}

bool has(std::span<const std::uint64_t> bits, std::size_t i) { return (bits[i / 64] >> (i % 64) & 1u) != 0; }

// The contract said in one pass: the reference kernel, every candidate, one full sort.
std::vector<ScoredHandle> brute_force(const CosineScorer<float>& scorer, std::span<const float> user_vector,
                                      std::span<const std::uint64_t> eligible, std::span<const float> additive,
                                      float scale, std::size_t k) {
  const ScorerRows<float>& rows = scorer.rows();
  Buffer<float> query;
  if (!rows.prepare(user_vector, query)) return {};
  std::vector<ScoredHandle> all;
  for (ItemHandle i = 0; i < rows.size(); ++i) {
    if (!has(eligible, i) || !rows.scorable(i)) continue;
    float score = 0;
    detail::reference::dot_rows(&score, query.take(rows.stride()).data(), rows.row(i), rows.stride(), rows.stride(), 1);
    score = scale * score + (additive.empty() ? 0.0f : additive[i]);
    if (std::isfinite(score)) all.push_back({i, score});
  }
  std::ranges::sort(all, ranks_before);
  all.resize(std::min(k, all.size()));
  return all;
}

}  // namespace

TEST_CASE("top_k equals a full sort of the reference scores, bit for bit", "[serving][cosine_scorer]") {
  std::mt19937_64 random(7);
  std::normal_distribution<float> normal;
  Workspace workspace;
  const auto rows_kind = GENERATE(Rows::gaussian, Rows::one_hot, Rows::few_values, Rows::with_zeros);
  const auto score_kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  for (const std::size_t dim : {1u, 15u, 16u, 50u, 64u}) {
    for (const std::size_t count : {1u, 63u, 64u, 65u, 500u}) {
      const float scale = random() % 2 == 0 ? 1.0f : 20.0f;
      const CosineScorer<float> scorer(ScorerRows<float>(make_rows(count, dim, rows_kind, random), score_kind), scale);
      std::vector<float> query(dim), additive(count);
      for (float& x : query) x = normal(random);
      for (float& x : additive) x = normal(random);
      additive[random() % count] = -kInfinity;
      additive[random() % count] = std::numeric_limits<float>::quiet_NaN();
      for (const double share : {1.0, 0.5, 0.1, 0.001, 0.0}) {
        const auto eligible = make_eligible(count, share, random);
        for (const std::size_t k : {std::size_t{0}, std::size_t{1}, std::size_t{10}, count, count + 1, 10 * count}) {
          for (const std::span<const float> terms : {std::span<const float>{}, std::span<const float>(additive)}) {
            const auto expected = brute_force(scorer, query, eligible, terms, scale, k);
            const auto found = scorer.top_k({.user_vector = query}, eligible, terms, k, workspace);
            REQUIRE(std::vector<ScoredHandle>(found.begin(), found.end()) == expected);
          }
        }
      }
    }
  }
}

TEST_CASE("score gives the bits of top_k, and -infinity for what top_k never returns (UR-15)",
          "[serving][cosine_scorer][UR-15]") {
  std::mt19937_64 random(8);
  const std::size_t count = 300;
  const CosineScorer<float> scorer(ScorerRows<float>(make_rows(count, 20, Rows::with_zeros, random), ScoreKind::cosine),
                                   3.0f);
  std::vector<float> query(20, 0.25f), additive(count, 0.5f);
  additive[2] = std::numeric_limits<float>::quiet_NaN();
  query[3] = -1;
  Workspace workspace;
  std::vector<ItemHandle> handles;
  for (ItemHandle i = 0; i < count + 100; ++i) handles.push_back(i);
  handles.push_back(kNoHandle);
  std::vector<float> scores(handles.size());
  scorer.score({.user_vector = query}, handles, additive, scores, workspace);

  const auto everything = make_eligible(count, 1.0, random);
  const auto ranked = scorer.top_k({.user_vector = query}, everything, additive, count, workspace);
  std::size_t finite = 0;
  for (const float score : scores) {
    REQUIRE(!std::isnan(score));
    finite += std::isfinite(score);
  }
  CHECK(ranked.size() == finite);
  for (const ScoredHandle& item : ranked) CHECK(scores[item.item] == item.score);
}

TEST_CASE("A query that is zero or not finite has no answer", "[serving][cosine_scorer][UR-27]") {
  std::mt19937_64 random(9);
  const CosineScorer<float> scorer(ScorerRows<float>(make_rows(70, 8, Rows::gaussian, random), ScoreKind::cosine));
  const auto everything = make_eligible(70, 1.0, random);
  Workspace workspace;
  for (const float bad : {0.0f, kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> query(8, 0.0f);
    query[5] = bad;
    CHECK(scorer.top_k({.user_vector = query}, everything, {}, 10, workspace).empty());
    const std::vector<ItemHandle> handles{0, 5};
    std::vector<float> scores(2);
    scorer.score({.user_vector = query}, handles, {}, scores, workspace);
    CHECK(scores == std::vector<float>{-kInfinity, -kInfinity});
  }
}

TEST_CASE("Denormal rows and queries give finite scores or none (UR-27)", "[serving][cosine_scorer][UR-27]") {
  EmbeddingTable<float> table(3, 16);
  std::ranges::fill(table.row(0), 1e-40f);
  std::ranges::fill(table.row(1), -1e-44f);
  std::ranges::fill(table.row(2), 1.0f);
  const CosineScorer<float> scorer(ScorerRows<float>(table, ScoreKind::cosine));
  Workspace workspace;
  const std::vector<std::uint64_t> everything{7};
  for (const float scale : {1.0f, 1e-40f}) {
    const std::vector<float> query(16, scale);
    for (const ScoredHandle& item : scorer.top_k({.user_vector = query}, everything, {}, 3, workspace)) {
      CHECK(std::isfinite(item.score));
      CHECK(std::abs(item.score) <= 1.00001f);
    }
  }
}

TEST_CASE("Equal scores come in the order of their handles", "[serving][cosine_scorer]") {
  EmbeddingTable<float> table(200, 4);
  for (std::size_t i = 0; i < 200; ++i) table.row(i)[i % 2] = 2.0f;
  const CosineScorer<float> scorer(ScorerRows<float>(table, ScoreKind::cosine));
  const std::vector<std::uint64_t> everything(4, ~std::uint64_t{0});
  const std::vector<float> query{0, 1, 0, 0};
  Workspace workspace;
  const auto best = scorer.top_k({.user_vector = query}, everything, {}, 150, workspace);
  REQUIRE(best.size() == 150);
  for (std::size_t i = 0; i < 100; ++i) CHECK(best[i] == ScoredHandle{static_cast<ItemHandle>(2 * i + 1), 1.0f});
  for (std::size_t i = 0; i < 50; ++i) CHECK(best[100 + i] == ScoredHandle{static_cast<ItemHandle>(2 * i), 0.0f});
}

TEST_CASE("Similarities are cosines of vectors whatever the scores are, and 0 where one is missing",
          "[serving][cosine_scorer]") {
  std::mt19937_64 random(11);
  const std::size_t count = 100, dim = 20;
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  EmbeddingTable<float> table = make_rows(count, dim, Rows::with_zeros, random);
  for (float& x : table.row(2)) x *= 1e3f;
  for (float& x : table.row(4)) x = 3e30f;  // its dot product with itself is no float
  const CosineScorer<float> scorer(ScorerRows<float>(table, kind), 3.0f);
  std::vector<ItemHandle> handles{kNoHandle, count, 5, 4};
  for (ItemHandle i = 0; i < count; ++i) handles.push_back(i);
  const auto product = [&](ItemHandle a, ItemHandle b) {
    double sum = 0;
    for (std::size_t d = 0; d < dim; ++d) {
      sum += static_cast<double>(table.row(a)[d]) * static_cast<double>(table.row(b)[d]);
    }
    return sum;
  };
  std::vector<float> cosines(handles.size());
  for (const ItemHandle item : handles) {
    std::ranges::fill(cosines, 9.0f);
    scorer.similarities(item, handles, cosines);
    for (std::size_t i = 0; i < handles.size(); ++i) {
      const ItemHandle other = handles[i];
      const bool compared = scorer.scorable(item) && scorer.scorable(other);
      const bool too_long = kind == ScoreKind::dot && (item == 4 || other == 4);
      if (compared && !too_long) {
        REQUIRE(std::abs(cosines[i] - product(item, other) / std::sqrt(product(item, item) * product(other, other))) <
                1e-5);
      } else {
        REQUIRE(cosines[i] == 0.0f);
      }
    }
  }
  scorer.similarities(1, {}, {});
}

TEST_CASE("The gradient of a score is its slope in every direction", "[serving][cosine_scorer]") {
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  std::mt19937_64 random(7);
  const EmbeddingTable<float> table = make_rows(20, 12, Rows::gaussian, random);
  const CosineScorer<float> scorer(ScorerRows<float>(table, kind), 3.0f);
  std::normal_distribution<float> normal;
  std::vector<float> vector(12), gradient(12);
  for (float& x : vector) x = 2 * normal(random);
  Workspace workspace;
  const auto score_at = [&](std::size_t d, float step, ItemHandle item) {
    std::vector<float> moved = vector;
    moved[d] += step;
    float score = 0;
    scorer.score({.user_vector = moved}, {&item, 1}, {}, {&score, 1}, workspace);
    return score;
  };
  for (const ItemHandle item : {0u, 7u, 19u}) {
    scorer.gradient(gradient, vector, item);
    for (std::size_t d = 0; d < vector.size(); ++d) {
      const float slope = (score_at(d, 0.01f, item) - score_at(d, -0.01f, item)) / 0.02f;
      CHECK(gradient[d] == Approx(slope).margin(2e-3));
    }
  }
}
