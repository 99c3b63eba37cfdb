// SPDX-License-Identifier: Apache-2.0
#pragma once

// What time it is by the events alone, as nobody reads the clock: the newest that any has, but at most a day after the
// newest of another user: one whose clock is further ahead of everybody's changes nothing. The events of a user who is
// the only one count.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

// Safe from any number of threads.
class EventClock {
 public:
  static constexpr Timestamp kMostAhead = 24 * 60 * 60 * 1000;

  // An event of the user with this hash.
  void see(std::uint64_t user, Timestamp at) noexcept {
    if (at <= behind_.load(std::memory_order_relaxed)) return;
    const std::lock_guard lock(mutex_);
    if (user != ahead_) behind_ = std::max(behind_.load(), std::min(newest_, at));
    if (at > newest_) ahead_ = user;
    newest_ = std::max(newest_, at);
    const bool agreed = behind_ == kNoTime || newest_ - kMostAhead <= behind_;
    now_ = agreed ? newest_ : behind_.load();
  }
  // Keeps the times, but not whose they are.
  void forget(std::uint64_t user) noexcept {
    const std::lock_guard lock(mutex_);
    if (user == ahead_) ahead_.reset();
  }
  // kNoTime before the first event.
  Timestamp now() const noexcept { return now_.load(std::memory_order_relaxed); }

 private:
  std::mutex mutex_;
  std::optional<std::uint64_t> ahead_;  // the user of newest_
  Timestamp newest_ = kNoTime;
  std::atomic<Timestamp> behind_ = kNoTime;  // the newest of all others
  std::atomic<Timestamp> now_ = kNoTime;
};

}  // namespace attune::inline v0_1
