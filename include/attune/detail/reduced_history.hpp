// SPDX-License-Identifier: Apache-2.0
#pragma once

// A history without some of its events. The memory is reused from one to the next.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1::detail {

class ReducedHistory {
 public:
  // `events` are positions in the history, ascending. Valid until the next call.
  HistoryView without(HistoryView history, std::span<const std::size_t> events) {
    const auto keep = [&](auto& column, const auto& source) {
      column.clear();
      std::size_t next = 0;
      for (std::size_t i = 0; i < source.size(); ++i) {
        if (next < events.size() && events[next] == i) {
          ++next;
        } else {
          column.push_back(source[i]);
        }
      }
    };
    keep(items_, history.items);
    keep(times_, history.times);
    keep(kinds_, history.kinds);
    keep(weights_, history.weights);
    return {items_, times_, kinds_, weights_};
  }

 private:
  std::vector<ItemHandle> items_;
  std::vector<Timestamp> times_;
  std::vector<std::uint8_t> kinds_;
  std::vector<float> weights_;
};

}  // namespace attune::inline v0_1::detail
