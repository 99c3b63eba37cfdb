// SPDX-License-Identifier: Apache-2.0
#include "platform/process.hpp"

#include <unistd.h>

#include "catch.hpp"

TEST_CASE("A process knows its id", "[platform][process]") {
  CHECK(attune::platform::process_id() == static_cast<std::int64_t>(::getpid()));
}

TEST_CASE("The permission to use tile registers is granted for good or refused for good", "[platform][process]") {
  const bool granted = attune::platform::request_tile_registers();
  CHECK(attune::platform::request_tile_registers() == granted);
}
