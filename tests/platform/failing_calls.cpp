// SPDX-License-Identifier: Apache-2.0
#include "platform/failing_calls.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>

namespace attune::test {
namespace {

Faults* active = nullptr;
bool interrupt_next = true;

bool interrupted() noexcept {
  if (active == nullptr || !active->interrupted) return false;
  interrupt_next = !interrupt_next;
  if (!interrupt_next) errno = EINTR;
  return !interrupt_next;
}

// Counts a call that may change the disk; true if it is the one to fail.
bool fails() noexcept {
  if (active == nullptr || active->calls++ != active->fail_at) return false;
  errno = active->error;
  return true;
}

size_t limited(size_t count) noexcept {
  return active == nullptr ? count : std::min(count, static_cast<size_t>(active->most_bytes));
}

}  // namespace

Faults::Faults() noexcept { active = this; }
Faults::~Faults() { active = nullptr; }

}  // namespace attune::test

extern "C" {

int open(const char* path, int flags, ...) {
  attune::test::Faults* const faults = attune::test::active;
  if (faults != nullptr && faults->before_open != nullptr) faults->before_open(faults->opens++);
  mode_t mode = 0;
  if ((flags & (O_CREAT | O_TMPFILE)) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

ssize_t read(int descriptor, void* bytes, size_t count) {
  if (attune::test::interrupted()) return -1;
  attune::test::Faults* const faults = attune::test::active;
  if (faults != nullptr && faults->before_read != nullptr) faults->before_read(faults->reads++);
  return ::syscall(SYS_read, descriptor, bytes, attune::test::limited(count));
}

ssize_t write(int descriptor, const void* bytes, size_t count) {
  if (attune::test::interrupted() || attune::test::fails()) return -1;
  return ::syscall(SYS_write, descriptor, bytes, attune::test::limited(count));
}

int fsync(int descriptor) {
  if (attune::test::interrupted() || attune::test::fails()) return -1;
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

int mkdir(const char* path, mode_t mode) noexcept {
  if (attune::test::fails()) return -1;
  return static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}

int link(const char* from, const char* to) noexcept {
  if (attune::test::active != nullptr && attune::test::active->no_links) {
    errno = EPERM;
    return -1;
  }
  if (attune::test::fails()) return -1;
  return static_cast<int>(::syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int renameat2(int from_directory, const char* from, int to_directory, const char* to, unsigned flags) noexcept {
  if (attune::test::active != nullptr && attune::test::active->no_exchange && flags != 0) {
    errno = EINVAL;
    return -1;
  }
  if (attune::test::fails()) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, from_directory, from, to_directory, to, flags));
}

int rename(const char* from, const char* to) noexcept { return ::renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
}
