// SPDX-License-Identifier: Apache-2.0
#include "platform/random.hpp"

#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "attune/error.hpp"

namespace attune::inline v0_1::platform {

void random_bytes(std::span<std::byte> bytes) {
  constexpr std::size_t kMostAtOnce = 256;  // that a call gives without being interrupted
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), kMostAtOnce);
    if (::getentropy(bytes.data(), count) != 0) {
      throw Error(ErrorCode::io_error, "the operating system's random numbers: " + std::string(std::strerror(errno)));
    }
    bytes = bytes.subspan(count);
  }
}

}  // namespace attune::inline v0_1::platform
