// SPDX-License-Identifier: Apache-2.0
#pragma once

// Names of event kinds <-> the small numbers that histories hold. Safe from any number of threads.

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

class EventKinds {
 public:
  // Nothing for a new name once there are 256. "" is always 0.
  std::optional<std::uint8_t> find_or_add(std::string_view name) {
    if (name.empty()) return std::uint8_t{0};
    const auto position = [&] { return std::find(names_.begin(), names_.end(), name) - names_.begin(); };
    {
      const std::shared_lock lock(mutex_);
      if (const auto found = static_cast<std::size_t>(position()); found < names_.size()) {
        return static_cast<std::uint8_t>(found);
      }
    }
    const std::unique_lock lock(mutex_);
    const auto found = static_cast<std::size_t>(position());
    if (found > 255) return std::nullopt;
    if (found == names_.size()) names_.emplace_back(name);
    return static_cast<std::uint8_t>(found);
  }

 private:
  std::shared_mutex mutex_;
  std::vector<std::string> names_{""};
};

}  // namespace attune::inline v0_1
