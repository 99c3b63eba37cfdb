// SPDX-License-Identifier: Apache-2.0
#include "attune/data/column.hpp"

#include "catch.hpp"

using namespace attune;

TEST_CASE("A mapped column is read where it is, and its copies share the owner", "[data][column]") {
  const auto values = std::make_shared<const std::vector<int>>(std::vector<int>{3, 1, 4});
  const Column<int> mapped = Column<int>::view(*values, values);
  const Column<int> copy = mapped;
  CHECK(copy.data() == values->data());
  CHECK(values.use_count() == 3);
  CHECK(copy == Column<int>{3, 1, 4});
  CHECK(copy.front() == 3);
  CHECK(copy.back() == 4);
  CHECK(copy[1] == 1);
  const Column<int> own = std::vector<int>{3, 1, 4};
  CHECK_FALSE(own.is_mapped());
  CHECK(own == copy);
}

TEST_CASE("Whatever changes a mapped column leaves the file alone", "[data][column]") {
  const auto values = std::make_shared<const std::vector<int>>(std::vector<int>{3, 1, 4});
  const auto changed = [&](auto change) {
    Column<int> column = Column<int>::view(*values, values);
    change(column);
    CHECK_FALSE(column.is_mapped());
    return column;
  };
  CHECK(changed([](Column<int>& c) { c[0] = 9; }) == Column<int>{9, 1, 4});
  CHECK(changed([](Column<int>& c) { c.push_back(1); }) == Column<int>{3, 1, 4, 1});
  CHECK(changed([](Column<int>& c) { c.pop_back(); }) == Column<int>{3, 1});
  CHECK(changed([](Column<int>& c) { c.resize(4); }) == Column<int>{3, 1, 4, 0});
  CHECK(changed([](Column<int>& c) { c.assign(2, 7); }) == Column<int>{7, 7});
  CHECK(changed([](Column<int>& c) { c.clear(); }).empty());
  CHECK(changed([](Column<int>& c) { c.insert(c.end(), {5, 6}); }) == Column<int>{3, 1, 4, 5, 6});
  CHECK(changed([](Column<int>& c) { *c.begin() += c.back(); }) == Column<int>{7, 1, 4});
  CHECK(*values == std::vector<int>{3, 1, 4});
}
