// SPDX-License-Identifier: Apache-2.0
#pragma once

// How often items were shown, and how often that was followed by an event of the history: what exploration learns from.
// Both follow from the events of each user in order of time: an impression is rewarded when the user has such an event
// on the item after it and before its next impression.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

// Safe from any number of threads. 8 bytes an item, in blocks of 4,096 from the first impression of one of them on, and
// 16 KiB for each 8 million items.
class ItemExposure {
 public:
  struct Count {
    std::uint32_t impressions = 0, rewards = 0;
  };

  ItemExposure() = default;
  ItemExposure(const ItemExposure&) = delete;
  ItemExposure& operator=(const ItemExposure&) = delete;
  ~ItemExposure();

  // Allocates what it needs for an item; nothing the next time.
  void make_room(ItemHandle item);
  // Precondition: make_room(item). Changes may be negative.
  void add(ItemHandle item, std::int64_t impressions, std::int64_t rewards) noexcept;
  Count of(ItemHandle item) const noexcept;
  // How often add() was called.
  std::uint64_t changes() const noexcept { return changes_.load(std::memory_order_acquire); }
  // Calls visit(item, count) for every item of a block with room, in order.
  template <class Visit>
  void visit(Visit&& visit) const {
    for (std::size_t region = 0; region < regions_.size(); ++region) {
      const Region* const blocks = regions_[region].load(std::memory_order_acquire);
      for (std::size_t place = 0; blocks != nullptr && place < blocks->size(); ++place) {
        const Block* const block = (*blocks)[place].load(std::memory_order_acquire);
        for (std::size_t i = 0; block != nullptr && i < block->size(); ++i) {
          visit(static_cast<ItemHandle>((region << kRegionBits | place) << kBlockBits | i), count_of((*block)[i]));
        }
      }
    }
  }

 private:
  static constexpr std::size_t kBlockBits = 12, kRegionBits = 11;
  struct Cell {
    std::atomic<std::uint32_t> impressions = 0, rewards = 0;
  };
  using Block = std::array<Cell, std::size_t{1} << kBlockBits>;
  using Region = std::array<std::atomic<Block*>, std::size_t{1} << kRegionBits>;

  Cell* find(ItemHandle item) const noexcept;
  static Count count_of(const Cell& cell) noexcept {
    return {cell.impressions.load(std::memory_order_relaxed), cell.rewards.load(std::memory_order_relaxed)};
  }

  std::mutex growing_;
  std::atomic<std::uint64_t> changes_ = 0;
  std::array<std::atomic<Region*>, std::size_t{1} << (32 - kBlockBits - kRegionBits)> regions_{};
};

}  // namespace attune::inline v0_1
