// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/experiment.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "catch.hpp"

using namespace attune;

namespace {

constexpr std::size_t kUsers = 20'000;

Experiment make(std::string_view name, std::vector<double> shares) { return Experiment(name, shares); }

std::vector<std::size_t> arms_of(const Experiment& experiment) {
  std::vector<std::size_t> arms;
  for (std::size_t u = 0; u < kUsers; ++u) {
    const std::string user = std::string("user ").append(std::to_string(u));
    arms.push_back(experiment.arm(user));
  }
  return arms;
}

// Four standard deviations of a share of all users.
double tolerance(double share) { return 4 * std::sqrt(share * (1 - share) / static_cast<double>(kUsers)); }

}  // namespace

TEST_CASE("Arms get their shares of texts and of numbers, and a user keeps the arm", "[serving][experiment]") {
  const Experiment experiment = make("new ranker", {5, 3, 0, 2});
  CHECK(experiment.arms() == 4);
  const double shares[] = {0.5, 0.3, 0, 0.2};
  std::vector<double> texts(4), numbers(4);
  for (const std::size_t arm : arms_of(experiment)) texts[arm] += 1.0 / kUsers;
  for (std::size_t u = 0; u < kUsers; ++u) numbers[experiment.arm(u)] += 1.0 / kUsers;
  for (std::size_t arm = 0; arm < 4; ++arm) {
    CHECK(std::abs(texts[arm] - shares[arm]) <= tolerance(shares[arm]));
    CHECK(std::abs(numbers[arm] - shares[arm]) <= tolerance(shares[arm]));
  }
  CHECK(arms_of(make("new ranker", {0.5, 0.3, 0, 0.2})) == arms_of(experiment));
}

TEST_CASE("Arms are what they are on every machine and in every version", "[serving][experiment]") {
  const Experiment experiment = make("golden", std::vector<double>(1000, 1.0));
  CHECK(experiment.arm("u42") == 752);
  CHECK(experiment.arm(42) == 977);
  CHECK(experiment.arm("42") == 45);
  CHECK(experiment.arm("\xe6\x98\x8e") == 206);
  CHECK(experiment.arm(-1) == 452);
  CHECK(experiment.arm(Id()) == 0);
  CHECK(experiment.arm("") == 0);
}

TEST_CASE("A growing arm keeps its users, and experiments of other names deal anew", "[serving][experiment]") {
  const auto small = arms_of(make("x", {0.9, 0.1})), large = arms_of(make("x", {0.7, 0.3})),
             other = arms_of(make("y", {0.7, 0.3}));
  std::size_t left = 0, both = 0;
  for (std::size_t u = 0; u < kUsers; ++u) {
    left += small[u] == 1 && large[u] == 0;
    both += large[u] == 1 && other[u] == 1;
  }
  CHECK(left == 0);
  CHECK(std::abs(static_cast<double>(both) / kUsers - 0.09) <= tolerance(0.09));
}

TEST_CASE("Shares that deal nobody anywhere are refused, with their place", "[serving][experiment]") {
  CHECK_THROWS_WITH(make("x", {}), Catch::Matchers::Contains("positive sum"));
  CHECK_THROWS_WITH(make("x", {0, 0}), Catch::Matchers::Contains("positive sum"));
  CHECK_THROWS_WITH(make("x", {1, -0.5}), Catch::Matchers::Contains("share 1 must be at least 0"));
  CHECK_THROWS_AS(make("x", {std::numeric_limits<double>::quiet_NaN()}), Error);
  CHECK_THROWS_AS(make("x", {std::numeric_limits<double>::infinity()}), Error);
  CHECK_THROWS_AS(make("x", {std::numeric_limits<double>::max(), std::numeric_limits<double>::max()}), Error);
  CHECK(make("x", {0, 1}).arm("anybody") == 1);
}
