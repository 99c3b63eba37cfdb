// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include "attune/version.hpp"

namespace attune::inline v0_1::platform {

// Fills `bytes` from the operating system's cryptographic generator. Throws Error(io_error) where it gives none.
void random_bytes(std::span<std::byte> bytes);

}  // namespace attune::inline v0_1::platform
