// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "attune/version.hpp"

namespace attune::inline v0_1::platform {

std::int64_t process_id() noexcept;

// Asks the kernel for the permission to use tile registers (Intel AMX), which holds for all threads of the process from
// then on. False where it is refused or there is nothing to ask for; asking twice does no harm.
bool request_tile_registers() noexcept;

// As long as it lives, writing to a connection that its other end has closed is an error in this thread, and no signal
// that would end the process.
class BrokenPipesAreErrors {
 public:
  BrokenPipesAreErrors() noexcept;
  BrokenPipesAreErrors(const BrokenPipesAreErrors&) = delete;
  BrokenPipesAreErrors& operator=(const BrokenPipesAreErrors&) = delete;
  ~BrokenPipesAreErrors();

 private:
  bool blocked_ = false;  // by this object
};

}  // namespace attune::inline v0_1::platform
