// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <iterator>
#include <thread>

namespace attune::test {

inline std::size_t num_threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(tasks), end(tasks)));
}

// A joined thread may still be listed for a moment.
inline bool num_threads_becomes(std::size_t expected) {
  for (int attempt = 0; attempt < 100000; ++attempt) {
    if (num_threads() == expected) return true;
    std::this_thread::yield();
  }
  return false;
}

// With the thread that a sanitizer keeps for itself from the first one that a program starts.
inline std::size_t num_threads_at_rest() {
  std::thread([] {}).join();
  std::size_t count = num_threads();
  for (int unchanged = 0; unchanged < 1000; ++unchanged) {
    std::this_thread::yield();
    if (const std::size_t now = num_threads(); now != count) {
      count = now;
      unchanged = 0;
    }
  }
  return count;
}

}  // namespace attune::test
