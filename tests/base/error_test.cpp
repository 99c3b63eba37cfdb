// SPDX-License-Identifier: Apache-2.0
#include "attune/error.hpp"

#include <set>
#include <stdexcept>
#include <string>

#include "catch.hpp"

namespace attune {
namespace {

TEST_CASE("an error carries its code and its message", "[base][error]") {
  const Error error(ErrorCode::corrupt_file, "model/manifest.json: expected an object");
  CHECK(error.code() == ErrorCode::corrupt_file);
  CHECK(std::string(error.what()) == "model/manifest.json: expected an object");
}

TEST_CASE("a host that knows only the standard exceptions catches it", "[base][error]") {
  CHECK_THROWS_AS(throw Error(ErrorCode::io_error, "x"), std::runtime_error);
}

TEST_CASE("every error code has a name of its own", "[base][error]") {
  std::set<std::string> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::cancelled); ++code) {
    names.insert(to_string(static_cast<ErrorCode>(code)));
  }
  CHECK(names.size() == static_cast<std::size_t>(ErrorCode::cancelled) + 1);
  CHECK(names.count("unknown") == 0);
  CHECK(names.count("non_finite") == 1);
}

}  // namespace
}  // namespace attune
