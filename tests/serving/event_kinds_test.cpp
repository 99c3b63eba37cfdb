// SPDX-License-Identifier: Apache-2.0
#include "serving/event_kinds.hpp"

#include "catch.hpp"

using namespace attune;

TEST_CASE("Kinds of events are numbered as they come, the plain one is 0, 256 in all", "[serving][event_kinds]") {
  EventKinds kinds;
  CHECK(kinds.find_or_add("view") == 1);
  CHECK(kinds.find_or_add("") == 0);
  CHECK(kinds.find_or_add("buy") == 2);
  CHECK(kinds.find_or_add("view") == 1);
  for (int i = 3; i < 256; ++i) REQUIRE(kinds.find_or_add(std::to_string(i)) == i);
  CHECK(kinds.find_or_add("one too many") == std::nullopt);
  CHECK(kinds.find_or_add("buy") == 2);
}
