// SPDX-License-Identifier: Apache-2.0
#include "platform/process.hpp"

#include <unistd.h>

#include <csignal>
#include <ctime>

#if defined(__linux__) && defined(__x86_64__)
#include <sys/syscall.h>
#endif

namespace attune::inline v0_1::platform {
namespace {

sigset_t pipe_signal() noexcept {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  return signals;
}

}  // namespace

std::int64_t process_id() noexcept { return ::getpid(); }

bool request_tile_registers() noexcept {
#if defined(__linux__) && defined(__x86_64__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

BrokenPipesAreErrors::BrokenPipesAreErrors() noexcept {
  sigset_t pending;
  sigpending(&pending);
  if (sigismember(&pending, SIGPIPE) == 1) return;  // it is blocked already
  const sigset_t signal = pipe_signal();
  sigset_t before;
  blocked_ = pthread_sigmask(SIG_BLOCK, &signal, &before) == 0 && sigismember(&before, SIGPIPE) == 0;
}

BrokenPipesAreErrors::~BrokenPipesAreErrors() {
  if (!blocked_) return;
  const sigset_t signal = pipe_signal();
  const timespec at_once{};
  while (sigtimedwait(&signal, nullptr, &at_once) == SIGPIPE) {
  }
  pthread_sigmask(SIG_UNBLOCK, &signal, nullptr);
}

}  // namespace attune::inline v0_1::platform
