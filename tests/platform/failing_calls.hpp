// SPDX-License-Identifier: Apache-2.0
#pragma once

// System calls that go wrong on purpose. A test program that links failing_calls.cpp gets its own open, read, write,
// fsync, mkdir, link, rename and renameat2: they pass everything on, but while a Faults object lives they misbehave as
// it says.

#include <climits>

namespace attune::test {

struct Faults {
  Faults() noexcept;
  ~Faults();
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  int fail_at = INT_MAX;                      // the n-th call that may change the disk (0-based) fails with `error`
  int error = 0;                              // an errno
  bool no_exchange = false;                   // renameat2 answers EINVAL, as on a file system without it
  bool no_links = false;                      // link answers EPERM, as on a file system without hard links
  bool interrupted = false;                   // every second call is interrupted by a signal before it does anything
  int most_bytes = INT_MAX;                   // that one read or write moves
  void (*before_read)(int number) = nullptr;  // called with 0, 1, ...
  void (*before_open)(int number) = nullptr;  // the same
  int reads = 0, opens = 0;                   // so far
  int calls = 0;                              // that may change the disk, so far
};

}  // namespace attune::test
