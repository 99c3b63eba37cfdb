// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace attune::cli {

// What the tool was built with.
inline std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

}  // namespace attune::cli
