// SPDX-License-Identifier: Apache-2.0
#include "platform/process.hpp"

#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "catch.hpp"

TEST_CASE("A process knows its id", "[platform][process]") {
  CHECK(attune::platform::process_id() == static_cast<std::int64_t>(::getpid()));
}

TEST_CASE("The permission to use tile registers is granted for good or refused for good", "[platform][process]") {
  const bool granted = attune::platform::request_tile_registers();
  CHECK(attune::platform::request_tile_registers() == granted);
}

TEST_CASE("Writing to a closed connection is an error for a while and leaves no signal behind", "[platform][process]") {
  const auto is_blocked = [] {
    sigset_t mask;
    REQUIRE(::pthread_sigmask(SIG_BLOCK, nullptr, &mask) == 0);
    return sigismember(&mask, SIGPIPE) == 1;
  };
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  ::close(ends[0]);
  {
    const attune::platform::BrokenPipesAreErrors outer;
    {
      const attune::platform::BrokenPipesAreErrors inner;
      CHECK(::write(ends[1], "x", 1) == -1);
      CHECK(errno == EPIPE);
    }
    CHECK(is_blocked());
  }
  CHECK_FALSE(is_blocked());  // a signal that had stayed would have ended this process
  ::close(ends[1]);
}
