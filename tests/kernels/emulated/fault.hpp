// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace attune::emulated {

// Throws std::logic_error: what would stop the program on the hardware, or is wrong in a way that the hardware hides.
[[noreturn]] void fault(const char* what);

// Between configuration and release, on this thread.
bool tiles_in_use();

}  // namespace attune::emulated
