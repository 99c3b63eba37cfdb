// SPDX-License-Identifier: Apache-2.0
#pragma once

// An SQLite whose files, or whose memory, fail on purpose. While a DiskFaults lives every new connection of the process
// goes through it.

#include <atomic>
#include <climits>

namespace attune::test {

struct DiskFaults {
  DiskFaults();
  ~DiskFaults();
  DiskFaults(const DiskFaults&) = delete;
  DiskFaults& operator=(const DiskFaults&) = delete;

  // Nothing is synced, which the process that wrote it does not notice.
  std::atomic<int> fail_at = INT_MAX;   // the n-th write, sync, truncation or opening (0-based) fails
  std::atomic<bool> for_ever = false;   // and all that follow
  std::atomic<bool> read_only = false;  // files can be opened for reading alone
  std::atomic<int> calls = 0;
};

// A program that links failing_sqlite.cpp has an operator new, and gives SQLite an allocator, that do as this says.
struct MemoryFaults {
  static const bool installed;
  static std::atomic<int> fail_at;  // the n-th allocation (0-based) fails
  static std::atomic<bool> for_ever;
  static std::atomic<int> calls;
};

}  // namespace attune::test
