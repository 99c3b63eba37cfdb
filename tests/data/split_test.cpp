// SPDX-License-Identifier: Apache-2.0
#include "attune/data/split.hpp"

#include <string>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "catch.hpp"

using attune::Error;
using attune::ErrorCode;
using attune::group_by_user;
using attune::Histories;
using attune::InteractionLog;
using attune::Split;
using attune::split;
using attune::SplitOptions;

namespace {

// Users with the given numbers of events; event e of every user happens at time e unless all are equal.
Histories histories_of(const std::vector<int>& events, bool equal_times = false) {
  InteractionLog log;
  for (std::size_t user = 0; user < events.size(); ++user) {
    for (int e = 0; e < events[user]; ++e) {
      log.append({.user = "u" + std::to_string(user),
                  .item = "i" + std::to_string(e),
                  .timestamp = equal_times ? 1000 : 1000 + e});
    }
  }
  return group_by_user(std::move(log));
}

}  // namespace

TEST_CASE("leave-one-out tests the last event and validates the one before", "[data][split]") {
  const Split parts = split(histories_of({5, 3}), SplitOptions::parse("leave-one-out"));
  REQUIRE(parts.test.size() == 2);
  REQUIRE(parts.validation.size() == 2);
  CHECK(parts.train.num_events() == 4);
  CHECK(parts.all->num_events() == 8);
  const auto& query = parts.test.queries[0];
  CHECK(parts.test.history(query).size() == 4);  // the validation event included
  CHECK(parts.test.targets(query).size() == 1);
  CHECK(parts.test.targets(query)[0] == parts.all->item_ids->find("i4"));
  CHECK(parts.test.time(query) == 1004);
  CHECK(parts.validation.history(parts.validation.queries[0]).size() == 3);
  CHECK_THAT(parts.note, Catch::Contains("leave-one-out"));
}

TEST_CASE("users with one or two events only train", "[data][split]") {
  const Split parts = split(histories_of({1, 2, 3}), SplitOptions::parse("leave-one-out"));
  CHECK(parts.test.size() == 1);
  CHECK(parts.validation.size() == 1);
  CHECK(parts.train.num_events() == 4);
  CHECK(parts.train.num_users() == 3);
}

TEST_CASE("equal timestamps keep the order of the file in every split (UR-34)", "[data][split]") {
  const Split parts = split(histories_of({4}, true), SplitOptions::parse("leave-one-out"));
  CHECK(parts.test.targets(parts.test.queries[0])[0] == parts.all->item_ids->find("i3"));
  CHECK(parts.validation.targets(parts.validation.queries[0])[0] == parts.all->item_ids->find("i2"));

  const Split temporal = split(histories_of({4}, true));
  CHECK(temporal.train.num_events() == 4);
  CHECK(temporal.test.empty());
  CHECK_THAT(temporal.note, Catch::Contains("empty"));
}

TEST_CASE("the temporal split cuts all users at one time, equal times on one side", "[data][split]") {
  const Split parts = split(histories_of({100, 100}));
  CHECK(parts.train.num_events() == 162);
  CHECK(parts.validation.size() == 18);
  CHECK(parts.test.size() == 20);
  for (const auto& query : parts.test.queries) {
    CHECK(query.history_length >= 90);
    CHECK(query.num_targets == 1);
    CHECK(parts.test.time(query) >= 1090);
  }
}

TEST_CASE("nothing a model trains on happens after what it is tested on (UR-33)", "[data][split]") {
  const Split parts = split(histories_of({30, 7, 90, 55}), SplitOptions::parse("temporal:0.8"));
  attune::Timestamp last_training = 0;
  for (const attune::Timestamp time : parts.train.times) last_training = std::max(last_training, time);
  for (const auto& query : parts.validation.queries) CHECK(parts.validation.time(query) > last_training);
  for (const auto& query : parts.test.queries) CHECK(parts.test.time(query) > last_training);
  CHECK(parts.train.num_events() + parts.validation.size() + parts.test.size() == parts.all->num_events());
}

TEST_CASE("a basket is one query with all of its items relevant", "[data][split]") {
  InteractionLog log;
  for (int e = 0; e < 95; ++e) log.append({.user = "other", .item = "i", .timestamp = e});
  for (int e = 0; e < 5; ++e) log.append({.user = "u", .item = std::to_string(e), .timestamp = 200});
  SplitOptions options;
  options.baskets = true;
  const Split parts = split(group_by_user(std::move(log)), options);
  const auto user = parts.all->user_ids->find("u");
  std::size_t baskets = 0;
  for (const auto& query : parts.test.queries) {
    if (query.user != user) continue;
    ++baskets;
    CHECK(query.num_targets == 5);
    CHECK(query.history_length == 0);
  }
  CHECK(baskets == 1);
}

TEST_CASE("the split none trains on everything", "[data][split]") {
  const Split parts = split(histories_of({3, 4}), SplitOptions::parse("none"));
  CHECK(parts.train.num_events() == 7);
  CHECK(parts.validation.empty());
  CHECK(parts.test.empty());
}

TEST_CASE("a temporal split of events without times is refused with a way out", "[data][split]") {
  InteractionLog log;
  log.append({.user = "u", .item = "i"});
  try {
    split(group_by_user(std::move(log)));
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_data);
    CHECK_THAT(error.what(), Catch::Contains("leave-one-out"));
  }
}

TEST_CASE("names of splits are read and written", "[data][split]") {
  CHECK(SplitOptions::parse("temporal").fraction == 0.9);
  CHECK(SplitOptions::parse("temporal:0.75").fraction == 0.75);
  CHECK(SplitOptions::parse("temporal:0.75").name() == "temporal:0.75");
  CHECK(SplitOptions::parse("leave-one-out").name() == "leave-one-out");
  CHECK(SplitOptions::parse("none").name() == "none");
  for (const char* text : {"", "random", "temporal:", "temporal:0", "temporal:1", "temporal:x", "temporal:nan"}) {
    CHECK_THROWS_AS(SplitOptions::parse(text), Error);
  }
}
