// SPDX-License-Identifier: Apache-2.0
#include "attune/training/protocol.hpp"

#include <catch2/catch.hpp>

#include "attune/error.hpp"

using namespace attune;

TEST_CASE("A protocol comes back from the notes that keep it", "[training]") {
  EvaluationProtocol protocol;
  protocol.split = SplitOptions::parse("temporal:0.85");
  protocol.split.baskets = true;
  protocol.exclude_seen = false;
  protocol.request_time = true;
  protocol.min_rating = 3.5F;
  protocol.k_core = 5;
  std::map<std::string, std::string> notes{{"preset", "default"}};
  protocol.write(notes);
  CHECK(notes.at("preset") == "default");

  const EvaluationProtocol found = EvaluationProtocol::read(notes);
  CHECK(found.split.name() == "temporal:0.85");
  CHECK(found.split.baskets);
  CHECK_FALSE(found.exclude_seen);
  CHECK(found.request_time);
  CHECK(found.min_rating == 3.5F);
  CHECK(found.k_core == 5);
}

TEST_CASE("A protocol without a minimum has none when it comes back", "[training]") {
  std::map<std::string, std::string> notes;
  EvaluationProtocol{}.write(notes);
  CHECK_FALSE(EvaluationProtocol::read(notes).min_rating.has_value());
}

TEST_CASE("Notes without a protocol stand for the default one", "[training]") {
  const EvaluationProtocol found = EvaluationProtocol::read({});
  CHECK(found.split.name() == SplitOptions{}.name());
  CHECK(found.exclude_seen);
  CHECK_FALSE(found.request_time);
  CHECK(found.k_core == 0);
}

TEST_CASE("A split in the notes that cannot be is refused", "[training]") {
  CHECK_THROWS_AS(EvaluationProtocol::read({{"split", "by halves"}}), Error);
}
