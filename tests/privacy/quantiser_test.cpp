// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/quantiser.hpp"

#include <cmath>
#include <limits>

#include "attune/error.hpp"
#include "catch.hpp"

using namespace attune;

namespace {

ErrorCode refusal(const QuantiserOptions& options) {
  try {
    Quantiser{options};
  } catch (const Error& error) {
    return error.code();
  }
  FAIL("accepted");
  return {};
}

}  // namespace

TEST_CASE("Integers that are added give the weighted mean within a step", "[privacy][quantiser]") {
  const Quantiser quantiser({.clip = 2, .value_bits = 16, .max_weight = 10, .max_clients = 3});
  const std::vector<std::vector<float>> values{{0.5f, -1.25f, 2.0f}, {1.0f / 3, 0.0f, -2.0f}, {-0.1f, 1.9f, 0.7f}};
  const std::uint64_t weights[] = {1, 10, 4};
  std::vector<std::int64_t> sums(4);
  for (std::size_t c = 0; c < 3; ++c) {
    const auto integers = quantiser.encode(values[c], weights[c], c);
    REQUIRE(integers.size() == 4);
    CHECK(integers.back() == static_cast<std::int64_t>(weights[c]));
    for (std::size_t i = 0; i < 4; ++i) sums[i] += integers[i];
  }
  const std::vector<float> means = quantiser.mean(sums);
  REQUIRE(means.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    double exact = 0;
    for (std::size_t c = 0; c < 3; ++c) exact += static_cast<double>(weights[c]) * values[c][i] / 15;
    CHECK(std::abs(means[i] - exact) < quantiser.step() * 3 / 15 + 1e-7);
  }
}

TEST_CASE("Values beyond the clip are cut and the largest integers fit the stated bound", "[privacy][quantiser]") {
  const unsigned bits = GENERATE(2u, 8u, 16u, 31u, 32u);
  const std::uint64_t weight = GENERATE(1u, 7u, 1'000u);
  const Quantiser quantiser({.clip = 0.3, .value_bits = bits, .max_weight = weight, .max_clients = 100});
  CHECK(quantiser.max_magnitude() == static_cast<std::int64_t>((std::uint64_t{1} << (bits - 1)) * weight));
  CHECK(quantiser.max_sum() == 100 * quantiser.max_magnitude());
  CHECK(quantiser.max_sum() < std::int64_t{1} << (quantiser.sum_bits() - 1));
  CHECK(quantiser.max_sum() >= std::int64_t{1} << (quantiser.sum_bits() - 2));
  const float most = std::numeric_limits<float>::max();
  const std::vector<float> values{most, -most, 0.4f, -0.4f};
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto integers = quantiser.encode(values, weight, seed);
    CHECK(integers[0] == quantiser.max_magnitude());
    CHECK(integers[1] == -quantiser.max_magnitude());
    CHECK(integers[2] == quantiser.max_magnitude());
    CHECK(integers[3] == -quantiser.max_magnitude());
  }
}

TEST_CASE("Rounding is right on average and the same for the same seed", "[privacy][quantiser]") {
  const Quantiser quantiser({.clip = 1, .value_bits = 4});
  const std::vector<float> values(20'000, 0.3f);  // 2.4 steps
  const auto integers = quantiser.encode(values, 1, 7);
  CHECK(quantiser.encode(values, 1, 7) == integers);
  CHECK(quantiser.encode(values, 1, 8) != integers);
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK((integers[i] == 2 || integers[i] == 3));
    sum += static_cast<double>(integers[i]);
  }
  CHECK(sum / 20'000 == Approx(2.4).margin(0.02));  // six deviations
}

TEST_CASE("What is already a step stays what it is", "[privacy][quantiser]") {
  const Quantiser quantiser({.clip = 1, .value_bits = 8});
  const std::vector<float> values{0.0f, -0.0f, 0.5f, -1.0f / 128, 127.0f / 128};
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    CHECK(quantiser.encode(values, 1, seed) == std::vector<std::int64_t>{0, 0, 64, -1, 127, 1});
  }
}

TEST_CASE("A value that is not finite and a weight out of bounds are refused", "[privacy][quantiser]") {
  const Quantiser quantiser({.max_weight = 5});
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    const std::vector<float> values{0.5f, bad};
    try {
      quantiser.encode(values, 1, 1);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::non_finite);
    }
  }
  const std::vector<float> values{0.5f};
  CHECK_THROWS_AS(quantiser.encode(values, 0, 1), Error);
  CHECK_THROWS_AS(quantiser.encode(values, 6, 1), Error);
  CHECK(quantiser.encode({}, 5, 1) == std::vector<std::int64_t>{5});
}

TEST_CASE("Options whose sums could overflow are refused", "[privacy][quantiser]") {
  CHECK(refusal({.clip = 0}) == ErrorCode::invalid_config);
  CHECK(refusal({.clip = -1}) == ErrorCode::invalid_config);
  CHECK(refusal({.clip = std::numeric_limits<double>::quiet_NaN()}) == ErrorCode::invalid_config);
  CHECK(refusal({.clip = std::numeric_limits<double>::infinity()}) == ErrorCode::invalid_config);
  CHECK(refusal({.value_bits = 1}) == ErrorCode::invalid_config);
  CHECK(refusal({.value_bits = 33}) == ErrorCode::invalid_config);
  CHECK(refusal({.max_weight = 0}) == ErrorCode::invalid_config);
  CHECK(refusal({.max_clients = 0}) == ErrorCode::invalid_config);
  CHECK(refusal({.value_bits = 32, .max_weight = (1u << 21) + 1}) == ErrorCode::invalid_config);
  CHECK(refusal({.value_bits = 32, .max_weight = 1u << 21, .max_clients = 1025}) == ErrorCode::invalid_config);
  const Quantiser most({.value_bits = 32, .max_weight = 1u << 21, .max_clients = 1024});
  CHECK(most.max_sum() == std::int64_t{1} << 62);
}

TEST_CASE("Sums that no clients can have give no mean", "[privacy][quantiser]") {
  const Quantiser quantiser({.value_bits = 8, .max_weight = 2, .max_clients = 3});
  CHECK(quantiser.mean(std::vector<std::int64_t>{768, 6}).front() == Approx(1));
  CHECK_THROWS_AS(quantiser.mean({}), Error);
  CHECK_THROWS_AS(quantiser.mean(std::vector<std::int64_t>{0, 0}), Error);
  CHECK_THROWS_AS(quantiser.mean(std::vector<std::int64_t>{0, -1}), Error);
  CHECK_THROWS_AS(quantiser.mean(std::vector<std::int64_t>{0, 7}), Error);
  CHECK_THROWS_AS(quantiser.mean(std::vector<std::int64_t>{769, 6}), Error);
  CHECK_THROWS_AS(quantiser.mean(std::vector<std::int64_t>{std::numeric_limits<std::int64_t>::min(), 6}), Error);
}
