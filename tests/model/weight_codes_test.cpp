// SPDX-License-Identifier: Apache-2.0
// Weights in 8 bits: what they lose, and what they never do.
#include "model/weight_codes.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "catch.hpp"
#include "model/random_encoder.hpp"

using namespace attune;
using detail::WeightCodes;
using Shape = std::vector<std::size_t>;

namespace {

constexpr const char* kTable = "items.weight";
constexpr const char* kMatrix = "blocks.0.attention.qkv.weight";

// Of a file that holds them alone.
std::vector<float> decoded(const std::string& tensor, const Shape& shape, const WeightCodes& codes) {
  SafetensorsWriter writer;
  writer.add(tensor, shape, std::span(codes.codes));
  writer.add(detail::scale_name(tensor), codes.scale_shape, std::span(codes.scales));
  const auto file = SafetensorsFile::parse(writer.bytes(), "file");
  return detail::read_weights(file, *file.find(tensor), WeightStorage::int8, "file");
}

// Rows of very different lengths, some zero.
std::vector<float> random_matrix(const Shape& shape, std::uint64_t seed) {
  std::vector<float> matrix(shape[0] * shape[1]);
  for (std::size_t i = 0; i < matrix.size(); ++i) {
    const std::size_t row = i / shape[1];
    const auto length = static_cast<float>(std::exp2(static_cast<double>(detail::mix(seed, row) % 60) - 30));
    const auto normal = static_cast<float>(detail::truncated_normal(detail::mix(seed + 1, i)));
    matrix[i] = row % 5 == 4 ? 0.0f : length * normal;
  }
  return matrix;
}

// Every promise but the one of zeros, which only rows of a table make.
void check(const std::string& tensor, const Shape& shape, std::span<const float> matrix) {
  const WeightCodes codes(tensor, shape, matrix);
  REQUIRE(codes.codes.size() == matrix.size());
  const std::vector<float> values = decoded(tensor, shape, codes);
  const bool by_row = codes.scale_shape == Shape{shape[0], 1};
  for (std::size_t i = 0; i < matrix.size(); ++i) {
    const double scale = double{codes.scales[by_row ? i / shape[1] : i % shape[1]]};
    INFO(tensor << ", element " << i << ": " << matrix[i] << " became " << values[i] << " with scale " << scale);
    REQUIRE(codes.codes[i] >= -127);
    REQUIRE(std::isfinite(values[i]));
    REQUIRE(std::abs(double{values[i]} - double{matrix[i]}) <= scale / 2);
    if (matrix[i] == 0) REQUIRE(values[i] == 0);
  }
  const WeightCodes again(tensor, shape, values);
  REQUIRE(again.codes == codes.codes);
  REQUIRE(again.scales == codes.scales);
}

}  // namespace

TEST_CASE("Weights in codes move by half a scale at most, and never again", "[model][weight_codes]") {
  for (const std::string tensor : {kTable, kMatrix}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      for (const Shape& shape : {Shape{1, 1}, Shape{1, 33}, Shape{33, 1}, Shape{30, 64}, Shape{0, 8}}) {
        check(tensor, shape, random_matrix(shape, seed));
      }
    }
  }
}

TEST_CASE("Weights as large and as small as numbers can be have codes too", "[model][weight_codes]") {
  using Limits = std::numeric_limits<float>;
  for (const float largest : {Limits::max(), Limits::min(), 127 * Limits::min(), 126 * Limits::min(), 1e-37f,
                              Limits::denorm_min(), 0.4f * Limits::min(), std::nextafter(2.0f, 0.0f)}) {
    for (int part = 1; part <= 300; ++part) {
      const std::vector<float> row{largest, -largest / static_cast<float>(part), largest / 254.0f, -0.0f, 0.0f};
      check(kTable, {1, row.size()}, row);
      check(kMatrix, {1, row.size()}, row);
    }
  }
}

TEST_CASE("A row of a table is zero after coding exactly if it was before", "[model][weight_codes]") {
  const Shape shape{50, 8};
  const std::vector<float> matrix = random_matrix(shape, 3);
  const std::vector<float> values = decoded(kTable, shape, WeightCodes(kTable, shape, matrix));
  const auto is_zero = [&](const std::vector<float>& all, std::size_t row) {
    return std::all_of(all.begin() + std::ptrdiff_t(row * 8), all.begin() + std::ptrdiff_t(row * 8 + 8),
                       [](float x) { return x == 0; });
  };
  for (std::size_t row = 0; row < shape[0]; ++row) CHECK(is_zero(values, row) == is_zero(matrix, row));
}

TEST_CASE("Tables have a scale for each row, matrices that vectors go through one for each column",
          "[model][weight_codes]") {
  const Shape shape{3, 4};
  const std::vector<float> matrix(12, 0.5f);
  const auto scales = [&](const std::string& tensor) { return WeightCodes(tensor, shape, matrix).scale_shape; };
  for (const char* tensor : {kTable, "outputs.weight", "position_embedding.weight", "blocks.1.position_bias"}) {
    CHECK(scales(tensor) == Shape{3, 1});
  }
  for (const char* tensor : {kMatrix, "blocks.7.feed_forward.outer.weight"}) CHECK(scales(tensor) == Shape{1, 4});
  CHECK(detail::has_codes(WeightStorage::int8, shape));
  CHECK_FALSE(detail::has_codes(WeightStorage::float32, shape));
  CHECK_FALSE(detail::has_codes(WeightStorage::int8, Shape{12}));
}
