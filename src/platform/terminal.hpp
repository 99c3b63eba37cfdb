// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>

#include "attune/version.hpp"

namespace attune::inline v0_1::platform {

// Whether somebody watches what is written to the stream.
bool is_terminal(std::FILE* stream) noexcept;

}  // namespace attune::inline v0_1::platform
