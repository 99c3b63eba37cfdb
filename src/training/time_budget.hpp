// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <utility>

#include "platform/clock.hpp"

namespace attune::inline v0_1::detail {

// The seconds that training may take, of which some are spent; 0: as many as it likes. `now` says what time it is.
class TimeBudget {
 public:
  using Now = std::function<platform::Clock::time_point()>;
  TimeBudget(double seconds, double spent, double reserved = 0, Now now = platform::Clock::now)
      : seconds_(seconds == 0 ? std::numeric_limits<double>::infinity() : seconds),
        spent_(spent),
        reserved_(reserved),
        now_(std::move(now)),
        start_(now_()) {}
  double spent() const { return spent_ + std::chrono::duration<double>(now_() - start_).count(); }
  double left() const { return std::max(0.0, seconds_ - reserved_ - spent()); }
  // Holds so many seconds back, instead of those of before.
  void reserve(double seconds) { reserved_ = seconds; }

 private:
  double seconds_, spent_, reserved_;
  Now now_;
  platform::Clock::time_point start_;
};

}  // namespace attune::inline v0_1::detail
