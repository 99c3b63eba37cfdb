// SPDX-License-Identifier: Apache-2.0
#include "attune/version.hpp"

#include <set>
#include <string>

#include "catch.hpp"

namespace attune {
namespace {

TEST_CASE("the compiled version is the one the headers name", "[base][version]") {
  const std::string expected = std::to_string(ATTUNE_VERSION_MAJOR) + "." + std::to_string(ATTUNE_VERSION_MINOR) + "." +
                               std::to_string(ATTUNE_VERSION_PATCH);
  CHECK(version() == expected);
}

TEST_CASE("the active level is a known one", "[base][version]") {
  const std::set<std::string> known{"scalar", "avx2", "avx512", "avx512vnni", "amx", "neon"};
  CHECK(known.count(simd_level()) == 1);
}

}  // namespace
}  // namespace attune
