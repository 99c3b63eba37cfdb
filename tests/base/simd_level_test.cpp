// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
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
    CHECK((level == "scalar" || level == "avx2" || level == "avx512" || level == "neon"));
  }
  CHECK(simd_level() == level);
}
