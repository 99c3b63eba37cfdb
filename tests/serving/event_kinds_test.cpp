// SPDX-License-Identifier: Apache-2.0
#include "serving/event_kinds.hpp"

#include "catch.hpp"

using namespace attune;

TEST_CASE("Kinds of events are numbered as they come, the plain one is 0", "[serving][event_kinds]") {
  EventKinds kinds;
  CHECK(kinds.of_event("view") == 1);
  CHECK(kinds.of_event("") == 0);
  CHECK(kinds.of_model("buy") == 2);
  CHECK(kinds.of_model("view") == 1);
  CHECK(kinds.of_event("buy") == 2);
}

TEST_CASE("A number of a kind gives its name back", "[serving][event_kinds]") {
  EventKinds kinds;
  const auto buy = kinds.of_event("buy");
  CHECK(kinds.name(*buy) == "buy");
  CHECK(kinds.name(0).empty());
}

TEST_CASE("However many kinds events bring, half of all are left to models", "[serving][event_kinds]") {
  EventKinds kinds;
  for (int i = 1; i <= 128; ++i) REQUIRE(kinds.of_event(std::to_string(i)) == i);
  CHECK(kinds.of_event("one too many") == std::nullopt);
  for (int i = 129; i < 256; ++i) REQUIRE(kinds.of_model(std::to_string(i)) == i);
  CHECK(kinds.of_model("one too many") == std::nullopt);
  CHECK(kinds.of_event("200") == 200);
}
