// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <set>
#include <string>

#include "attune/version.hpp"
#include "catch.hpp"

using attune::simd_level;

TEST_CASE("The level that ATTUNE_SIMD forces is the active one", "[base][simd_level]") {
  const char* forced = std::getenv("ATTUNE_SIMD");
  const std::string level = simd_level();
  if (forced && *forced) {
    CHECK(level == forced);
  } else {
    const std::set<std::string> known{"scalar", "avx2", "avx512", "avx512vnni", "amx", "neon"};
    CHECK(known.count(level) == 1);
  }
  CHECK(simd_level() == level);
}
