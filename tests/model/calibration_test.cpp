// SPDX-License-Identifier: Apache-2.0
#include "attune/model/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "attune/error.hpp"
#include "catch.hpp"

using namespace attune;

namespace {

// Outcomes whose true probability rises with the square of a score in [0, 1].
std::vector<Outcome> quadratic(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
  std::vector<Outcome> outcomes;
  for (std::size_t i = 0; i < count; ++i) {
    const float score = uniform(random);
    outcomes.push_back({score, uniform(random) < score * score});
  }
  return outcomes;
}

}  // namespace

TEST_CASE("Violators are pooled to the least-squares fit that never falls", "[model][calibration]") {
  // By hand: 1 0 pool to 1/2, then 1 1 0 to 2/3.
  const Calibration fitted = Calibration::isotonic(
      {{1.0f, false}, {2.0f, true}, {3.0f, false}, {4.0f, true}, {5.0f, true}, {6.0f, false}, {7.0f, true}});
  CHECK(fitted.scores == std::vector<float>{1.0f, 2.5f, 5.0f, 7.0f});
  CHECK(fitted.probabilities == std::vector<float>{0.0f, 0.5f, static_cast<float>(2.0 / 3.0), 1.0f});
}

TEST_CASE("A calibration is linear between its knots and constant beyond them", "[model][calibration]") {
  const Calibration calibration{{-1.0f, 1.0f}, {0.2f, 0.6f}};
  CHECK(calibration(-50.0f) == 0.2f);
  CHECK(calibration(-1.0f) == 0.2f);
  CHECK(calibration(0.0f) == Approx(0.4f));
  CHECK(calibration(1.0f) == 0.6f);
  CHECK(calibration(std::numeric_limits<float>::infinity()) == 0.6f);
  CHECK(std::isnan(calibration(std::numeric_limits<float>::quiet_NaN())));
  CHECK(std::isnan(Calibration{}(0.0f)));
}

TEST_CASE("Calibrated probabilities come close to what happens, on outcomes that were not fitted",
          "[model][calibration]") {
  const Calibration calibration = Calibration::isotonic(quadratic(20000, 1));
  CHECK(calibration.scores.size() <= Calibration::kMaxKnots);
  CHECK_NOTHROW(calibration.validate());
  CHECK(expected_calibration_error(calibration, quadratic(20000, 2)) <= 0.02);
  const Calibration identity{{0.0f, 1.0f}, {0.0f, 1.0f}};
  CHECK(expected_calibration_error(identity, quadratic(20000, 2)) == Approx(1.0 / 6.0).margin(0.01));
}

TEST_CASE("Outcomes that share a score share what happened, also where a group of them ends", "[model][calibration]") {
  std::vector<Outcome> outcomes(1000, {0.5f, false});
  for (std::size_t i = 0; i < outcomes.size(); i += 10) outcomes[i].happened = true;
  CHECK(expected_calibration_error({{0.5f}, {0.1f}}, outcomes) == Approx(0.0).margin(1e-6));
  CHECK(expected_calibration_error({{0.5f}, {0.4f}}, outcomes) == Approx(0.3));
}

TEST_CASE("A calibration does not depend on the order of the outcomes", "[model][calibration]") {
  std::vector<Outcome> outcomes = quadratic(500, 3);
  for (Outcome& outcome : outcomes) outcome.score = std::round(outcome.score * 20.0f);  // many ties
  const Calibration sorted = Calibration::isotonic(outcomes);
  std::shuffle(outcomes.begin(), outcomes.end(), std::mt19937(4));
  const Calibration shuffled = Calibration::isotonic(outcomes);
  CHECK(shuffled.scores == sorted.scores);
  CHECK(shuffled.probabilities == sorted.probabilities);
}

TEST_CASE("Calibrations of nothing, of one outcome and of one score are defined", "[model][calibration]") {
  CHECK(Calibration::isotonic({}).empty());
  CHECK(Calibration::isotonic({{std::numeric_limits<float>::quiet_NaN(), true}}).empty());
  CHECK(Calibration::isotonic({{3.0f, true}})(0.0f) == 1.0f);
  CHECK(Calibration::isotonic({{3.0f, true}, {3.0f, false}, {3.0f, false}, {3.0f, false}})(9.0f) == 0.25f);
  CHECK(expected_calibration_error(Calibration{}, {}) == 0.0);
}

TEST_CASE("A calibration that is none is refused", "[model][calibration]") {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS((Calibration{{1.0f}, {}}.validate()), Error);
  CHECK_THROWS_AS((Calibration{{1.0f, 1.0f}, {0.1f, 0.2f}}.validate()), Error);
  CHECK_THROWS_AS((Calibration{{kNaN}, {0.1f}}.validate()), Error);
  CHECK_THROWS_AS((Calibration{{1.0f}, {kNaN}}.validate()), Error);
  CHECK_THROWS_AS((Calibration{{1.0f}, {1.5f}}.validate()), Error);
  CHECK_THROWS_AS((Calibration{{1.0f, 2.0f}, {0.2f, 0.1f}}.validate()), Error);
  CHECK_NOTHROW(Calibration{}.validate());
}
