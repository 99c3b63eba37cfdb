// SPDX-License-Identifier: Apache-2.0
#include "serving/filter.hpp"

#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "catch.hpp"

using namespace attune;
using detail::Filter;
using detail::ItemColumns;

namespace {

const std::vector<ItemField> kFields{{"genre", FieldType::category},
                                     {"brand", FieldType::category},
                                     {"price", FieldType::number},
                                     {"Year_2", FieldType::number}};

struct Row {
  std::set<std::string> genre, brand;
  std::optional<double> price, year;
};

std::string joined(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += name + '|';
  return text;
}

void set_row(ItemColumns& columns, ItemHandle item, const Row& row) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const std::string genre = joined(row.genre), brand = joined(row.brand);
  columns.set(item, {.id = {},
                     .fields = {{"genre", genre},
                                {"brand", brand},
                                {"price", row.price.value_or(kNone)},
                                {"Year_2", row.year.value_or(kNone)}}});
}

bool matches(const Filter& filter, const ItemColumns& columns, ItemHandle item) {
  std::vector<std::uint32_t> names;
  filter.find_names(columns, names);
  return (filter.matches(columns, item / 64, names) >> (item % 64) & 1u) != 0;
}

bool matches(const std::string& text, const ItemColumns& columns, ItemHandle item) {
  return matches(Filter(text, kFields, "filter"), columns, item);
}

std::string message_of(const std::string& text, std::span<const ItemField> fields = kFields) {
  try {
    const Filter filter(text, fields, "filter");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_argument);
    return error.what();
  }
  return "no error";
}

using Test = std::function<bool(const Row&)>;
struct Condition {
  std::string text;
  Test test;
};

// A random expression and what it means, written down independently.
Condition random_condition(std::mt19937_64& random, int depth) {
  static const char* const names[] = {"a", "b", "c", "never"};
  const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const std::size_t kind = depth == 0 ? pick(4) : pick(7);
  if (kind < 2) {
    const bool genre = pick(2) == 0;
    const std::string name = names[pick(4)], other = names[pick(4)];
    const auto of = [=](const Row& row) -> const std::set<std::string>& { return genre ? row.genre : row.brand; };
    const std::string field = genre ? "genre" : "brand";
    switch (pick(4)) {
      case 0: return {field + " = \"" + name + '"', [=](const Row& row) { return of(row).contains(name); }};
      case 1: return {field + "!='" + name + '\'', [=](const Row& row) { return !of(row).contains(name); }};
      case 2:
        return {field + " IN (\"" + name + "\", '" + other + "')",
                [=](const Row& row) { return of(row).contains(name) || of(row).contains(other); }};
      default: return {"has(" + field + ')', [=](const Row& row) { return !of(row).empty(); }};
    }
  }
  if (kind < 4) {
    const bool price = pick(2) == 0;
    const auto bound = static_cast<double>(pick(4));
    const std::string field = price ? "price" : "Year_2", value = std::to_string(bound);
    const auto with = [=](auto test) {
      return [=](const Row& row) {
        const std::optional<double>& number = price ? row.price : row.year;
        return number && test(*number);
      };
    };
    switch (pick(8)) {
      case 0: return {field + "=" + value, with([=](double x) { return x == bound; })};
      case 1: return {field + " != " + value, with([=](double x) { return x != bound; })};
      case 2: return {field + " < " + value, with([=](double x) { return x < bound; })};
      case 3: return {field + "<=" + value, with([=](double x) { return x <= bound; })};
      case 4: return {field + " > " + value, with([=](double x) { return x > bound; })};
      case 5: return {field + " >= " + value, with([=](double x) { return x >= bound; })};
      case 6: return {field + " in (" + value + ", 3)", with([=](double x) { return x == bound || x == 3; })};
      default: return {"Has (" + field + ")", with([](double) { return true; })};
    }
  }
  const Condition a = random_condition(random, depth - 1), b = random_condition(random, depth - 1);
  switch (kind) {
    case 4: return {'(' + a.text + ") and (" + b.text + ')', [=](const Row& r) { return a.test(r) && b.test(r); }};
    case 5: return {'(' + a.text + ") Or (" + b.text + ')', [=](const Row& r) { return a.test(r) || b.test(r); }};
    default: return {"not (" + a.text + ')', [=](const Row& r) { return !a.test(r); }};
  }
}

}  // namespace

TEST_CASE("The truth table of a filter's connectives (UR-21)", "[serving][filter][UR-21]") {
  ItemColumns columns(kFields);
  for (ItemHandle item = 0; item < 8; ++item) {  // bit 0: genre a, bit 1: brand a, bit 2: price 1
    set_row(columns, item,
            {item & 1 ? std::set<std::string>{"a", "b"} : std::set<std::string>{},
             item & 2 ? std::set<std::string>{"a"} : std::set<std::string>{},
             item & 4 ? std::optional(1.0) : std::nullopt,
             {}});
  }
  const std::string g = "genre = 'a'", b = "brand = \"a\"", p = "price = 1";
  for (ItemHandle item = 0; item < 8; ++item) {
    const bool x = item & 1, y = item & 2, z = item & 4;
    CHECK(matches(g, columns, item) == x);
    CHECK(matches(g + " and " + b, columns, item) == (x && y));
    CHECK(matches(g + " or " + b, columns, item) == (x || y));
    CHECK(matches("not " + g, columns, item) == !x);
    CHECK(matches("not not " + g, columns, item) == x);
    CHECK(matches(g + " or " + b + " and " + p, columns, item) == (x || (y && z)));
    CHECK(matches(g + " and " + b + " or " + p, columns, item) == ((x && y) || z));
    CHECK(matches("(" + g + " or " + b + ") and " + p, columns, item) == ((x || y) && z));
    CHECK(matches("not " + g + " and " + b, columns, item) == (!x && y));
    CHECK(matches("not (" + g + " and " + b + ")", columns, item) == !(x && y));
    CHECK(matches("NOT " + g + " AND " + b + " Or " + p, columns, item) == ((!x && y) || z));
  }
}

TEST_CASE("Random filters match what their meaning says, item by item", "[serving][filter]") {
  std::mt19937_64 random(7);
  ItemColumns columns(kFields);
  std::vector<Row> rows(200);
  const auto some_names = [&] {
    std::set<std::string> names;
    for (const char* name : {"a", "b", "c"}) {
      if (random() % 3 == 0) names.insert(name);
    }
    return names;
  };
  const auto some_number = [&] { return random() % 3 == 0 ? std::nullopt : std::optional<double>(random() % 4); };
  const auto change = [&](ItemHandle item) {
    rows[item] = {some_names(), some_names(), some_number(), some_number()};
    set_row(columns, item, rows[item]);
  };
  for (ItemHandle item = 0; item < 150; ++item) change(item);  // the others were never named
  std::size_t matched = 0;
  for (int round = 0; round < 400; ++round) {
    const Condition condition = random_condition(random, 4);
    const Filter filter(condition.text, kFields, "filter");
    std::vector<std::uint32_t> names;
    filter.find_names(columns, names);
    for (ItemHandle item = 0; item < 200; ++item) {
      const bool found = (filter.matches(columns, item / 64, names) >> (item % 64) & 1u) != 0;
      if (found != condition.test(rows[item])) FAIL(condition.text << " on item " << item);
      matched += found;
    }
    change(static_cast<ItemHandle>(random() % 150));
  }
  CHECK(matched > 10'000);
}

TEST_CASE("Names are read with their escapes, numbers in every spelling", "[serving][filter]") {
  ItemColumns columns(kFields);
  set_row(columns, 0, {{"it's \"new\" \\o/"}, {"Jos\xC3\xA9"}, 0.5, -1000.0});
  CHECK(matches(R"(genre = "it's \"new\" \\o/")", columns, 0));
  CHECK(matches(R"(genre = 'it\'s "new" \\o/')", columns, 0));
  CHECK(matches("brand=\"Jos\xC3\xA9\"", columns, 0));
  CHECK(matches("\n\tbrand = ' Jos\xC3\xA9 '", columns, 0));
  CHECK_FALSE(matches("genre = 'IT'", columns, 0));
  CHECK(matches("price = .5 and price = 5e-1 and price = 0.50 and Year_2 = -1e3", columns, 0));
}

TEST_CASE("A filter that is none is refused where it goes wrong (UR-21)", "[serving][filter][UR-21]") {
  using Catch::Contains;
  CHECK_THAT(message_of("genr = \"a\""), Contains("filter, column 1: expected a field") &&
                                             Contains("genre, brand, price, Year_2") && Contains("found \"genr\""));
  CHECK_THAT(message_of("price = 1 and Genre = 'a'"), Contains("column 15") && Contains("\"Genre\""));
  CHECK_THAT(message_of("genre = 5"), Contains("column 9: expected one name in quotes for the category genre"));
  CHECK_THAT(message_of("price = 'a'"), Contains("column 9: expected a number for the field price, found \"'a'\""));
  CHECK_THAT(message_of("genre < 'a'"), Contains("column 7") && Contains("the category genre"));
  CHECK_THAT(message_of("price"), Contains("column 6") && Contains("found the end"));
  CHECK_THAT(message_of(""), Contains("column 1") && Contains("found the end"));
  CHECK_THAT(message_of("genre = 'a"), Contains("column 11: expected a closing '"));
  CHECK_THAT(message_of("genre = 'a\\"), Contains("expected a closing '"));
  CHECK_THAT(message_of("genre = '\\n'"), Contains("column 10") && Contains("found \"\\n\""));
  CHECK_THAT(message_of("genre = 'a|b'"), Contains("column 9: expected one name"));
  CHECK_THAT(message_of("genre = ' '"), Contains("column 9: expected one name"));
  CHECK_THAT(message_of("price = 1 price = 2"), Contains("column 11") && Contains("\"and\", \"or\" or the end"));
  CHECK_THAT(message_of("(price = 1"), Contains("expected \")\", found the end"));
  CHECK_THAT(message_of("price = 1)"), Contains("column 10"));
  CHECK_THAT(message_of("price in ()"), Contains("column 11") && Contains("a number"));
  CHECK_THAT(message_of("price in (1 2)"), Contains("column 13"));
  CHECK_THAT(message_of("has price"), Contains("column 5: expected \"(\""));
  CHECK_THAT(message_of("has(nothing)"), Contains("column 5"));
  CHECK_THAT(message_of("not"), Contains("column 4"));
  CHECK_THAT(message_of("price == 1"), Contains("column 8"));
  CHECK_THAT(message_of("price = 1e999"), Contains("column 9: expected a number"));
  CHECK_THAT(message_of("price = 1-2"), Contains("column 9: expected a number"));
  CHECK_THAT(message_of("price = nan"), Contains("column 9: expected a number"));
  CHECK_THAT(message_of("price ~ 1"), Contains("column 7") && Contains("found \"~\""));
  CHECK_THAT(message_of(std::string("price\0= 1", 9)), Contains("column 6"));
  CHECK_THAT(message_of("genre = 'a'", {}), Contains("there is none"));
}

TEST_CASE("A filter may be nested and long, up to its limits", "[serving][filter]") {
  ItemColumns columns(kFields);
  set_row(columns, 0, {{"a"}, {}, 1.0, {}});
  const auto nested = [](std::size_t depth) {
    std::string text;
    for (std::size_t i = 0; i < depth; ++i) text += "price = 2 or genre = 'a' and (";
    return text + "price = 1" + std::string(depth, ')');
  };
  CHECK(matches(nested(64), columns, 0));
  CHECK_THAT(message_of(nested(65)), Catch::Contains("at most 64 open parentheses"));
  std::string nots;
  for (int i = 0; i < 10'001; ++i) nots += "not ";
  CHECK(matches(nots + "price = 2", columns, 0));
  std::string list = "price in (1";
  while (list.size() < Filter::kMostBytes - 4) list += ", 7";
  list += std::string(Filter::kMostBytes - 1 - list.size(), ' ') + ')';
  CHECK(matches(list, columns, 0));
  CHECK_THAT(message_of(list + ' '), Catch::Contains("at most 65536 bytes, found 65537"));
}
