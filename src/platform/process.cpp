// SPDX-License-Identifier: Apache-2.0
#include "platform/process.hpp"

#include <unistd.h>

#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#endif

namespace attune::inline v0_1::platform {

std::int64_t process_id() noexcept { return ::getpid(); }

bool request_tile_registers() noexcept {
#if defined(__linux__) && defined(__x86_64__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace attune::inline v0_1::platform
