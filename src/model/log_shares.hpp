// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace attune::inline v0_1::detail {

// In place. A share of zero weighs as little as the smallest share there is.
inline void log_shares(std::span<float> shares) noexcept {
  for (float& share : shares) share = std::log(std::max(share, std::numeric_limits<float>::min()));
}

}  // namespace attune::inline v0_1::detail
