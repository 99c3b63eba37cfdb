// SPDX-License-Identifier: Apache-2.0

// Rows in lists while they come, change and go, and answers that may miss something. That proven answers are those of
// the float rows, whatever the rows, is in certified_scan_test.cpp.

#include <algorithm>
#include <random>
#include <vector>

#include "attune/serving/cosine_scorer.hpp"
#include "catch.hpp"
#include "serving/searches.hpp"

using namespace attune;
using namespace attune::test;

namespace {

using Generator = std::mt19937_64;
constexpr std::size_t kDim = 32;

// Near one of fifty directions, or anywhere.
std::vector<float> make_vector(bool clustered, Generator& random) {
  std::normal_distribution<float> normal;
  Generator centre(random() % 50);
  std::normal_distribution<float> of_centre;
  std::vector<float> vector(kDim);
  for (float& x : vector) x = (clustered ? 0.5f : 1.0f) * normal(random) + (clustered ? of_centre(centre) : 0.0f);
  return vector;
}

EmbeddingTable<float> make_table(std::size_t count, bool clustered, Generator& random) {
  EmbeddingTable<float> table(count, kDim);
  for (std::size_t i = 0; i < count; ++i) std::ranges::copy(make_vector(clustered, random), table.row(i).begin());
  return table;
}

double recall(std::span<const ScoredHandle> found, std::span<const ScoredHandle> best) {
  const auto hits =
      std::ranges::count_if(best, [&](const ScoredHandle& item) { return std::ranges::count(found, item) != 0; });
  return best.empty() ? 1 : static_cast<double>(hits) / static_cast<double>(best.size());
}

}  // namespace

TEST_CASE("Rows that come, change and go are in the next answer as they are", "[serving][pruned_search]") {
  Generator random(1);
  const auto score_kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const bool clustered = GENERATE(true, false);  // false: there are no lists
  const EmbeddingTable<float> table = make_table(4000, clustered, random);
  CosineScorer<Clustered> scorer(ScorerRows<Clustered>(table, score_kind, {.rows_per_list = 100}), 3.0f);
  CosineScorer<float> expected(ScorerRows<float>(table, score_kind), 3.0f);
  REQUIRE((scorer.rows().clusters().num_lists() != 0) == clustered);
  Workspace workspace, other;
  for (int step = 0; step < 300; ++step) {
    std::vector<float> query = make_vector(clustered, random);
    std::size_t changed = 0;
    for (int change = 0; change < 3; ++change) {
      const bool comes = random() % 3 == 0;
      const auto item = static_cast<ItemHandle>(comes ? scorer.size() : random() % scorer.size());
      if (comes || random() % 2 == 0) {
        std::vector<float> vector = make_vector(clustered, random);
        if (random() % 10 == 0) std::ranges::fill(vector, 0.0f);
        if (random() % 3 == 0) {  // hardly changed, and asked about: what was there before must not be found as well
          std::ranges::copy(table.row(item % 4000), vector.begin());
          query = vector;
          query[0] += 0.01f;
        }
        changed = item;
        scorer.rows().set(item, vector);
        expected.rows().set(item, vector);
      } else {
        scorer.rows().erase(item);
        expected.rows().erase(item);
      }
    }
    std::vector<float> terms(step % 3 == 0 ? scorer.size() : 0);
    for (float& term : terms) term = 0.1f * static_cast<float>(random() % 9);
    if (!terms.empty()) terms[changed] = 2;
    const auto eligible = make_eligible(scorer.size(), step % 2 == 0 ? 1.0 : 0.5, random);
    REQUIRE(copied(scorer.top_k({.user_vector = query}, eligible, terms, 10, workspace)) ==
            copied(expected.top_k({.user_vector = query}, eligible, terms, 10, other)));
  }
  CHECK(scorer.rows().worn());
}

TEST_CASE("A new row that is the best is found at once, and not once it has gone", "[serving][pruned_search]") {
  Generator random(2);
  CosineScorer<Clustered> scorer(
      ScorerRows<Clustered>(make_table(4000, true, random), ScoreKind::cosine, {.recall = 0.9}));
  REQUIRE(scorer.rows().clusters().confidence() < 1);
  CHECK_FALSE(scorer.rows().worn());
  const std::vector<float> query = make_vector(true, random);
  const std::vector<std::uint64_t> all(64, ~std::uint64_t{0});
  Workspace workspace;
  scorer.rows().set(4000, query);
  CHECK(scorer.top_k({.user_vector = query}, all, {}, 1, workspace)[0].item == 4000);
  scorer.rows().set(7, query);
  const auto both = scorer.top_k({.user_vector = query}, all, {}, 2, workspace);
  REQUIRE(both.size() == 2);
  CHECK((both[0].item == 7 && both[1].item == 4000));
  scorer.rows().erase(7);
  CHECK(scorer.top_k({.user_vector = query}, all, {}, 1, workspace)[0].item == 4000);
}

TEST_CASE("An answer that may miss something finds what was asked for, with filters and terms as well",
          "[serving][pruned_search][slow]") {
  Generator random(3);
  const EmbeddingTable<float> table = make_table(20'000, true, random);
  const CosineScorer<float> exact(ScorerRows<float>(table, ScoreKind::cosine));
  Workspace workspace, other;
  for (const double asked : {0.8, 0.99}) {
    const CosineScorer<Clustered> scorer(ScorerRows<Clustered>(table, ScoreKind::cosine, {.recall = asked}));
    REQUIRE(scorer.rows().clusters().confidence() < 1);
    CHECK(scorer.rows().clusters().sample_share() < 0.1);
    for (const double share : {1.0, 0.5, 0.1, 0.03}) {
      for (const bool with_terms : {false, true}) {
        std::vector<float> terms(with_terms ? table.rows() : 0);
        for (float& term : terms) term = random() % 500 == 0 ? 0.4f : 0.05f;
        double sum = 0;
        for (int q = 0; q < 200; ++q) {
          const std::vector<float> query = make_vector(true, random);
          const auto eligible = make_eligible(table.rows(), share, random);
          const auto found = scorer.top_k({.user_vector = query}, eligible, terms, 10, workspace);
          CHECK(found.size() == 10);
          CHECK(std::ranges::is_sorted(found, ranks_before));
          sum += recall(found, exact.top_k({.user_vector = query}, eligible, terms, 10, other));
        }
        INFO("asked " << asked << " eligible " << share << " terms " << with_terms);
        CHECK(sum / 200 >= asked);
      }
    }
  }
}

TEST_CASE("Where a filter leaves few, all of them are found", "[serving][pruned_search]") {
  Generator random(4);
  const EmbeddingTable<float> table = make_table(20'000, true, random);
  const CosineScorer<float> exact(ScorerRows<float>(table, ScoreKind::cosine));
  const CosineScorer<Clustered> scorer(ScorerRows<Clustered>(table, ScoreKind::cosine, {.recall = 0.5}));
  REQUIRE(scorer.rows().clusters().confidence() < 1);
  Workspace workspace, other;
  for (const double share : {0.0, 0.0001, 0.001, 0.005}) {
    for (int q = 0; q < 50; ++q) {
      const std::vector<float> query = make_vector(true, random);
      const auto eligible = make_eligible(table.rows(), share, random);
      REQUIRE(copied(scorer.top_k({.user_vector = query}, eligible, {}, 10, workspace)) ==
              copied(exact.top_k({.user_vector = query}, eligible, {}, 10, other)));
    }
  }
  // Handles side by side, where a look at some words of the filter sees nothing, and everything.
  for (const std::size_t first : {std::size_t{64}, std::size_t{0}}) {
    std::vector<std::uint64_t> eligible((table.rows() + 63) / 64);
    for (std::size_t i = first; i < first + 60; i += 9) eligible[i / 64] |= std::uint64_t{1} << (i % 64);
    const std::vector<float> query = make_vector(true, random);
    CHECK(copied(scorer.top_k({.user_vector = query}, eligible, {}, 10, workspace)) ==
          copied(exact.top_k({.user_vector = query}, eligible, {}, 10, other)));
  }
}
