// SPDX-License-Identifier: Apache-2.0
#include "attune/data/interaction_log.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "catch.hpp"

using attune::clean;
using attune::CleaningOptions;
using attune::CleaningReport;
using attune::Error;
using attune::ErrorCode;
using attune::group_by_user;
using attune::Histories;
using attune::InteractionLog;
using attune::kNoTime;

namespace {

InteractionLog log_of(const std::vector<std::pair<std::string, std::string>>& pairs) {
  InteractionLog log;
  attune::Timestamp time = 1000;
  for (const auto& [user, item] : pairs) log.append({.user = user, .item = item, .timestamp = time++});
  return log;
}

std::vector<std::string> items_of(const Histories& histories, const std::string& user) {
  std::vector<std::string> items;
  for (const auto item : histories.of(histories.user_ids->find(user)).items) {
    items.push_back(attune::to_string(histories.item_ids->id(item)));
  }
  return items;
}

}  // namespace

TEST_CASE("a log keeps its columns in the order of insertion", "[data][interaction_log]") {
  InteractionLog log;
  log.append({.user = "u", .item = "i", .timestamp = 5, .event = "view", .value = 0.5f});
  log.append({.user = "v", .item = "i"});
  REQUIRE(log.size() == 2);
  CHECK(log.users()[1] == 1);
  CHECK(log.items()[1] == 0);
  CHECK(log.times()[0] == 5);
  CHECK(log.times()[1] == kNoTime);
  CHECK(log.event_kinds() == std::vector<std::string>{"", "view"});
  CHECK(log.kinds()[0] == 1);
  CHECK(log.values()[0] == 0.5f);
}

TEST_CASE("an event without a usable id or value is refused and leaves nothing", "[data][interaction_log]") {
  InteractionLog log;
  CHECK_THROWS_AS(log.append({.user = "", .item = "i"}), Error);
  CHECK_THROWS_AS(log.append({.user = "u", .item = 7}), Error);
  CHECK_THROWS_AS(log.append({.user = "u", .item = "i", .value = std::numeric_limits<float>::quiet_NaN()}), Error);
  CHECK(log.empty());
}

TEST_CASE("at most 256 kinds of events fit", "[data][interaction_log]") {
  InteractionLog log;
  for (int i = 1; i < 256; ++i) CHECK(log.event_kind("kind" + std::to_string(i)) == i);
  try {
    log.event_kind("one too many");
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::limit_exceeded);
  }
}

TEST_CASE("histories are ordered by time, equal times by the log (UR-31) (UR-34)", "[data][interaction_log]") {
  InteractionLog log;
  log.append({.user = "u", .item = "late", .timestamp = 1'700'000'000'200});
  log.append({.user = "u", .item = "a", .timestamp = 1'700'000'000'100});
  log.append({.user = "v", .item = "x", .timestamp = 3});
  log.append({.user = "u", .item = "b", .timestamp = 1'700'000'000'100});
  log.append({.user = "u", .item = "unknown"});
  const Histories histories = group_by_user(std::move(log));
  CHECK(items_of(histories, "u") == std::vector<std::string>{"unknown", "a", "b", "late"});
  CHECK(items_of(histories, "v") == std::vector<std::string>{"x"});
  CHECK(histories.num_users() == 2);
  CHECK(histories.num_events() == 5);
}

TEST_CASE("steps of one second and one millisecond keep their order (UR-31)", "[data][interaction_log]") {
  for (const attune::Timestamp step : {1, 1000}) {
    InteractionLog log;
    for (int i = 200; i >= 0; --i) {
      log.append({.user = "u", .item = std::to_string(i), .timestamp = 1'700'000'000'000 + i * step});
    }
    const Histories histories = group_by_user(std::move(log));
    const std::vector<std::string> items = items_of(histories, "u");
    for (std::size_t i = 0; i <= 200; ++i) CHECK(items[i] == std::to_string(i));
    CHECK(histories.times[200] - histories.times[0] == 200 * step);
  }
}

TEST_CASE("a log without any time keeps its order and gives histories without times", "[data][interaction_log]") {
  InteractionLog log;
  for (const char* item : {"c", "a", "b"}) log.append({.user = "u", .item = item});
  const Histories histories = group_by_user(std::move(log));
  CHECK(items_of(histories, "u") == std::vector<std::string>{"c", "a", "b"});
  CHECK(histories.times.empty());
}

TEST_CASE("cleaning accounts for every event it drops", "[data][interaction_log]") {
  InteractionLog log;
  for (int user = 0; user < 3; ++user) {
    for (int item = 0; item < 3; ++item) {
      log.append({.user = std::to_string(user), .item = std::to_string(item), .timestamp = item, .value = 4});
    }
  }
  log.append({.user = "0", .item = "0", .timestamp = 0, .value = 4});                // a duplicate
  log.append({.user = "0", .item = "0", .timestamp = 0, .event = "b", .value = 4});  // another kind: none
  log.append({.user = "1", .item = "2", .timestamp = 9, .value = 1});                // below the rating
  log.append({.user = "lonely", .item = "rare", .timestamp = 1, .value = 5});        // outside the core
  CleaningReport report;
  const InteractionLog left = clean(log, {.min_value = 3, .k_core = 3}, &report);
  CHECK(report.before == 13);
  CHECK(report.after == 10);
  CHECK(report.duplicates == 1);
  CHECK(report.below_min_value == 1);
  CHECK(report.outside_core == 1);
  CHECK(report.users == 3);
  CHECK(report.items == 3);
  CHECK(left.size() == 10);
  CHECK(left.item_ids().find("rare") == attune::kNoHandle);
}

TEST_CASE("the core is a fixpoint: what loses its support goes too", "[data][interaction_log]") {
  // Every chain link has two events only as long as the next one stays.
  std::vector<std::pair<std::string, std::string>> pairs{{"u0", "i0"}};
  for (int i = 1; i < 50; ++i) {
    pairs.emplace_back("u" + std::to_string(i - 1), "i" + std::to_string(i));
    pairs.emplace_back("u" + std::to_string(i), "i" + std::to_string(i));
  }
  for (const char* user : {"a", "b"}) {
    for (const char* item : {"x", "y"}) pairs.emplace_back(user, item);
  }
  const InteractionLog left = clean(log_of(pairs), {.k_core = 2});
  CHECK(left.size() == 4);
  CHECK(left.user_ids().size() == 2);
  CHECK(left.user_ids().find("a") == 0);
}

TEST_CASE("cleaning that leaves nothing says what was dropped", "[data][interaction_log]") {
  try {
    clean(log_of({{"u", "i"}}), {.k_core = 2});
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_data);
    CHECK_THAT(error.what(), Catch::Contains("1"));
  }
}
