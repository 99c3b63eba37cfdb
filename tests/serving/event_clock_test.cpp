// SPDX-License-Identifier: Apache-2.0
#include "serving/event_clock.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "catch.hpp"

using namespace attune;

namespace {

constexpr Timestamp kDay = EventClock::kMostAhead, kFar = 253'402'300'799'999;

}  // namespace

TEST_CASE("The time is that of the newest event, at most a day after those of all other users",
          "[serving][event_clock]") {
  EventClock clock;
  CHECK(clock.now() == kNoTime);
  clock.see(1, 10);
  CHECK(clock.now() == 10);
  clock.see(2, 30);
  CHECK(clock.now() == 30);
  clock.see(2, 5);
  CHECK(clock.now() == 30);
  clock.see(2, 10 + kDay);
  CHECK(clock.now() == 10 + kDay);
  clock.see(2, 11 + kDay);
  CHECK(clock.now() == 10);
  clock.see(3, 25);
  CHECK(clock.now() == 11 + kDay);
}

TEST_CASE("One user whose clock is ahead does not change the time for all others", "[serving][event_clock]") {
  EventClock clock;
  if (GENERATE(false, true)) clock.see(7, kFar);  // the first of all
  clock.see(1, 10);
  clock.see(2, 12);
  for (int i = 0; i < 3; ++i) clock.see(7, kFar - i);
  CHECK(clock.now() == 12);
  clock.see(1, 15);
  CHECK(clock.now() == 15);
  clock.forget(7);
  clock.see(7, 16);
  CHECK(clock.now() == 16);
  clock.see(8, kFar);  // two agree
  CHECK(clock.now() == kFar);
}

TEST_CASE("The time follows from each user's newest event, in whatever order they come", "[serving][event_clock]") {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    EventClock clock;
    std::map<std::uint64_t, Timestamp> newest;
    for (int event = 0; event < 30; ++event) {
      const std::uint64_t user = random() % 5;
      const Timestamp at = random() % 8 * kDay / 2;
      clock.see(user, at);
      const auto place = newest.emplace(user, at).first;
      place->second = std::max(place->second, at);
      if (newest.size() < 2) continue;
      std::vector<Timestamp> times;
      for (const auto& [of, time] : newest) times.push_back(time);
      std::ranges::sort(times, std::greater());
      REQUIRE(clock.now() == (times[0] - times[1] <= kDay ? times[0] : times[1]));
    }
  }
}
