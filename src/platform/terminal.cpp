// SPDX-License-Identifier: Apache-2.0
#include "platform/terminal.hpp"

#include <unistd.h>

namespace attune::inline v0_1::platform {

bool is_terminal(std::FILE* stream) noexcept { return ::isatty(::fileno(stream)) == 1; }

}  // namespace attune::inline v0_1::platform
