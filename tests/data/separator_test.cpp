// SPDX-License-Identifier: Apache-2.0
#include "data/separator.hpp"

#include "catch.hpp"

using namespace attune;

namespace {

std::string found(std::string_view text, std::size_t columns = 0, bool whole = true) {
  return detail::find_separator(text, whole, columns);
}

}  // namespace

TEST_CASE("The separator is found in the header", "[data][separator]") {
  REQUIRE(found("user,item,rating\n1,2,3\n") == ",");
  REQUIRE(found("user\titem\n1\t2\n") == "\t");
  REQUIRE(found("user;item;rating\n1;2;3,5\n") == ";");
  REQUIRE(found("user::item::rating\n1::2::3\n") == "::");
  REQUIRE(found("user|item\n1|2\n") == "|");
  REQUIRE(found("user item\n1 2\n") == " ");
  REQUIRE(found("\"user\";\"item\"\n1;2\n") == ";");
  REQUIRE(found("  \nUSER , ITEM\n1,2\n") == ",");
}

TEST_CASE("Other separators inside fields do not mislead", "[data][separator]") {
  REQUIRE(found("item,title,genres\n1,Toy Story (1995),Animation|Children's|Comedy\n2,Jumanji,Adventure\n") == ",");
  REQUIRE(found("item,attributes\n1,173 1 162\n2,4\n") == ",");
  REQUIRE(found("sku;name\n1;\"a, b\"\n2;\"c, d\"\n") == ";");
  REQUIRE(found("time,session\n2024-05-01 10:00:00,5\n2024-05-01 10:00:01,6\n") == ",");
}

TEST_CASE("Without a header the number of columns decides", "[data][separator]") {
  REQUIRE(found("1;5;3,5\n1;6;4,0\n", 3) == ";");
  REQUIRE(found("1::1193::5::978300760\n1::661::3::978302109\n", 4) == "::");
  REQUIRE(found("1 5\n1 6\n", 2) == " ");
  REQUIRE(found("1   5\n10  6\n", 2) == " ");
}

TEST_CASE("Where nothing separates the fields it is a comma", "[data][separator]") {
  REQUIRE(found("user\n1\n") == ",");
  REQUIRE(found("\n\n") == ",");
}

TEST_CASE("A line that is cut off by the end of the sample does not count", "[data][separator]") {
  REQUIRE(found("a;b,c;d\n1;2,5;3\n1;2", 3, false) == ";");
  REQUIRE(found("a,b", 2, false) == ",");
}
