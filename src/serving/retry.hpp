// SPDX-License-Identifier: Apache-2.0
#pragma once

// Attempts with pauses between them that grow, until somebody stops them.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "attune/version.hpp"
#include "platform/clock.hpp"

namespace attune::inline v0_1 {

class Retry {
 public:
  using Milliseconds = std::chrono::milliseconds;
  explicit Retry(Milliseconds longest_pause) noexcept : longest_(longest_pause) {}

  void succeeded() noexcept { pause_ = kFirst; }
  // Before another attempt.
  void pause() {
    std::unique_lock lock(mutex_);
    const Milliseconds now = stopping_ ? kFirst : std::min(pause_, longest_);
    pause_ = 2 * now;
    const bool was_stopping = stopping_;
    stopped_.wait_for(lock, now, [&] { return stopping_ && !was_stopping; });
  }
  // Whether there shall be none.
  bool is_over() {
    const std::lock_guard lock(mutex_);
    return stopping_ && platform::Clock::now() >= until_;
  }
  // There are no further attempts after `grace`, between which pauses are short.
  void stop(Milliseconds grace) {
    {
      const std::lock_guard lock(mutex_);
      if (!stopping_) until_ = platform::Clock::now() + grace;
      stopping_ = true;
    }
    stopped_.notify_all();
  }

 private:
  static constexpr Milliseconds kFirst{10};
  const Milliseconds longest_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  Milliseconds pause_ = kFirst;
  bool stopping_ = false;
  platform::Clock::time_point until_;
};

}  // namespace attune::inline v0_1
