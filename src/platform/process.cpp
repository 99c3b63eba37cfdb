// SPDX-License-Identifier: Apache-2.0
#include "platform/process.hpp"

#include <unistd.h>

namespace attune::inline v0_1::platform {

std::int64_t process_id() noexcept { return ::getpid(); }

}  // namespace attune::inline v0_1::platform
