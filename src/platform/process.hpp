// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "attune/version.hpp"

namespace attune::inline v0_1::platform {

std::int64_t process_id() noexcept;

}  // namespace attune::inline v0_1::platform
