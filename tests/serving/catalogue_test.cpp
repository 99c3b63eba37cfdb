// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/catalogue.hpp"

#include <limits>

#include "attune/error.hpp"
#include "catch.hpp"
#include "errors.hpp"

using namespace attune;
using test::code_of;

namespace {

IdMap ids(std::initializer_list<const char*> names) {
  IdMap map;
  for (const char* name : names) map.insert(name);
  return map;
}

}  // namespace

TEST_CASE("Items that no model knows get handles behind the others", "[serving][catalogue]") {
  Catalogue catalogue(ids({"a", "b"}), 2);
  CHECK(catalogue.find("b") == 1);
  CHECK(catalogue.find("c") == kNoHandle);
  CHECK(catalogue.find_or_add("c") == 2);
  CHECK(catalogue.find_or_add("c") == 2);
  CHECK(catalogue.id(2) == Id("c"));
  SECTION("up to the limit") {
    CHECK(catalogue.find_or_add("d") == 3);
    CHECK(catalogue.find_or_add("e") == kNoHandle);
    CHECK(catalogue.find_or_add("a") == 0);
    CHECK(catalogue.size() == 4);
  }
}

TEST_CASE("What a host names has room of its own, and takes over what events named", "[serving][catalogue]") {
  Catalogue catalogue(ids({"a"}), 2, {{"price", FieldType::number}});
  CHECK(catalogue.fields().size() == 1);
  CHECK(catalogue.find_or_add("x") == 1);
  CHECK(catalogue.find_or_add("y") == 2);
  CHECK(catalogue.find_or_add("z") == kNoHandle);
  CHECK_FALSE(catalogue.remove("z"));
  CHECK(catalogue.changes() == 0);
  const std::vector<Item> items{{.id = "x", .fields = {{"price", 1}}}};
  catalogue.upsert(items);
  catalogue.upsert(items);  // what changes nothing counts as nothing
  CHECK(catalogue.changes() == 1);
  CHECK(catalogue.find_or_add("z") == 3);  // x is no longer an event's
  CHECK(catalogue.remove("z"));
  CHECK(catalogue.changes() == 2);
  const std::vector<Item> more{{.id = "y"}};
  CHECK(code_of([&] { catalogue.upsert(more); }) == ErrorCode::limit_exceeded);
  CHECK(code_of([&] { catalogue.add_all(ids({"a", "x", "y"})); }) == ErrorCode::limit_exceeded);
  CHECK(catalogue.add_all(ids({"x", "a"})) == std::vector<ItemHandle>{1, 0});
  CHECK(catalogue.size() == 4);
}

TEST_CASE("Ids that can be no item are never added (UR-09)", "[serving][catalogue][UR-09]") {
  Catalogue strings(ids({"a"}), 100);
  const std::string with_nul("a\0b", 3);
  for (const Id& id : {Id(), Id(""), Id(with_nul), Id(-1), Id(0), Id(std::int64_t{1} << 31)}) {
    CHECK_FALSE(strings.accepts(id));
    CHECK(strings.find(id) == kNoHandle);
    CHECK(strings.find_or_add(id) == kNoHandle);
  }
  IdMap numbers(IdKind::int64);
  numbers.insert(5);
  Catalogue integers(std::move(numbers), 100);
  CHECK(integers.find_or_add("5") == kNoHandle);
  CHECK(integers.find_or_add(5) == 0);
  const auto last = std::numeric_limits<std::int64_t>::max();
  CHECK(integers.find_or_add(last) == 1);
  CHECK(integers.id(1).number() == last);
}

TEST_CASE("A model in another order is told the handles its rows have", "[serving][catalogue]") {
  Catalogue catalogue(ids({"a", "b", "c"}), 10);
  CHECK(catalogue.add_all(ids({"c", "new", "a"})) == std::vector<ItemHandle>{2, 3, 0});
  CHECK(catalogue.size() == 4);
}

TEST_CASE("A model that does not fit leaves the catalogue as it was", "[serving][catalogue]") {
  Catalogue catalogue(ids({"a", "b", "c"}), 4);
  CHECK(code_of([&] { catalogue.add_all(IdMap(IdKind::int64)); }) == ErrorCode::invalid_argument);
  CHECK(code_of([&] { catalogue.add_all(ids({"d", "e"})); }) == ErrorCode::limit_exceeded);
  CHECK(code_of([&] { catalogue.add_in_place(ids({"b"})); }) == ErrorCode::invalid_argument);
  CHECK(code_of([&] { catalogue.add_in_place(ids({"a", "d"})); }) == ErrorCode::invalid_argument);
  CHECK(code_of([&] { catalogue.add_in_place(ids({"a", "b", "d"})); }) == ErrorCode::invalid_argument);
  CHECK(code_of([&] { Catalogue(ids({"a", "b"}), 1); }) == ErrorCode::limit_exceeded);
  CHECK(catalogue.size() == 3);
  catalogue.add_in_place(ids({"a", "b", "c", "d"}));
  CHECK(catalogue.find("d") == 3);
}

TEST_CASE("Items that only events name take no room from a model", "[serving][catalogue]") {
  Catalogue catalogue(ids({"a"}), 3);
  for (const char* item : {"x", "y", "z"}) REQUIRE(catalogue.find_or_add(item) != kNoHandle);
  REQUIRE(catalogue.find_or_add("w") == kNoHandle);
  CHECK(catalogue.add_all(ids({"a", "b", "y"})) == std::vector<ItemHandle>{0, 4, 2});
  CHECK(catalogue.find_or_add("w") == 5);  // the model has y now
  CHECK(catalogue.find_or_add("v") == kNoHandle);
  CHECK(code_of([&] { catalogue.add_all(ids({"c"})); }) == ErrorCode::limit_exceeded);
}
