// SPDX-License-Identifier: Apache-2.0
#include "serving/linear_bandit.hpp"

#include <cmath>
#include <map>
#include <random>

#include "catch.hpp"

using namespace attune;

namespace {

constexpr std::size_t kDim = 3;
using Arm = std::vector<float>;

// The formula, with the inverse by Gauss and Jordan.
double upper_bound(const std::map<ItemHandle, Arm>& arms, const ItemExposure& exposure, const Arm& arm, double width) {
  constexpr std::size_t n = kDim + 1;
  const auto features = [](const Arm& of) {
    std::vector<double> x{1};
    const double length = std::sqrt(double{of[0]} * of[0] + double{of[1]} * of[1] + double{of[2]} * of[2]);
    for (const float value : of) x.push_back(length > 0 ? value / length : 0.0);
    return x;
  };
  double a[n][2 * n] = {}, b[n] = {};
  for (std::size_t i = 0; i < n; ++i) a[i][i] = a[i][n + i] = 1;
  for (const auto& [item, of] : arms) {
    const auto x = features(of);
    const auto [impressions, rewards] = exposure.of(item);
    for (std::size_t i = 0; i < n; ++i) {
      b[i] += rewards * x[i];
      for (std::size_t j = 0; j < n; ++j) a[i][j] += impressions * x[i] * x[j];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    const double pivot = a[i][i];
    for (double& value : a[i]) value /= pivot;
    for (std::size_t row = 0; row < n; ++row) {
      const double factor = a[row][i];
      for (std::size_t j = 0; row != i && j < 2 * n; ++j) a[row][j] -= factor * a[i][j];
    }
  }
  const auto x = features(arm);
  double mean = 0, square = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      mean += x[i] * a[i][n + j] * b[j];
      square += x[i] * a[i][n + j] * x[j];
    }
  }
  return mean + width * std::sqrt(square);
}

}  // namespace

TEST_CASE("The linear bandit's bounds are those of ridge regression, whatever comes when", "[serving][exploration]") {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  const auto some = [&] { return Arm{normal(random), normal(random), normal(random)}; };
  std::map<ItemHandle, Arm> arms{{9000, {0, 0, 0}}};  // one without a direction, in another block
  while (arms.size() < 20) arms.emplace(static_cast<ItemHandle>(random() % 300), some());
  std::vector<ItemHandle> items;
  for (const auto& [item, arm] : arms) items.push_back(item);
  ItemExposure exposure;
  LinearBandit bandit;
  const auto learn = [&](std::uint64_t generation) {
    bandit.learn(exposure, generation, kDim,
                 [&](ItemHandle item, std::span<float> x) { std::ranges::copy(arms.at(item), x.begin()); });
  };
  const auto check = [&](std::uint64_t generation) {
    for (const auto& [item, arm] : arms) {
      for (const double width : {0.0, 1.0, 2.5}) {
        CHECK(std::abs(bandit.upper_bound(generation, arm, width) - upper_bound(arms, exposure, arm, width)) < 1e-9);
      }
    }
  };
  learn(1);
  check(1);  // nothing was shown: all are as good, but the one that has no features
  for (int round = 0; round < 5; ++round) {
    for (int event = 0; event < 40; ++event) {
      const ItemHandle item = items[random() % items.size()];
      exposure.make_room(item);
      exposure.add(item, 1, random() % 3 == 0 ? 1 : 0);
    }
    learn(1);
    check(1);
  }

  // A user is forgotten: what he was shown does not count any more.
  exposure.make_room(items[4]);
  exposure.add(items[4], 10, 10);
  learn(1);
  exposure.add(items[4], -10, -10);
  exposure.add(items[4], 1, 0);
  learn(1);
  check(1);

  // Another model, other vectors; who still asks about the old one hears that all are alike.
  for (auto& [item, arm] : arms) arm = some();
  learn(2);
  check(2);
  CHECK(bandit.upper_bound(1, arms.at(items[0]), 1) == 0);
  CHECK(bandit.upper_bound(1, arms.at(items[1]), 1) == 0);
}
