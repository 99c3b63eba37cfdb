// SPDX-License-Identifier: Apache-2.0
#include "attune/data/interaction_log.hpp"

#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>

#include "attune/error.hpp"
#include "catch.hpp"
#include "data/reading.hpp"

using namespace attune;
using attune::test::failure_of;

namespace {

InteractionLog log_of(const std::vector<Interaction>& interactions) {
  InteractionLog log;
  for (const Interaction& interaction : interactions) log.append(interaction);
  return log;
}

std::vector<std::string> history(const Histories& histories, const char* user) {
  std::vector<std::string> items;
  for (const ItemHandle item : histories.of(histories.user_ids->find(user)).items) {
    items.emplace_back(histories.item_ids->id(item).text());
  }
  return items;
}

using Items = std::vector<std::string>;

void require_accounted(const CleaningReport& report, const InteractionLog& kept) {
  REQUIRE(report.before - report.after == report.duplicates + report.below_min_value + report.outside_core);
  REQUIRE(report.after == kept.size());
  REQUIRE(report.users == kept.user_ids().size());
  REQUIRE(report.items == kept.item_ids().size());
  std::set<UserHandle> users(kept.users().begin(), kept.users().end());
  std::set<ItemHandle> items(kept.items().begin(), kept.items().end());
  REQUIRE(users.size() == report.users);
  REQUIRE(items.size() == report.items);
}

}  // namespace

TEST_CASE("Events become columns in the order of insertion", "[data][interaction_log]") {
  const InteractionLog log = log_of({{"u", "a", 5, "view", 2.0f}, {"v", "a", 4, "buy", 1.5f}, {"u", "b", 6}});
  REQUIRE(log.size() == 3);
  REQUIRE(log.users()[2] == 0);
  REQUIRE(log.items()[1] == 0);
  REQUIRE(log.times()[1] == 4);
  REQUIRE(log.values()[1] == 1.5f);
  REQUIRE(log.event_kinds() == std::vector<std::string>{"", "view", "buy"});
  REQUIRE(log.kinds()[0] == 1);
  REQUIRE(log.kinds()[1] == 2);
  REQUIRE(log.kinds()[2] == 0);
}

TEST_CASE("The same event id of a user twice is one event", "[data][interaction_log]") {
  InteractionLog log;
  REQUIRE(log.append({"u", "a", 5, "", 1.0f, "e1"}));
  REQUIRE_FALSE(log.append({"u", "b", 6, "", 1.0f, "e1"}));
  REQUIRE(log.append({"v", "b", 6, "", 1.0f, "e1"}));
  REQUIRE_FALSE(log.append({"v", "b", 6, "", 1.0f, "e1"}));
  REQUIRE_FALSE(log.append({"u", "b", 6, "", 1.0f, "e1"}));
  REQUIRE(log.append({"u", "b", 6, "", 1.0f, "e2"}));
  REQUIRE(log.append({"u", "c", 7}));
  REQUIRE(log.append({"u", "d", 8}));
  REQUIRE(log.size() == 5);
}

TEST_CASE("An event that cannot be used leaves no trace", "[data][interaction_log]") {
  InteractionLog log(IdKind::string, IdKind::int64);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Interaction& bad :
       {Interaction{"", 1}, Interaction{"u", ""}, Interaction{"u", "text"}, Interaction{7, 1}, Interaction{"u", Id()},
        Interaction{"u", 1, 5, "", nan}, Interaction{"u", 1, 5, "", infinity}}) {
    REQUIRE(failure_of([&] { log.append(bad); }).code == ErrorCode::invalid_data);
  }
  REQUIRE(log.empty());
  REQUIRE(log.user_ids().size() == 0);
  REQUIRE(log.item_ids().size() == 0);
}

TEST_CASE("The 257th kind of event is refused by name", "[data][interaction_log]") {
  InteractionLog log;
  for (int i = 1; i < 256; ++i) REQUIRE(log.event_kind("kind" + std::to_string(i)) == i);
  REQUIRE(log.event_kind("kind255") == 255);
  const auto failure = failure_of([&] { log.event_kind("kind256"); });
  REQUIRE(failure.code == ErrorCode::limit_exceeded);
  REQUIRE(failure.says("'kind256'"));
}

TEST_CASE("Duplicates agree in user, item, time and event, and the first is kept", "[data][interaction_log]") {
  const InteractionLog log = log_of({{"u", "a", 5, "", 1.0f},
                                     {"u", "a", 5, "", 2.0f},
                                     {"u", "a", 5, "buy"},
                                     {"v", "a", 5},
                                     {"u", "b", 5},
                                     {"u", "a", 6},
                                     {"u", "a", 5, "", 3.0f}});
  CleaningReport report;
  const InteractionLog kept = clean(log, {}, &report);
  require_accounted(report, kept);
  REQUIRE(report.duplicates == 2);
  REQUIRE(kept.values()[0] == 1.0f);
  REQUIRE(kept.size() == 5);

  CleaningOptions keep_all;
  keep_all.drop_duplicates = false;
  REQUIRE(clean(log, keep_all).size() == 7);
}

TEST_CASE("Repetitions without a time are no duplicates", "[data][interaction_log]") {
  REQUIRE(clean(log_of({{"u", "a"}, {"u", "a"}, {"u", "a"}}), {}).size() == 3);
}

TEST_CASE("An event below the minimum value makes no duplicate of a better one", "[data][interaction_log]") {
  CleaningOptions options;
  options.min_value = 3;
  CleaningReport report;
  const InteractionLog kept = clean(
      log_of({{"u", "a", 1, "", 1.0f}, {"u", "a", 1, "", 5.0f}, {"u", "a", 1, "", 2.0f}, {"u", "a", 1, "", 4.0f}}),
      options, &report);
  require_accounted(report, kept);
  REQUIRE(kept.size() == 1);
  REQUIRE(kept.values()[0] == 5.0f);
  REQUIRE(report.below_min_value == 2);
  REQUIRE(report.duplicates == 1);
}

TEST_CASE("Events below the minimum value go, those at it stay", "[data][interaction_log]") {
  CleaningOptions options;
  options.min_value = 4;
  CleaningReport report;
  const InteractionLog kept =
      clean(log_of({{"u", "a", 1, "", 3.5f}, {"u", "b", 2, "", 4.0f}, {"v", "a", 3, "", 5.0f}}), options, &report);
  require_accounted(report, kept);
  REQUIRE(report.below_min_value == 1);
  REQUIRE(kept.item_ids().id(0).text() == "b");
}

TEST_CASE("A core unravels until everybody has enough events", "[data][interaction_log]") {
  // u3 falls with item c, whose last event goes with u4; u1, u2 and the items a, b remain.
  const InteractionLog log = log_of(
      {{"u1", "a", 1}, {"u1", "b", 2}, {"u2", "a", 3}, {"u2", "b", 4}, {"u3", "c", 5}, {"u3", "a", 6}, {"u4", "c", 7}});
  CleaningOptions options;
  options.k_core = 2;
  CleaningReport report;
  const InteractionLog kept = clean(log, options, &report);
  require_accounted(report, kept);
  REQUIRE(report.outside_core == 3);
  REQUIRE(report.users == 2);
  REQUIRE(report.items == 2);
}

TEST_CASE("A core is the same as dropping again and again", "[data][interaction_log]") {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    InteractionLog log;
    for (int i = 0; i < 400; ++i) {
      const std::string user = std::to_string(random() % 60), item = std::to_string(random() % 80);
      log.append({user, item, i});
    }
    const std::size_t k = 2 + random() % 5;
    std::set<std::size_t> rows;
    for (std::size_t row = 0; row < log.size(); ++row) rows.insert(row);
    for (std::size_t before = 0; before != rows.size();) {
      before = rows.size();
      std::map<UserHandle, std::size_t> users;
      std::map<ItemHandle, std::size_t> items;
      for (const std::size_t row : rows) ++users[log.users()[row]], ++items[log.items()[row]];
      std::erase_if(rows, [&](std::size_t row) { return users[log.users()[row]] < k || items[log.items()[row]] < k; });
    }
    CleaningOptions options;
    options.k_core = k;
    if (rows.empty()) {
      REQUIRE(failure_of([&] { clean(log, options); }).code == ErrorCode::invalid_data);
      continue;
    }
    CleaningReport report;
    const InteractionLog kept = clean(log, options, &report);
    require_accounted(report, kept);
    std::vector<Timestamp> expected;
    for (const std::size_t row : rows) expected.push_back(log.times()[row]);
    REQUIRE(std::vector<Timestamp>(kept.times().begin(), kept.times().end()) == expected);
  }
}

TEST_CASE("A long chain of users and items unravels whole", "[data][interaction_log]") {
  InteractionLog log;
  for (int i = 0; i < 200'000; ++i) {
    log.append({"u" + std::to_string(i), "i" + std::to_string(i), 1});
    log.append({"u" + std::to_string(i), "i" + std::to_string(i + 1), 2});
  }
  for (const char* user : {"x", "y"}) {
    for (const char* item : {"p", "q"}) log.append({user, item, 3});
  }
  CleaningOptions options;
  options.k_core = 2;
  REQUIRE(clean(log, options).size() == 4);
}

TEST_CASE("Cleaning that leaves nothing says what went where", "[data][interaction_log]") {
  CleaningOptions options;
  options.min_value = 2;
  options.k_core = 5;
  const auto failure = failure_of([&] {
    clean(log_of({{"u", "a", 1}, {"u", "b", 2, "", 3.0f}, {"u", "b", 2, "", 3.0f}, {"u", "c", 3, "", 3.0f}}), options);
  });
  REQUIRE(failure.code == ErrorCode::invalid_data);
  REQUIRE(failure.says("of 4, 1 are below the minimum value, 1 duplicates, 2 outside the 5-core"));
  REQUIRE(failure_of([] { clean(InteractionLog(), {}); }).code == ErrorCode::invalid_data);
}

TEST_CASE("Cleaning gives handles anew in order of first appearance", "[data][interaction_log]") {
  CleaningOptions options;
  options.min_value = 1;
  const InteractionLog kept =
      clean(log_of({{"u", "a", 1, "x", 0.0f}, {"v", "b", 2, "y"}, {"u", "c", 3, "x"}}), options);
  REQUIRE(kept.user_ids().id(0).text() == "v");
  REQUIRE(kept.item_ids().find("a") == kNoHandle);
  REQUIRE(kept.item_ids().find("c") == 1);
  REQUIRE(kept.event_kinds()[kept.kinds()[1]] == "x");
}

TEST_CASE("Histories are ordered by time, and equal times keep the order of the log", "[data][interaction_log]") {
  const Histories histories = group_by_user(log_of({{"u", "c", 30},
                                                    {"v", "x", 5},
                                                    {"u", "a", 10},
                                                    {"u", "b2", 20},
                                                    {"v", "y", 5},
                                                    {"u", "b1", 20},
                                                    {"v", "w", 5},
                                                    {"u", "b0", 20}}));
  REQUIRE(history(histories, "u") == Items{"a", "b2", "b1", "b0", "c"});
  REQUIRE(history(histories, "v") == Items{"x", "y", "w"});
  REQUIRE(histories.num_users() == 2);
  REQUIRE(histories.num_events() == 8);
  REQUIRE(histories.num_items() == 8);
  REQUIRE(histories.of(0).times[1] == 20);
}

TEST_CASE("Events without a time come first, and where none has one only the order is left",
          "[data][interaction_log]") {
  const Histories mixed = group_by_user(log_of({{"u", "c", 30}, {"u", "a"}, {"u", "b", -5}, {"u", "a2"}}));
  REQUIRE(history(mixed, "u") == Items{"a", "a2", "b", "c"});
  REQUIRE(mixed.times.size() == 4);
  const Histories ordered = group_by_user(log_of({{"u", "c"}, {"v", "x"}, {"u", "a"}}));
  REQUIRE(history(ordered, "u") == Items{"c", "a"});
  REQUIRE(ordered.times.empty());
  REQUIRE(ordered.of(0).times.empty());
}

TEST_CASE("Kinds and values travel with their events", "[data][interaction_log]") {
  const Histories histories = group_by_user(log_of({{"u", "b", 2, "buy", 7.0f}, {"u", "a", 1, "view", 3.0f}}));
  REQUIRE(histories.values == std::vector<float>{3.0f, 7.0f});
  REQUIRE(histories.event_kinds[histories.kinds[0]] == "view");
}

TEST_CASE("A user known only by name has an empty history", "[data][interaction_log]") {
  InteractionLog log;
  log.user_ids().insert("silent");
  log.append({"u", "a", 1});
  const Histories histories = group_by_user(std::move(log));
  REQUIRE(histories.num_users() == 2);
  REQUIRE(histories.of(0).empty());
  REQUIRE(group_by_user(InteractionLog()).num_users() == 0);
}
