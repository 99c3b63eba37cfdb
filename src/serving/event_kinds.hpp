// SPDX-License-Identifier: Apache-2.0
#pragma once

// Names of event kinds <-> the small numbers that histories hold. Safe from any number of threads.

#include <algorithm>
#include <cstddef>
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
  // 256 in all, of which events bring no more than half: a model that is opened later finds room for its own.
  static constexpr std::size_t kMost = 256, kMostFromEvents = 128;

  // The number of a kind; nothing for a new name once there are too many. "" is always 0.
  std::optional<std::uint8_t> of_event(std::string_view name) { return find_or_add(name, true); }
  std::optional<std::uint8_t> of_model(std::string_view name) { return find_or_add(name, false); }
  // Precondition: one of the above gave the number.
  std::string name(std::uint8_t kind) {
    const std::shared_lock lock(mutex_);
    return names_[kind];
  }

 private:
  std::optional<std::uint8_t> find_or_add(std::string_view name, bool from_event) {
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
    if (found == names_.size()) {
      if (found == kMost || (from_event && from_events_ == kMostFromEvents)) return std::nullopt;
      names_.emplace_back(name);
      from_events_ += from_event;
    }
    return static_cast<std::uint8_t>(found);
  }

  std::shared_mutex mutex_;
  std::vector<std::string> names_{""};
  std::size_t from_events_ = 0;
};

}  // namespace attune::inline v0_1
