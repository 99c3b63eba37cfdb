// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/noise.hpp"

#include <cmath>
#include <map>
#include <vector>

#include "catch.hpp"

namespace attune {
namespace {

constexpr int kDraws = 1'000'000;

// Probability that a chi-squared variable with `degrees` degrees of freedom is larger, by Wilson & Hilferty's normal.
double chi_squared_tail(double statistic, double degrees) {
  const double variance = 2 / (9 * degrees);
  const double z = (std::cbrt(statistic / degrees) - (1 - variance)) / std::sqrt(variance);
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

// [reach + 1]: probability of n and of -n.
std::vector<double> probabilities(double deviation) {
  const int reach = static_cast<int>(std::ceil(12 * deviation)) + 12;
  std::vector<double> result;
  double total = 0;
  for (int n = 0; n <= reach; ++n) {
    result.push_back(std::exp(-n * n / (2 * deviation * deviation)));
    total += (n == 0 ? 1 : 2) * result.back();
  }
  for (double& probability : result) probability /= total;
  return result;
}

}  // namespace

TEST_CASE("Discrete normal noise has the distribution that it promises", "[privacy][noise]") {
  struct Case {
    std::uint32_t numerator, denominator;
    double at_zero, at_one, variance;
  };
  for (const Case& c :
       {Case{1, 2, .786570707042, .106450769423, .215012675088},
        Case{1, 1, .398942278267, .241970723224, .999999788768}, Case{2, 1, .199471140201, .176032663382, 4.0},
        Case{10, 1, .0398942280401, .0396952547477, 100.0}}) {
    INFO("deviation " << c.numerator << " / " << c.denominator);
    const double deviation = static_cast<double>(c.numerator) / c.denominator;
    const std::vector<double> expected = probabilities(deviation);
    CHECK(expected[0] == Approx(c.at_zero).epsilon(1e-11));
    CHECK(expected[1] == Approx(c.at_one).epsilon(1e-11));
    RandomWords words(c.numerator);
    const DiscreteGaussian noise(c.numerator, c.denominator);
    std::map<std::int64_t, int> counts;
    double squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      const std::int64_t value = noise.draw(words);
      ++counts[value];
      squares += static_cast<double>(value * value);
    }
    CHECK(squares / kDraws == Approx(c.variance).epsilon(0.01));
    // Bins with fewer than ten expected draws are one.
    double statistic = 0, rest_expected = kDraws, rest_counted = kDraws;
    int bins = 0;
    for (std::int64_t n = 0; n < static_cast<std::int64_t>(expected.size()); ++n) {
      for (const std::int64_t value : {n, -n}) {
        const double mean = expected[static_cast<std::size_t>(n)] * kDraws;
        if (mean < 10 || (n == 0 && value != n)) continue;
        if (n == 0 && bins > 0) continue;
        const double counted = counts[value];
        statistic += (counted - mean) * (counted - mean) / mean;
        rest_expected -= mean;
        rest_counted -= counted;
        ++bins;
      }
    }
    if (rest_expected > 1) statistic += std::pow(rest_counted - rest_expected, 2) / rest_expected;
    CHECK(chi_squared_tail(statistic, bins) > 1e-6);
  }
}

TEST_CASE("Noise on the grid of sums is as good as normal", "[privacy][noise]") {
  RandomWords words;
  CHECK(words.secure());
  const DiscreteGaussian noise(noise_scale());
  double mean = 0, square = 0, fourth = 0;
  constexpr int kFew = 200'000;
  for (int i = 0; i < kFew; ++i) {
    const double z = static_cast<double>(noise.draw(words)) / noise_scale();
    mean += z / kFew;
    square += z * z / kFew;
    fourth += z * z * z * z / kFew;
  }
  CHECK(std::abs(mean) < 0.015);  // more than six deviations of each
  CHECK(std::abs(square - 1) < 0.025);
  CHECK(std::abs(fourth - 3) < 0.15);
}

TEST_CASE("Random words are uniform below any bound", "[privacy][noise]") {
  RandomWords words(5);
  CHECK(!words.secure());
  std::vector<int> counts(6, 0);
  for (int i = 0; i < 60'000; ++i) ++counts[words.below(6)];
  for (const int count : counts) CHECK(count == Approx(10'000).epsilon(0.05));
  CHECK(words.below(1) == 0);
  int hits = 0;
  for (int i = 0; i < 100'000; ++i) hits += words.with_probability(0.3);
  CHECK(hits == Approx(30'000).epsilon(0.03));
  CHECK(!words.with_probability(0));
  CHECK(words.with_probability(1));
}

TEST_CASE("Words from a seed repeat and those of the system do not", "[privacy][noise]") {
  RandomWords one(7), same(7), other(8), system, again;
  bool differs = false, unforeseen = false;
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t word = one.next();
    CHECK(word == same.next());
    differs |= word != other.next();
    unforeseen |= system.next() != again.next();
  }
  CHECK(differs);
  CHECK(unforeseen);
}

}  // namespace attune
