// SPDX-License-Identifier: Apache-2.0
#include "data/without_users.hpp"

#include <algorithm>

#include "catch.hpp"

using namespace attune;

TEST_CASE("Histories without some users hold the others, in their order", "[data][without_users]") {
  const bool timed = GENERATE(true, false);
  InteractionLog log;
  for (const char* user : {"a", "b", "c"}) {
    for (const char* item : {"x", "y"}) {
      log.append({.user = user, .item = item, .timestamp = timed ? 5 : kNoTime, .event = user, .value = 2});
    }
  }
  const Histories all = group_by_user(std::move(log));
  const auto kept = detail::without_users(all, [](const Id& id) { return id == "b"; });
  CHECK(kept->num_users() == 2);
  CHECK(kept->user_ids->size() == 2);
  CHECK(kept->item_ids == all.item_ids);
  CHECK(kept->times.empty() == !timed);
  for (const char* user : {"a", "c"}) {
    const HistoryView before = all.of(all.user_ids->find(user)), after = kept->of(kept->user_ids->find(user));
    CHECK(std::ranges::equal(before.items, after.items));
    CHECK(std::ranges::equal(before.times, after.times));
    CHECK(std::ranges::equal(before.weights, after.weights));
    CHECK(kept->event_kinds[after.kinds[0]] == user);
  }
  CHECK(detail::without_users(all, [](const Id&) { return true; })->num_users() == 0);
  CHECK(detail::without_users(all, [](const Id&) { return false; })->items == all.items);
}
