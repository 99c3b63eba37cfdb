// SPDX-License-Identifier: Apache-2.0
#include "attune/training/communicator.hpp"

#include <string>
#include <vector>

#include "catch.hpp"

namespace attune {

TEST_CASE("The sum by neighbours is the same for any way to share the terms evenly", "[training][communicator]") {
  std::vector<std::string> terms{"a", "b", "c", "d", "e", "f", "g", "h"};
  const auto add = [](std::vector<std::string>& of, std::size_t into, std::size_t from) {
    of[into] = "(" + of[into] + "+" + of[from] + ")";
  };
  std::vector<std::string> two{"", ""};
  for (std::size_t part = 0; part < 2; ++part) {
    std::vector<std::string> own(terms.begin() + static_cast<std::ptrdiff_t>(4 * part),
                                 terms.begin() + static_cast<std::ptrdiff_t>(4 * part + 4));
    add_by_neighbours(4, [&](std::size_t into, std::size_t from) { add(own, into, from); });
    two[part] = own[0];
  }
  add_by_neighbours(2, [&](std::size_t into, std::size_t from) { add(two, into, from); });
  add_by_neighbours(8, [&](std::size_t into, std::size_t from) { add(terms, into, from); });
  CHECK(terms[0] == "(((a+b)+(c+d))+((e+f)+(g+h)))");
  CHECK(two[0] == terms[0]);
}

}  // namespace attune
