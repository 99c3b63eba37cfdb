// SPDX-License-Identifier: Apache-2.0
#include "serving/item_exposure.hpp"

namespace attune::inline v0_1 {

ItemExposure::~ItemExposure() {
  for (const std::atomic<Region*>& slot : regions_) {
    const std::unique_ptr<Region> region(slot.load(std::memory_order_relaxed));
    if (!region) continue;
    for (const std::atomic<Block*>& block : *region) delete block.load(std::memory_order_relaxed);
  }
}

ItemExposure::Cell* ItemExposure::find(ItemHandle item) const noexcept {
  const Region* const region = regions_[item >> (kBlockBits + kRegionBits)].load(std::memory_order_acquire);
  if (region == nullptr) return nullptr;
  const std::size_t place = (item >> kBlockBits) % region->size();
  Block* const block = (*region)[place].load(std::memory_order_acquire);
  return block == nullptr ? nullptr : &(*block)[item % block->size()];
}

void ItemExposure::make_room(ItemHandle item) {
  if (find(item) != nullptr) return;
  const std::lock_guard lock(growing_);
  std::atomic<Region*>& slot = regions_[item >> (kBlockBits + kRegionBits)];
  if (slot.load(std::memory_order_relaxed) == nullptr) {
    slot.store(std::make_unique<Region>().release(), std::memory_order_release);
  }
  Region& region = *slot.load(std::memory_order_relaxed);
  std::atomic<Block*>& block = region[(item >> kBlockBits) % region.size()];
  if (block.load(std::memory_order_relaxed) != nullptr) return;
  block.store(std::make_unique<Block>().release(), std::memory_order_release);
}

void ItemExposure::add(ItemHandle item, std::int64_t impressions, std::int64_t rewards) noexcept {
  Cell& cell = *find(item);
  cell.impressions.fetch_add(static_cast<std::uint32_t>(impressions), std::memory_order_relaxed);
  cell.rewards.fetch_add(static_cast<std::uint32_t>(rewards), std::memory_order_relaxed);
  changes_.fetch_add(1, std::memory_order_release);
}

ItemExposure::Count ItemExposure::of(ItemHandle item) const noexcept {
  const Cell* const cell = find(item);
  return cell == nullptr ? Count{} : count_of(*cell);
}

}  // namespace attune::inline v0_1
