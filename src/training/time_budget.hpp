// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <limits>

#include "platform/clock.hpp"

namespace attune::inline v0_1::detail {

// The seconds that training may take, of which some are spent; 0: as many as it likes.
class TimeBudget {
 public:
  TimeBudget(double seconds, double spent, double reserved = 0)
      : seconds_(seconds == 0 ? std::numeric_limits<double>::infinity() : seconds),
        spent_(spent),
        reserved_(reserved) {}
  double spent() const { return spent_ + platform::seconds_since(start_); }
  double left() const { return std::max(0.0, seconds_ - reserved_ - spent()); }
  // Holds so many seconds back, instead of those of before.
  void reserve(double seconds) { reserved_ = seconds; }

 private:
  double seconds_, spent_, reserved_;
  platform::Clock::time_point start_ = platform::Clock::now();
};

}  // namespace attune::inline v0_1::detail
