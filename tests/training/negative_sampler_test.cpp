// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "attune/training/objective.hpp"
#include "catch.hpp"

using namespace attune;

TEST_CASE("Items are drawn in proportion to a power of their counts, and never without events",
          "[training][negative_sampler]") {
  const std::vector<std::uint64_t> counts{1, 0, 4, 16};
  const double power = GENERATE(0.0, 0.5, 1.0);
  const NegativeSampler sampler(counts, power);
  CHECK(sampler.size() == 3);
  std::vector<double> shares(4);
  constexpr std::size_t kDraws = 200'000;
  for (std::size_t i = 0; i < kDraws; ++i) shares[sampler.draw(detail::mix(1, i))] += 1.0 / kDraws;
  double total = 0;
  for (const std::uint64_t count : counts) total += count == 0 ? 0.0 : std::pow(static_cast<double>(count), power);
  for (std::size_t item = 0; item < 4; ++item) {
    const double share = counts[item] == 0 ? 0.0 : std::pow(static_cast<double>(counts[item]), power) / total;
    CHECK(shares[item] == Approx(share).margin(0.005));
    if (share > 0) CHECK(sampler.log_share(static_cast<ItemHandle>(item)) == Approx(std::log(share)).epsilon(1e-5));
  }
}

TEST_CASE("A draw never gives the excepted item, and ends for every input", "[training][negative_sampler]") {
  const std::vector<std::uint64_t> skewed{1, 1'000'000'000'000'000, 0};
  const NegativeSampler sampler(skewed, 1.0);
  for (std::size_t i = 0; i < 1000; ++i) {
    CHECK(sampler.draw(i, 1) == 0);
    CHECK(sampler.draw(i, 0) == 1);
  }
  const std::vector<std::uint64_t> alone{0, 3};
  CHECK(NegativeSampler(alone, 0.0).draw(5, 1) == kNoHandle);
  CHECK(NegativeSampler(alone, 0.0).draw(5, 0) == 1);
  CHECK(NegativeSampler(std::vector<std::uint64_t>{0, 0}, 0.0).draw(5) == kNoHandle);
}

TEST_CASE("A set holds different items, as many as asked for where there are so many", "[training][negative_sampler]") {
  std::vector<std::uint64_t> counts(50, 1);
  counts[7] = 0;
  const NegativeSampler sampler(counts, 0.0);
  std::vector<ItemHandle> set, again;
  sampler.draw_set(set, 20, 9);
  sampler.draw_set(again, 20, 9);
  CHECK(set == again);
  CHECK(set.size() == 20);
  for (std::size_t i = 1; i < set.size(); ++i) CHECK(set[i - 1] < set[i]);
  sampler.draw_set(again, 20, 10);
  CHECK(set != again);
  sampler.draw_set(set, 1000, 9);
  CHECK(set.size() == 49);
  const std::vector<std::uint64_t> skewed{1, 1'000'000'000'000'000, 1};
  NegativeSampler(skewed, 1.0).draw_set(set, 2, 3);
  CHECK(set.size() == 2);
}

TEST_CASE("An objective names the field that it refuses", "[training][negative_sampler]") {
  const auto message = [](auto change) {
    ObjectiveConfig config;
    change(config);
    try {
      config.validate();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(message([](ObjectiveConfig&) {}).empty());
  using Catch::Contains;
  CHECK_THAT(message([](auto& c) { c.negatives = 0; }), Contains("objective.negatives must be 1 to 65536"));
  CHECK_THAT(message([](auto& c) { c.label_smoothing = 1; }), Contains("objective.label_smoothing"));
  CHECK_THAT(message([](auto& c) { c.calibration = std::nan(""); }), Contains("objective.calibration"));
  CHECK_THAT(message([](auto& c) { c.log_q = true; }), Contains("false unless sampled_softmax"));
  CHECK_THAT(message([](auto& c) { c.shared_negatives = true; }), Contains("false unless sampled_softmax"));
}

TEST_CASE("A set holds an item as often as it is said to", "[training][negative_sampler]") {
  const std::vector<std::uint64_t> counts{1, 2, 4, 8, 0, 16, 32, 64};
  const NegativeSampler sampler(counts, 1.0);
  const std::size_t size = GENERATE(1u, 3u, 4u, 6u);
  std::vector<double> held(counts.size());
  std::vector<ItemHandle> set;
  constexpr std::size_t kSets = 20'000;
  for (std::size_t i = 0; i < kSets; ++i) {
    sampler.draw_set(set, size, detail::mix(2, i));
    for (const ItemHandle item : set) held[item] += 1.0 / kSets;
  }
  const std::vector<float> logarithms = sampler.log_inclusions(size);
  REQUIRE(logarithms.size() == counts.size());
  for (std::size_t item = 0; item < counts.size(); ++item) {
    INFO("item " << item << " in sets of " << size);
    if (counts[item] > 0) CHECK(std::exp(static_cast<double>(logarithms[item])) == Approx(held[item]).margin(0.06));
  }
  CHECK(sampler.log_inclusions(7) == std::vector<float>(counts.size(), 0.0f));
}
