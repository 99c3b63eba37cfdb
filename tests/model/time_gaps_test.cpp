// SPDX-License-Identifier: Apache-2.0
#include "attune/detail/time_gaps.hpp"

#include <cmath>

#include "catch.hpp"

using namespace attune;

namespace {

std::size_t by_formula(double seconds) { return static_cast<std::size_t>(std::log(std::max(1.0, seconds)) / 0.301); }

}  // namespace

TEST_CASE("The bucket of a gap is the logarithm of its seconds, in steps of 0.301", "[model][time_gaps]") {
  const detail::TimeGaps gaps(128);
  std::vector<Timestamp> times;
  for (Timestamp seconds = 0; seconds < 3000; ++seconds) times.push_back(-1000 * seconds);
  for (Timestamp seconds = 3000; seconds < 4'000'000'000; seconds += seconds / 7) times.push_back(-1000 * seconds);
  std::vector<std::uint8_t> buckets(times.size());
  gaps.fill(buckets.data(), 0, times.data(), times.size());
  for (std::size_t i = 0; i < times.size(); ++i)
    REQUIRE(buckets[i] == by_formula(-1e-3 * static_cast<double>(times[i])));
}

TEST_CASE("Gaps beyond the last bucket are in it, and order does not matter", "[model][time_gaps]") {
  const detail::TimeGaps gaps(4);
  const Timestamp times[] = {0, 4'000'000, 1'000'000'000'000, 5000, -5000, 0, std::numeric_limits<Timestamp>::max()};
  std::uint8_t buckets[7];
  gaps.fill(buckets, 0, times, 7);
  const std::uint8_t expected[] = {0, 3, 3, 3, 3, 0, 3};
  for (std::size_t i = 0; i < 7; ++i) CHECK(buckets[i] == expected[i]);
}

TEST_CASE("A gap to or from an unknown time is in the first bucket", "[model][time_gaps]") {
  const detail::TimeGaps gaps(128);
  const Timestamp times[] = {kNoTime, 1000};
  std::uint8_t buckets[2];
  gaps.fill(buckets, 9'000'000, times, 2);
  CHECK(buckets[0] == 0);
  CHECK(buckets[1] > 0);
  gaps.fill(buckets, kNoTime, times, 2);
  CHECK(buckets[1] == 0);
}
