// SPDX-License-Identifier: Apache-2.0
#include "serving/item_columns.hpp"

#include <limits>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "catch.hpp"

using namespace attune;
using detail::ItemColumns;
using detail::NameSets;

namespace {

constexpr Timestamp kFirst = std::numeric_limits<Timestamp>::min(), kLast = std::numeric_limits<Timestamp>::max();

std::vector<std::size_t> changed_groups(const ItemColumns& columns, std::uint64_t since) {
  std::vector<std::size_t> groups;
  REQUIRE(columns.visit_changed_groups(since, 1000, [&](std::size_t group) { groups.push_back(group); }));
  return groups;
}

}  // namespace

TEST_CASE("A set of names is stored once, and not longer than somebody has it", "[serving][item_columns]") {
  NameSets sets;
  const std::uint32_t drama_war = sets.hold("War|Drama");
  CHECK(sets.hold(" Drama |War||War") == drama_war);
  CHECK(sets.hold("") == 0);
  CHECK(sets.hold(" | ") == 0);
  const std::uint32_t drama = sets.hold("Drama");
  CHECK(drama != drama_war);
  CHECK(sets.contains(drama_war, sets.name("War")));
  CHECK_FALSE(sets.contains(drama, sets.name("War")));
  sets.let_go(drama_war);
  CHECK(sets.contains(drama_war, sets.name("Drama")));
  sets.let_go(drama_war);
  CHECK(sets.name("War") == kNoHandle);
  CHECK(sets.name("Drama") != kNoHandle);
  sets.let_go(0);
  for (int i = 0; i < 1000; ++i) {  // numbers are used again
    const std::uint32_t set = sets.hold("churn " + std::to_string(i));
    CHECK(set <= 3);
    sets.let_go(set);
  }
}

TEST_CASE("What really changes an item is logged, what does not is not", "[serving][item_columns]") {
  ItemColumns columns({{"genre", FieldType::category}, {"price", FieldType::number}});
  const auto changes_by = [&](const Item& item) {
    const std::uint64_t before = columns.changes();
    columns.set(70, item);
    return columns.changes() - before;
  };
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  CHECK(changes_by({.id = {}}) == 0);
  CHECK(changes_by({.id = {}, .fields = {{"genre", ""}, {"price", kNone}}}) == 0);
  CHECK(changes_by({.id = {}, .fields = {{"genre", "a|b"}, {"price", 1}}}) == 1);
  CHECK(changes_by({.id = {}, .fields = {{"genre", "b|a"}, {"price", 1.0f}}}) == 0);
  CHECK(changes_by({.id = {}, .fields = {{"price", kNone}}}) == 1);
  CHECK(changes_by({.id = {}, .fields = {{"price", kNone}}}) == 0);
  CHECK(changes_by({.id = {}, .available_from = 5}) == 1);
  CHECK(changes_by({.id = {}, .available_from = 5}) == 0);
  CHECK(changes_by({.id = {}, .available_from = kNoTime, .available_until = kNoTime}) == 1);
  columns.remove(70);
  columns.remove(70);
  CHECK(columns.changes() == 5);
  CHECK(changes_by({.id = {}}) == 1);
  CHECK(changed_groups(columns, 0) == std::vector<std::size_t>{1});
  CHECK(changed_groups(columns, columns.changes()).empty());
}

TEST_CASE("Changes too long ago are not told one by one", "[serving][item_columns]") {
  ItemColumns columns({{"price", FieldType::number}});
  for (int i = 0; i < 100'000; ++i) columns.set(static_cast<ItemHandle>(i), {.id = {}, .fields = {{"price", i}}});
  const auto never = [](std::size_t) { FAIL("told"); };
  CHECK_FALSE(columns.visit_changed_groups(0, 1'000'000, never));
  CHECK_FALSE(columns.visit_changed_groups(99'000, 999, never));
  std::vector<std::size_t> groups;
  CHECK(columns.visit_changed_groups(99'000, 1000, [&](std::size_t group) { groups.push_back(group); }));
  CHECK(groups.front() == 99'000 / 64);
  CHECK(groups.back() == 99'999 / 64);
  CHECK(groups.size() == 17);
}

TEST_CASE("An item is live within its time, and the times for which that holds are told", "[serving][item_columns]") {
  ItemColumns columns({});
  const auto live = [&](Timestamp at) { return columns.live(0, at).items & 0b111u; };
  CHECK(live(kNoTime) == 0b111);
  columns.remove(2);
  CHECK(live(0) == 0b011);
  columns.set(0, {.id = {}, .available_from = 100, .available_until = 200});
  columns.set(1, {.id = {}, .available_until = 150});
  CHECK(live(kNoTime) == 0b010);
  CHECK(live(99) == 0b010);
  CHECK(live(100) == 0b011);
  CHECK(live(149) == 0b011);
  CHECK(live(150) == 0b001);
  CHECK(live(199) == 0b001);
  CHECK(live(200) == 0b000);
  CHECK(live(kLast) == 0b000);
  const auto times = [&](Timestamp at) {
    const ItemColumns::Live result = columns.live(0, at);
    return std::pair(result.first, result.last);
  };
  CHECK(times(kNoTime) == std::pair(kFirst, Timestamp{99}));
  CHECK(times(120) == std::pair(Timestamp{100}, Timestamp{149}));
  CHECK(times(150) == std::pair(Timestamp{150}, Timestamp{199}));
  CHECK(times(kLast) == std::pair(Timestamp{200}, kLast));
  columns.set(0, {.id = {}, .available_from = 300});  // ends before it begins: never
  for (const Timestamp at : {kNoTime, Timestamp{150}, Timestamp{250}, Timestamp{300}, kLast})
    CHECK((live(at) & 1) == 0);
  columns.set(0, {.id = {}, .available_from = kNoTime, .available_until = kNoTime});
  for (const Timestamp at : {kNoTime, Timestamp{0}, kLast}) CHECK((live(at) & 1) == 1);
}

TEST_CASE("Fields have names that filters can spell, each once", "[serving][item_columns]") {
  for (const char* name : {"", "1st", "two words", "a-b", "and", "OR", "Not", "in", "has"}) {
    CHECK_THROWS_AS(ItemColumns({{name, FieldType::number}}), Error);
  }
  CHECK_THROWS_AS(ItemColumns({{"a", FieldType::number}, {"a", FieldType::category}}), Error);
  CHECK(ItemColumns({{"_a1", FieldType::number}, {"A", FieldType::category}}).fields().size() == 2);
}
