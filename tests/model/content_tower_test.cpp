// SPDX-License-Identifier: Apache-2.0
#include "attune/model/content_tower.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "attune/error.hpp"
#include "catch.hpp"

using namespace attune;
using Catch::Matchers::Contains;

namespace {

constexpr std::size_t kDim = 5;

FeatureSpec feature(const std::string& name, FeatureKind kind) {
  FeatureSpec spec;
  spec.name = name;
  spec.kind = kind;
  return spec;
}

// Items with two letters and a vector; those of every seventh row say nothing, and every fifth has no vector.
struct Items {
  explicit Items(std::size_t count, unsigned seed = 1) : records(count), vectors(count, kDim) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<std::vector<float>> meaning(26, std::vector<float>(kDim));
    for (auto& of_letter : meaning) {
      for (float& x : of_letter) x = normal(random);
    }
    for (std::size_t row = 0; row < count; ++row) {
      const std::size_t first = random() % 26, second = (first + 1 + random() % 25) % 26;
      const std::string names{static_cast<char>('a' + first), '|', static_cast<char>('a' + second)};
      const std::vector<float> vector{normal(random), normal(random), normal(random)};
      for (std::size_t d = 0; d < kDim; ++d) {
        vectors.row(row)[d] = 3 + meaning[first][d] + meaning[second][d] + vector[d % 3] + 0.01f * normal(random);
      }
      if (row % 7 == 3) {
        std::ranges::fill(vectors.row(row), 0.0f);  // not trained
      } else if (row % 7 != 6) {
        records.add(row, {"letters", names});
      }
      if (row % 7 != 6 && row % 5 != 0) records.add(row, {"picture", std::span<const float>(vector)});
    }
    FeatureSpec picture = feature("picture", FeatureKind::vector);
    picture.scale = VectorScale::none;
    featurizer = Featurizer::fit({feature("letters", FeatureKind::category), picture}, records);
    table = featurizer.table(records);
  }
  ScorerRows<float> targets() const { return {vectors, ScoreKind::dot}; }

  FeatureRecords records;
  EmbeddingTable<float> vectors;
  Featurizer featurizer;
  FeatureTable table;
};

std::vector<float> embedded(const ContentTower& tower, const FeatureTable& table, std::size_t row) {
  std::vector<float> vector(tower.dim(), 7.0f);
  tower.embed(vector, table, row);
  return vector;
}

Eigen::MatrixXd dense(const FeatureTable& table, std::span<const std::size_t> rows) {
  const std::size_t width = table.shape(0).width + table.shape(1).width;
  Eigen::MatrixXd matrix =
      Eigen::MatrixXd::Zero(static_cast<Eigen::Index>(rows.size()), static_cast<Eigen::Index>(width));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t f = 0, begin = 0; f < 2; begin += table.shape(f++).width) {
      const FeatureBlock block = table.of(rows[i], f);
      for (std::size_t c = 0; c < block.values.size(); ++c) {
        const std::size_t column = begin + (block.columns.empty() ? c : block.columns[c]);
        matrix(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(column)) = static_cast<double>(block.values[c]);
      }
    }
  }
  return matrix;
}

// Of the trained items that say something: the ridge solution by its normal equations.
Eigen::MatrixXd reference(const Items& items, double ridge, double picture_importance) {
  std::vector<std::size_t> rows;
  const ScorerRows<float> targets = items.targets();
  for (std::size_t row = 0; row < items.table.rows(); ++row) {
    const bool says = !items.table.of(row, 0).missing() || !items.table.of(row, 1).missing();
    if (targets.scorable(static_cast<ItemHandle>(row)) && says) rows.push_back(row);
  }
  Eigen::MatrixXd x = dense(items.table, rows), y(x.rows(), static_cast<Eigen::Index>(kDim));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (std::size_t d = 0; d < kDim; ++d) {
      y(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(d)) =
          static_cast<double>(items.vectors.row(rows[i])[d]);
    }
  }
  const Eigen::RowVectorXd mean = y.colwise().mean();
  y.rowwise() -= mean;
  Eigen::MatrixXd normal = x.transpose() * x;
  const auto letters = static_cast<Eigen::Index>(items.table.shape(0).width);
  for (Eigen::Index c = 0; c < normal.rows(); ++c) {
    normal(c, c) += c < letters ? ridge : ridge / (picture_importance * picture_importance);
  }
  std::vector<std::size_t> all(items.table.rows());
  for (std::size_t row = 0; row < all.size(); ++row) all[row] = row;
  Eigen::MatrixXd predicted = dense(items.table, all) * normal.llt().solve(x.transpose() * y);
  predicted.rowwise() += mean;
  return predicted;
}

// Learns from more than `fewest` items.
void check_against_reference(const Items& items, std::size_t fewest = 0) {
  ThreadPool threads(3);
  ContentTowerReport report;
  const ContentTower tower = ContentTower::fit(items.featurizer, items.table, items.targets(),
                                               {.ridge = 2, .importance = {1, 0.5}, .executor = &threads}, &report);
  REQUIRE(report.items > fewest);
  const Eigen::MatrixXd expected = reference(items, 2, 0.5);
  for (std::size_t row = 0; row < items.table.rows(); row += 1 + row / 50) {
    std::vector<float> vector(kDim);
    if (!tower.embed(vector, items.table, row)) continue;
    for (std::size_t d = 0; d < kDim; ++d) {
      REQUIRE(static_cast<double>(vector[d]) ==
              Approx(expected(static_cast<Eigen::Index>(row), static_cast<Eigen::Index>(d))).margin(2e-3));
    }
  }
}

template <class Act>
std::string complaint(Act act, ErrorCode code) {
  try {
    act();
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("A content tower is the ridge solution of the normal equations") { check_against_reference(Items(150)); }

TEST_CASE("A content tower of many items is solved by conjugate gradients to the same weights") {
  check_against_reference(Items(9100), 6144);
}

TEST_CASE("A content tower finds what features say of vectors and how sure that is") {
  const Items items(400);
  ContentTowerReport report;
  const ContentTower tower = ContentTower::fit(items.featurizer, items.table, items.targets(), {}, &report);
  CHECK(report.explained > 0.8);
  CHECK(report.explained < 1);
  CHECK(report.ridge > 0);
  CHECK(report.importance.size() == 2);
  CHECK(report.items == 286);
  CHECK(tower.dim() == kDim);

  SECTION("a feature of noise alone counts for little") {
    std::mt19937 random(5);
    FeatureRecords noise(400);
    for (std::size_t row = 0; row < 400; ++row) {
      for (const FieldValue& value : items.records.of(row)) noise.add(row, value);
      noise.add(row, {"noise", std::string(1, static_cast<char>('a' + random() % 26)) + "|" +
                                   std::string(1, static_cast<char>('A' + random() % 26))});
    }
    std::vector<FeatureSpec> features = items.featurizer.features();
    features.push_back(feature("noise", FeatureKind::category));
    Featurizer with_noise = Featurizer::fit(features, noise);
    const FeatureTable table = with_noise.table(noise);
    ContentTowerReport of_noise;
    ContentTower::fit(with_noise, table, items.targets(), {}, &of_noise);
    CHECK(of_noise.importance[2] < 0.3 * of_noise.importance[0]);
  }
}

TEST_CASE("An item that says nothing has no vector of content, and one that says little has a short one") {
  const Items items(400);
  const ContentTower tower = ContentTower::fit(items.featurizer, items.table, items.targets());
  std::vector<float> vector(kDim, 1.0f);
  CHECK_FALSE(tower.embed(vector, items.table, 6));
  CHECK(std::ranges::all_of(vector, [](float x) { return x == 0; }));
  CHECK_FALSE(tower.embed(vector, items.table, 100'000));
  CHECK(tower.embed(vector, items.table, 0));

  FeatureTable unknown(items.featurizer.shapes());
  items.featurizer.apply(std::vector<FieldValue>{{"letters", "never seen"}}, unknown);
  CHECK(tower.embed(vector, unknown, 0));
  CHECK(std::ranges::all_of(vector, [](float x) { return std::isfinite(x); }));
}

TEST_CASE("A content tower is the same for any number of threads and after it was written and read") {
  const Items items(400);
  ThreadPool threads(3);
  const ContentTower one = ContentTower::fit(items.featurizer, items.table, items.targets());
  const ContentTower three = ContentTower::fit(items.featurizer, items.table, items.targets(), {.executor = &threads});
  SafetensorsWriter writer;
  one.write(writer);
  const ContentTower read = ContentTower::read(SafetensorsFile::parse(writer.bytes(), "a file"));
  for (std::size_t row = 0; row < 400; ++row) {
    REQUIRE(embedded(one, items.table, row) == embedded(three, items.table, row));
    REQUIRE(embedded(one, items.table, row) == embedded(read, items.table, row));
  }
}

TEST_CASE("A content tower refuses what it cannot learn from") {
  const Items items(100);
  const ScorerRows<float> targets = items.targets();
  const auto refused = [&](const ContentTowerOptions& options) {
    return complaint([&] { ContentTower::fit(items.featurizer, items.table, targets, options); },
                     ErrorCode::invalid_argument);
  };
  CHECK_THAT(refused({.ridge = -1}), Contains("ridge: expected a number from 0, found -1"));
  CHECK_THAT(refused({.ridge = std::numeric_limits<double>::quiet_NaN()}), Contains("ridge"));
  CHECK_THAT(refused({.importance = {1}}), Contains("importance: expected 2 numbers, found 1"));
  CHECK_THAT(refused({.importance = {1, -2}}), Contains("importance: expected numbers from 0"));
  const ScorerRows<float> fewer(EmbeddingTable<float>(10, kDim), ScoreKind::dot);
  CHECK_THAT(complaint([&] { ContentTower::fit(items.featurizer, items.table, fewer); }, ErrorCode::invalid_argument),
             Contains("features of 100 items for vectors of 10"));
  const ScorerRows<float> untrained(EmbeddingTable<float>(100, kDim), ScoreKind::dot);
  CHECK_THAT(complaint([&] { ContentTower::fit(items.featurizer, items.table, untrained); }, ErrorCode::invalid_data),
             Contains("expected at least two trained items with features, found 0 among 100"));
}

TEST_CASE("A damaged file of a content tower is refused by the name of the tensor") {
  const Items items(100);
  const ContentTower tower = ContentTower::fit(items.featurizer, items.table, items.targets());
  SafetensorsWriter writer;
  items.featurizer.write(writer, "content.features.");
  const std::vector<float> mean(kDim), few(kDim);
  writer.add("content.mean", {kDim}, std::span<const float>(mean));
  writer.add("content.mean_length", {}, std::span<const float>(mean).first(1));
  writer.add("content.weights.0", {1, kDim}, std::span<const float>(few));
  CHECK_THAT(
      complaint([&] { ContentTower::read(SafetensorsFile::parse(writer.bytes(), "a file")); }, ErrorCode::corrupt_file),
      Contains("content.weights.0"));
}
