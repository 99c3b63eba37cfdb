// SPDX-License-Identifier: Apache-2.0
#include "attune/data/categories.hpp"

#include "attune/error.hpp"
#include "catch.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;

namespace {

std::vector<std::string> names_of(const Categories& categories, std::size_t row) {
  std::vector<std::string> names;
  for (const std::uint32_t number : categories.of(row)) names.push_back(categories.names()[number]);
  return names;
}

Categories read(const std::string& text, const IdMap& ids, const std::string& column = "genres") {
  const TemporaryDirectory directory;
  write_text(directory / "items.csv", text);
  DelimitedReader reader(directory / "items.csv");
  return read_categories(reader, "item", std::vector{column}, ids).front();
}

IdMap ids_of(std::initializer_list<Id> all, IdKind kind = IdKind::string) {
  IdMap ids(kind);
  for (const Id& id : all) ids.insert(id);
  return ids;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("A row of categories is a set of names", "[data][categories]") {
  Categories categories;
  categories.add("War|Drama");
  categories.add("");
  categories.add(" Drama | Comedy||Drama");
  CHECK(categories.size() == 3);
  CHECK(categories.names() == Texts{"War", "Drama", "Comedy"});
  CHECK(names_of(categories, 0) == Texts{"War", "Drama"});
  CHECK(categories.of(1).empty());
  CHECK(names_of(categories, 2) == Texts{"Drama", "Comedy"});
  CHECK(categories.of(3).empty());
  CHECK(categories.of(kNoHandle).empty());
}

TEST_CASE("Categories are read into the rows of an id map", "[data][categories]") {
  const std::string text = "item,title,genres\nc,\"Sea, the\",Drama\na,Sky,War|Drama\nx,Other,Music\na,Again,Comedy\n";
  const Categories categories = read(text, ids_of({"a", "b", "c"}));
  CHECK(categories.size() == 3);
  CHECK(names_of(categories, 0) == Texts{"War", "Drama"});
  CHECK(categories.of(1).empty());
  CHECK(names_of(categories, 2) == Texts{"Drama"});
  CHECK(names_of(read("item,genres\n07,War\nseven,Drama\n", ids_of({7}, IdKind::int64)), 0) == Texts{"War"});
}

TEST_CASE("Several columns are read in one pass", "[data][categories]") {
  const TemporaryDirectory directory;
  write_text(directory / "items.csv", "maker,item,genres\nm,a,War|Drama\nn|m,b,\n,c\n");
  DelimitedReader reader(directory / "items.csv");
  const IdMap ids = ids_of({"a", "b", "x"});
  const Texts columns{"genres", "maker"};
  CHECK_THROWS_AS(read_categories(reader, "item", columns, ids), Error);  // line 4 lacks its genres
  DelimitedReader makers(directory / "items.csv");
  const auto of_makers = read_categories(makers, "item", std::vector<std::string>{"maker"}, ids);
  REQUIRE(of_makers.size() == 1);
  CHECK(names_of(of_makers[0], 1) == Texts{"m", "n"});
  write_text(directory / "items.csv", "maker,item,genres\nm,a,War|Drama\nn|m,b,\n");
  DelimitedReader whole(directory / "items.csv");
  const auto both = read_categories(whole, "item", columns, ids);
  REQUIRE(both.size() == 2);
  CHECK(names_of(both[0], 0) == Texts{"War", "Drama"});
  CHECK(both[0].of(1).empty());
  CHECK(names_of(both[1], 0) == Texts{"m"});
  CHECK(names_of(both[1], 1) == Texts{"m", "n"});
  for (const Categories& categories : both) CHECK(categories.size() == 3);
  CHECK(both[1].of(2).empty());
}

TEST_CASE("A file that categories cannot be read from is refused with its place", "[data][categories]") {
  const auto complaint = [](const std::string& text) -> std::string {
    try {
      read(text, ids_of({"a"}));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  CHECK(complaint("item,title\na,Sky\n").find("items.csv: expected a column 'genres', found none") !=
        std::string::npos);
  CHECK(complaint("id,genres\na,War\n").find("expected a column 'item', found none") != std::string::npos);
  CHECK(complaint("item,genres\na,War\nb\n").find("items.csv:3: expected 2 fields, found 1") != std::string::npos);
}
