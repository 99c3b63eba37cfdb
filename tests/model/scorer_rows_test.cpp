// SPDX-License-Identifier: Apache-2.0
#include "attune/model/scorer_rows.hpp"

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <utility>

#include "attune/detail/kernels.hpp"
#include "catch.hpp"

using namespace attune;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

EmbeddingTable<float> table_of(const std::vector<std::vector<float>>& rows) {
  EmbeddingTable<float> table(rows.size(), rows.at(0).size());
  for (std::size_t i = 0; i < rows.size(); ++i) std::ranges::copy(rows[i], table.row(i).begin());
  return table;
}

std::vector<float> row_of(const ScorerRows<float>& rows, std::size_t item) {
  return {rows.row(item), rows.row(item) + rows.dim()};
}

}  // namespace

TEST_CASE("Rows are normalised for cosine and kept for dot", "[model][scorer_rows]") {
  const auto table = table_of({{3, 4, 0}, {0, -2, 0}});
  const ScorerRows<float> cosine(table, ScoreKind::cosine), dot(table, ScoreKind::dot);
  CHECK(row_of(cosine, 0) == std::vector<float>{0.6f, 0.8f, 0.0f});
  CHECK(row_of(cosine, 1) == std::vector<float>{0, -1, 0});
  CHECK(row_of(dot, 0) == std::vector<float>{3, 4, 0});
  CHECK(cosine.kind() == ScoreKind::cosine);
  CHECK(dot.kind() == ScoreKind::dot);
}

TEST_CASE("Rows are padded with zeros to whole lanes and aligned", "[model][scorer_rows]") {
  for (const std::size_t dim : {1u, 15u, 16u, 17u, 50u, 64u}) {
    const ScorerRows<float> rows(table_of(std::vector(3, std::vector<float>(dim, 1.0f))), ScoreKind::dot);
    CHECK(rows.dim() == dim);
    CHECK(rows.stride() == (dim + 15) / 16 * 16);
    CHECK(reinterpret_cast<std::uintptr_t>(rows.row(0)) % 64 == 0);
    for (std::size_t item = 0; item < 3; ++item) {
      for (std::size_t d = 0; d < rows.stride(); ++d) REQUIRE(rows.row(item)[d] == (d < dim ? 1.0f : 0.0f));
    }
  }
}

TEST_CASE("A row without a direction or with something not finite is unscorable and zero", "[model][scorer_rows]") {
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const ScorerRows<float> rows(
      table_of(
          {{1, 0}, {0, 0}, {kNaN, 1}, {1, kInfinity}, {-kInfinity, kNaN}, {1e-31f, -1e-31f}, {-0.0f, 0.0f}, {0, 2}}),
      kind);
  CHECK(rows.size() == 8);
  CHECK(rows.num_scorable() == 2);
  for (ItemHandle item = 0; item < 8; ++item) {
    const bool good = item == 0 || item == 7;
    CHECK(rows.scorable(item) == good);
    if (!good) CHECK(row_of(rows, item) == std::vector<float>{0, 0});
  }
  CHECK_FALSE(rows.scorable(8));
  CHECK_FALSE(rows.scorable(kNoHandle));
  CHECK(rows.scorable_bits()[0] == 0x81);
}

TEST_CASE("The largest and the shortest vectors are normalised without overflow", "[model][scorer_rows]") {
  const float largest = std::numeric_limits<float>::max();
  const ScorerRows<float> rows(table_of({{largest, largest}, {3e-30f, 4e-30f}}), ScoreKind::cosine);
  CHECK(rows.num_scorable() == 2);
  CHECK(rows.row(0)[0] == Approx(std::sqrt(0.5f)));
  CHECK(rows.row(1)[0] == Approx(0.6f));
}

TEST_CASE("Elements that would only make a scan slow are zero", "[model][scorer_rows]") {
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const ScorerRows<float> rows(table_of({{1, 1e-31f, -std::numeric_limits<float>::denorm_min(), 1e-29f}}), kind);
  CHECK(row_of(rows, 0) == std::vector<float>{1, 0, 0, 1e-29f});
}

TEST_CASE("A query is prepared as the rows are", "[model][scorer_rows]") {
  const auto table = table_of({{1, 0, 0}});
  const ScorerRows<float> cosine(table, ScoreKind::cosine), dot(table, ScoreKind::dot);
  Buffer<float> query;
  const std::vector<float> vector{3, 0, -4};
  REQUIRE(cosine.prepare(vector, query));
  CHECK(query.take(16)[0] == 0.6f);
  CHECK(query.take(16)[2] == -0.8f);
  CHECK(query.take(16)[3] == 0.0f);
  REQUIRE(dot.prepare(vector, query));
  CHECK(query.take(16)[0] == 3.0f);
  for (const std::vector<float>& nothing :
       {std::vector<float>{0, 0, 0}, {kNaN, 1, 1}, {1, kInfinity, 1}, {1e-31f, 0, 0}}) {
    CHECK_FALSE(cosine.prepare(nothing, query));
    CHECK_FALSE(dot.prepare(nothing, query));
  }
}

TEST_CASE("Scores are the library's dot product of prepared query and rows", "[model][scorer_rows]") {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> vectors(70, std::vector<float>(50));
  for (auto& vector : vectors) {
    for (float& element : vector) element = normal(random);
  }
  const ScorerRows<float> rows(table_of(vectors), ScoreKind::cosine);
  Buffer<float> query;
  REQUIRE(rows.prepare(vectors[7], query));
  std::vector<float> scores(40), expected(40);
  rows.dot(scores.data(), query.take(rows.stride()).data(), 5, 40);
  detail::reference_kernels<float>().dot_rows(expected.data(), query.take(rows.stride()).data(), rows.row(5),
                                              rows.stride(), rows.stride(), 40);
  CHECK(scores == expected);
  CHECK(scores[2] == Approx(1.0f));
  for (const float score : scores) CHECK(std::abs(score) <= 1.0f + 1e-6f);
}

TEST_CASE("Rows in codes keep the float rows and take what the documentation says", "[model][scorer_rows]") {
  std::vector<std::vector<float>> vectors(128, std::vector<float>(64, 0.5f));
  for (std::size_t i = 0; i < vectors.size(); ++i) vectors[i][i % 64] = 2;
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const ScorerRows<float> rows(table_of(vectors), kind);
  const ScorerRows<std::int8_t> int8(table_of(vectors), kind);
  const ScorerRows<Int4> int4(table_of(vectors), kind);
  CHECK(row_of(int8.exact(), 77) == row_of(rows, 77));
  CHECK(row_of(int4.exact(), 77) == row_of(rows, 77));
  const std::size_t norms = kind == ScoreKind::dot ? 128 * 4 : 0;
  CHECK(int8.memory_bytes() == rows.memory_bytes() + 128 * 66 + norms);
  CHECK(int4.memory_bytes() == rows.memory_bytes() + 128 * 34 + norms);
}

TEST_CASE("A table without rows has nothing to score", "[model][scorer_rows]") {
  const ScorerRows<float> rows(EmbeddingTable<float>(0, 8), ScoreKind::cosine);
  CHECK(rows.size() == 0);
  CHECK(rows.num_scorable() == 0);
  CHECK_FALSE(rows.scorable(0));
}

TEST_CASE("Rows change, come and go one by one", "[model][scorer_rows]") {
  ScorerRows<float> rows(table_of({{3, 4}, {0, 0}}), ScoreKind::cosine);
  rows.set(1, std::vector<float>{0, -2});
  CHECK(rows.num_scorable() == 2);
  CHECK(row_of(rows, 1) == std::vector<float>{0, -1});
  rows.set(0, std::vector<float>{kNaN, 1});
  CHECK_FALSE(rows.scorable(0));
  CHECK(row_of(rows, 0) == std::vector<float>{0, 0});
  for (std::size_t item = 2; item < 200; ++item) rows.set(item, std::vector<float>{2, 0});
  CHECK(rows.size() == 200);
  CHECK(rows.num_scorable() == 199);
  CHECK(rows.scorable_bits().size() == 4);
  CHECK(row_of(rows, 1) == std::vector<float>{0, -1});
  CHECK(row_of(rows, 199) == std::vector<float>{1, 0});
  CHECK(reinterpret_cast<std::uintptr_t>(rows.row(0)) % 64 == 0);
  rows.erase(5);
  rows.erase(5);
  rows.erase(0);
  CHECK_FALSE(rows.scorable(5));
  CHECK(rows.num_scorable() == 198);
  rows.set(5, std::vector<float>{0, 1});
  CHECK(rows.scorable(5));
  CHECK(rows.num_scorable() == 199);
}

TEST_CASE("Rows that are made late are the rows that were made at once, however they are read",
          "[model][scorer_rows]") {
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  std::mt19937_64 random(4);
  std::normal_distribution<float> normal;
  constexpr std::size_t kRows = 150, kDim = 20;
  auto table = std::make_shared<EmbeddingTable<float>>(kRows, kDim);
  for (std::size_t item = 0; item < kRows; ++item) {
    for (float& x : table->row(item)) x = item % 7 == 3 ? 0.0f : normal(random);
  }
  const ScorerRows<float> expected(*table, kind);
  const auto late = [&] { return ScorerRows<float>(table, kind, expected.scorable_bits()); };
  const auto check = [&](const ScorerRows<float>& rows) {
    CHECK(rows.num_scorable() == expected.num_scorable());
    for (std::size_t item = 0; item < kRows; ++item) {
      REQUIRE(rows.scorable(static_cast<ItemHandle>(item)) == expected.scorable(static_cast<ItemHandle>(item)));
      REQUIRE(row_of(rows, item) == row_of(expected, item));
    }
  };
  check(late());

  Buffer<float> query;
  REQUIRE(expected.prepare(std::as_const(*table).row(0), query));
  const float* const prepared = query.take(expected.stride()).data();
  const std::vector<ItemHandle> some{149, 3, 77};
  std::vector<float> scores(kRows), all(kRows), of_some(some.size());
  expected.dot(all.data(), prepared, 0, kRows);
  ScorerRows<float> rows = late();
  for (const ItemHandle item : some) rows.prefetch(item);
  rows.dot_at(of_some.data(), prepared, some);
  for (std::size_t i = 0; i < some.size(); ++i) CHECK(of_some[i] == all[some[i]]);
  rows.dot(scores.data(), prepared, 0, kRows);
  CHECK(scores == all);

  ScorerRows<float> at_once = late();
  at_once.make_all();
  for (std::size_t item = 0; item < kRows; ++item) {
    REQUIRE(std::equal(at_once.row(0) + item * at_once.stride(), at_once.row(0) + (item + 1) * at_once.stride(),
                       expected.row(item)));
  }
  ScorerRows<float> changed = late();
  std::vector<float> vector(kDim);
  vector[1] = 5;
  changed.erase(0);
  changed.set(kRows, vector);
  CHECK(changed.size() == kRows + 1);
  CHECK_FALSE(changed.scorable(0));
  CHECK(changed.row(kRows)[1] == (kind == ScoreKind::cosine ? 1.0f : 5.0f));
  changed.set(kRows, std::vector<float>(kDim));
  changed.set(0, std::as_const(*table).row(0));
  check(changed);
}
