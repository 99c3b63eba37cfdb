// SPDX-License-Identifier: Apache-2.0
#include "attune/model/parameters.hpp"

#include "catch.hpp"

namespace attune {
namespace {

TEST_CASE("parameters stand back to back in the order they were added", "[model][parameters]") {
  ParameterList list;
  CHECK(list.add("weight", {4, 3}, Initial::normal, true) == 0);
  CHECK(list.add("bias", {3}, Initial::zero) == 12);
  CHECK(list.add("scale", {}, Initial::one) == 15);
  CHECK(list.total() == 16);
  REQUIRE(list.list().size() == 3);
  CHECK(list.list()[1].offset == 12);
  CHECK(list.list()[1].size == 3);
  CHECK(list.list()[0].decay);
  CHECK_FALSE(list.list()[1].decay);
}

TEST_CASE("every element of the dense array has an owner", "[model][parameters]") {
  ParameterList list;
  list.add("weight", {2, 2}, Initial::normal);
  list.add("nothing", {0}, Initial::zero);
  list.add("bias", {2}, Initial::zero);
  CHECK(list.owner(0).name == "weight");
  CHECK(list.owner(3).name == "weight");
  CHECK(list.owner(4).name == "bias");
  CHECK(list.owner(5).name == "bias");
}

}  // namespace
}  // namespace attune
