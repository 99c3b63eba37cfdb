// SPDX-License-Identifier: Apache-2.0
#include "attune/model/row_codes.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "attune/detail/kernels.hpp"
#include "attune/error.hpp"
#include "attune/model/scorer_rows.hpp"
#include "catch.hpp"
#include "model/rotation.hpp"

using namespace attune;

namespace {

using Generator = std::mt19937_64;

std::vector<double> unit_vector(std::size_t dim, Generator& random) {
  std::normal_distribution<double> normal;
  std::vector<double> x(dim);
  double squares = 0;
  for (double& element : x) {
    element = normal(random);
    squares += element * element;
  }
  for (double& element : x) element /= std::sqrt(squares);
  return x;
}

// Rows of which some are far from normal: spikes, equal elements, tiny and huge norms.
ScorerRows<float> make_rows(std::size_t count, std::size_t dim, ScoreKind kind, Generator& random) {
  EmbeddingTable<float> table(count, dim);
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<double> x = unit_vector(dim, random);
    const float norm = std::exp2(static_cast<float>(random() % 20) - 10);
    for (std::size_t d = 0; d < dim; ++d) table.row(i)[d] = norm * static_cast<float>(x[d]);
    if (i % 5 == 1) table.row(i)[random() % dim] *= 1e5f;
    if (i % 7 == 2) std::ranges::fill(table.row(i), 0.25f);
    if (i % 11 == 3) std::ranges::fill(table.row(i), 0.0f);
  }
  // A row that the rotation turns into a spike: its code is far away.
  std::vector<double> spike(dim), column(dim);
  for (std::size_t d = 0; d < dim; ++d) {
    std::ranges::fill(column, 0.0);
    column[d] = 1;
    rotate(column);
    table.row(0)[d] = static_cast<float>(column[0]);
  }
  return ScorerRows<float>(table, kind);
}

constexpr float kTwoNorms[] = {1, 2};

struct Prepared {
  Buffer<float> query;
  Buffer<std::int8_t> codes;
  Buffer<double> rotated;
};

// The rows of tight blocks that least_sum() lets through, as a bitmap.
std::vector<std::uint64_t> matched(const RowCodes& codes, const RowCodes::Query& query, std::size_t count,
                                   float threshold) {
  std::vector<std::int8_t> sixteen;
  for (std::size_t q = 0; q < detail::kMatchedTogether; ++q) {
    sixteen.insert(sixteen.end(), query.coded.codes, query.coded.codes + codes.width());
  }
  std::vector<std::int32_t> least(detail::kMatchedTogether, std::numeric_limits<std::int32_t>::max());
  least[5] = codes.least_sum(query, threshold);
  const std::size_t blocks = (count + 63) / 64;
  std::vector<detail::CodedMatch> matches(blocks * detail::kMatchedTogether);
  matches.resize(codes.match(matches.data(), sixteen.data(), least.data(), least.size(), 0, blocks));
  std::vector<std::uint64_t> rows(blocks);
  for (const auto& match : matches) {
    if (match.query == 5 && codes.tight(match.block)) rows[match.block] = match.rows;
  }
  return rows;
}

}  // namespace

TEST_CASE("The rotation keeps lengths and angles", "[model][row_codes]") {
  Generator random(1);
  for (const std::size_t dim : {1u, 2u, 3u, 8u, 50u, 64u, 100u}) {
    std::vector<double> x = unit_vector(dim, random), y = unit_vector(dim, random);
    const auto dot = [&] {
      double sum = 0;
      for (std::size_t d = 0; d < dim; ++d) sum += x[d] * y[d];
      return sum;
    };
    const double before = dot();
    rotate(x);
    rotate(y);
    CHECK(std::abs(dot() - before) < kRotationError);
    y = x;
    CHECK(std::abs(dot() - 1) < kRotationError);
  }
}

TEST_CASE("The rotation spreads a single element over all", "[model][row_codes]") {
  for (const std::size_t dim : {50u, 64u, 100u}) {
    std::vector<double> x(dim);
    x[3] = 1;
    rotate(x);
    for (const double element : x) CHECK(std::abs(element) < 5 / std::sqrt(static_cast<double>(dim)));
  }
}

TEST_CASE("No score exceeds its bound, wherever the bound is aimed", "[model][row_codes][slow]") {
  Generator random(2);
  const auto bits = GENERATE(4u, 8u);
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  for (const std::size_t dim : {1u, 2u, 5u, 16u, 50u, 64u, 130u, 1024u}) {
    const std::size_t count = 200;
    const ScorerRows<float> rows = make_rows(count, dim, kind, random);
    const RowCodes codes(rows, bits);
    Prepared prepared;
    for (int q = 0; q < 30; ++q) {
      std::vector<float> user_vector(dim);
      const std::vector<double> direction = unit_vector(dim, random);
      const float* near = rows.row(random() % count);
      for (std::size_t d = 0; d < dim; ++d) {
        user_vector[d] = static_cast<float>(direction[d]) * static_cast<float>(q % 3) + (q % 2 == 0 ? near[d] : 0.0f);
      }
      if (!rows.prepare(user_vector, prepared.query)) continue;
      const std::span<const float> query = prepared.query.take(rows.stride());
      const float scale = q % 4 == 0 ? 1.0f : 17.0f;
      std::vector<float> additive(count);
      for (float& term : additive)
        term = static_cast<float>(unit_vector(1, random)[0]) * std::exp2(static_cast<float>(q));
      const float* terms = q % 5 == 0 ? nullptr : additive.data();
      RowCodes::Query coded;
      REQUIRE(codes.encode(coded, query, scale, prepared.codes, prepared.rotated));
      std::vector<float> scores(count), bounds(count);
      rows.dot(scores.data(), query.data(), 0, count);
      for (std::size_t first = 0; first < count; first += 64) {
        detail::kernels<float>().finish_scores(scores.data() + first, scale, terms ? terms + first : nullptr, 0,
                                               std::min<std::size_t>(64, count - first));
      }
      for (const double cosine : {-2.0, 0.0, 0.3, 0.6, 0.9, 5.0, std::numeric_limits<double>::quiet_NaN()}) {
        codes.aim(coded, cosine);
        std::vector<std::uint64_t> passed(4);
        codes.bound(bounds.data(), passed.data(), coded, 0, count, terms, 0.25f);
        for (std::size_t i = 0; i < count; ++i) {
          INFO("dim " << dim << " query " << q << " row " << i << " cosine " << cosine);
          if (rows.scorable(static_cast<ItemHandle>(i))) REQUIRE(bounds[i] >= scores[i]);
          REQUIRE((passed[i / 64] >> (i % 64) & 1u) == (bounds[i] >= 0.25f));
        }
        if (terms != nullptr || bits == 4) continue;
        for (const float threshold : {scores[0], scores[7], *std::ranges::max_element(scores), 0.1f * scale, -1.0f}) {
          const std::vector<std::uint64_t> found = matched(codes, coded, count, threshold);
          for (std::size_t i = 0; i < count; ++i) {
            const bool wanted = rows.scorable(static_cast<ItemHandle>(i)) && scores[i] >= threshold;
            if (wanted && codes.tight(i / 64)) REQUIRE((found[i / 64] >> (i % 64) & 1u) == 1);
          }
        }
      }
    }
  }
}

TEST_CASE("Bounds are tight: few rows of many can reach the best scores", "[model][row_codes]") {
  Generator random(3);
  const std::size_t count = 20'000, dim = 64;
  EmbeddingTable<float> table(count, dim);
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<double> x = unit_vector(dim, random);
    for (std::size_t d = 0; d < dim; ++d) table.row(i)[d] = static_cast<float>(x[d]);
  }
  const ScorerRows<float> rows(table, ScoreKind::cosine);
  Prepared prepared;
  const std::vector<double> direction = unit_vector(dim, random);
  REQUIRE(rows.prepare(std::vector<float>(direction.begin(), direction.end()), prepared.query));
  const std::span<const float> query = prepared.query.take(rows.stride());
  std::vector<float> scores(count), bounds(count);
  rows.dot(scores.data(), query.data(), 0, count);
  std::vector<float> sorted = scores;
  std::ranges::sort(sorted, std::greater<>());
  for (const unsigned bits : {4u, 8u}) {
    const RowCodes codes(rows, bits);
    RowCodes::Query coded;
    REQUIRE(codes.encode(coded, query, 1.0f, prepared.codes, prepared.rotated));
    codes.aim(coded, static_cast<double>(sorted[9]));
    std::vector<std::uint64_t> passed((count + 63) / 64);
    codes.bound(bounds.data(), passed.data(), coded, 0, count, nullptr, sorted[9]);
    std::size_t candidates = 0;
    for (std::size_t i = 0; i < count; ++i) candidates += bounds[i] >= sorted[9];
    CHECK(candidates >= 10);
    CHECK(candidates <= (bits == 4 ? 400u : 40u));
    if (bits == 8) {
      std::size_t tight = 0, found = 0;
      for (std::size_t block = 0; block < (count + 63) / 64; ++block) tight += codes.tight(block);
      for (const std::uint64_t word : matched(codes, coded, count, sorted[9])) {
        found += static_cast<std::size_t>(std::popcount(word));
      }
      CHECK(tight >= 300);  // of 313
      CHECK(found <= 60);
    }
    CHECK(codes.memory_bytes() == (count + 63) / 64 * 64 * (bits == 4 ? 34 : 66));
  }
}

TEST_CASE("What a bound cannot hold for is not encoded", "[model][row_codes]") {
  EmbeddingTable<float> table(3, 16);
  for (std::size_t i = 0; i < 3; ++i) std::ranges::fill(table.row(i), 1.0f);
  Prepared prepared;
  RowCodes::Query coded;
  const auto encodes = [&](const ScorerRows<float>& rows, float length, float scale) {
    const std::vector<float> query(16, length);
    REQUIRE(rows.prepare(query, prepared.query));
    return RowCodes(rows, 8).encode(coded, prepared.query.take(rows.stride()), scale, prepared.codes, prepared.rotated);
  };
  const ScorerRows<float> cosine(table, ScoreKind::cosine), dot(table, ScoreKind::dot);
  CHECK(encodes(cosine, 1.0f, 1.0f));
  CHECK(encodes(cosine, 1e-25f, 1.0f));
  CHECK_FALSE(encodes(cosine, 1.0f, 0.0f));
  CHECK_FALSE(encodes(cosine, 1.0f, -1.0f));
  CHECK_FALSE(encodes(cosine, 1.0f, std::numeric_limits<float>::infinity()));
  CHECK_FALSE(encodes(cosine, 1.0f, std::numeric_limits<float>::quiet_NaN()));
  CHECK(encodes(dot, 1e5f, 1.0f));
  CHECK_FALSE(encodes(dot, 1e-27f, 1.0f));
  CHECK_FALSE(encodes(dot, 1e30f, 1.0f));
  for (float& x : table.row(1)) x = std::numeric_limits<float>::max();
  const ScorerRows<float> huge(table, ScoreKind::dot);
  CHECK_FALSE(encodes(huge, 1.0f, 1.0f));
  CHECK_FALSE(encodes(huge, 1e-29f, 1.0f));
  CHECK(encodes(huge, 1e-11f, 1.0f));
  const ScorerRows<float> nothing(EmbeddingTable<float>(5, 16), ScoreKind::cosine);
  CHECK_FALSE(encodes(nothing, 1.0f, 1.0f));
}

TEST_CASE("Codes that were stored are the codes they were made from", "[model][row_codes]") {
  Generator random(5);
  const auto bits = GENERATE(4u, 8u);
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  constexpr std::size_t kRows = 200, kDim = 24;
  const ScorerRows<float> rows = make_rows(kRows, kDim, kind, random);
  const RowCodes codes(rows, bits);
  const RowCodes::Stored stored = codes.stored();
  const RowCodes again(rows, stored, nullptr);
  REQUIRE(again.bits() == bits);
  Prepared prepared;
  std::vector<float> bounds(256), bounds_again(256);
  std::vector<std::uint64_t> passed(4), passed_again(4);
  for (std::size_t item = 0; item < 20; ++item) {
    if (!rows.scorable(static_cast<ItemHandle>(item))) continue;
    REQUIRE(rows.prepare({rows.row(item), kDim}, prepared.query));
    const auto query = prepared.query.take(rows.stride());
    RowCodes::Query coded{}, coded_again{};
    const bool holds = codes.encode(coded, query, 1.5f, prepared.codes, prepared.rotated);
    if (holds) codes.bound(bounds.data(), passed.data(), coded, 0, kRows, nullptr, 0.25f);
    REQUIRE(again.encode(coded_again, query, 1.5f, prepared.codes, prepared.rotated) == holds);
    if (!holds) continue;
    again.bound(bounds_again.data(), passed_again.data(), coded_again, 0, kRows, nullptr, 0.25f);
    REQUIRE(bounds == bounds_again);
    REQUIRE(passed == passed_again);
    REQUIRE(again.least_sum(coded_again, 0.25f) == codes.least_sum(coded, 0.25f));
  }
  CHECK(again.size() == codes.size());
  CHECK(again.largest_norm() == codes.largest_norm());
  CHECK(std::ranges::equal(again.stored().norms, stored.norms));
  for (std::size_t block = 0; block < (kRows + 63) / 64; ++block) CHECK(again.tight(block) == codes.tight(block));
  const auto refused = [&](auto change) {
    RowCodes::Stored changed = stored;
    change(changed);
    CHECK_THROWS_AS(RowCodes(rows, changed, nullptr), Error);
  };
  refused([](auto& s) { s.scalars.pop_back(); });
  refused([](auto& s) { s.scalars.clear(); });
  refused([](auto& s) { s.scalars[0] = 5; });
  refused([](auto& s) { s.scalars[0] = 12 - s.scalars[0]; });
  refused([](auto& s) { s.scalars[3] = ~std::uint64_t{0}; });
  refused([](auto& s) { s.scalars[4] |= std::uint64_t{1} << 63; });
  refused([](auto& s) { s.blocks = s.blocks.first(s.blocks.size() - 1); });
  const std::vector<float> negative(kRows, -1.0f);
  if (kind == ScoreKind::dot) refused([&](auto& s) { s.norms = negative; });
  refused([](auto& s) { s.norms = s.norms.empty() ? std::span<const float>(kTwoNorms) : s.norms.first(3); });
  const std::vector<std::uint64_t> copy(stored.blocks.begin(), stored.blocks.end());
  std::vector<std::uint64_t> misaligned(copy.size() + 8);
  std::size_t at = 0;
  while (reinterpret_cast<std::uintptr_t>(misaligned.data() + at) % 64 == 0) ++at;
  refused([&](auto& s) { s.blocks = std::span<const std::uint64_t>(misaligned).subspan(at, copy.size()); });
}

TEST_CASE("Codes of rows none of which can be scored are stored as any others", "[model][row_codes]") {
  for (const ScoreKind kind : {ScoreKind::cosine, ScoreKind::dot}) {
    const ScorerRows<float> rows(EmbeddingTable<float>(100, 16), kind);
    const RowCodes codes(rows, 8);
    CHECK(RowCodes(rows, codes.stored(), nullptr).size() == 100);
  }
}
