// SPDX-License-Identifier: Apache-2.0
#pragma once

// Vectors of items that content speaks for, because the model has none: by handle, in groups of 64 as bitmaps are.
// Immutable: a changed copy shares the groups that did not change.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "attune/detail/kernel_table.hpp"
#include "attune/model/workspace.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

// What is known of an item beside its vector.
struct ContentFacts {
  float share = 1;                    // of the vector, what content says
  std::size_t events = 0, since = 0;  // its own, and those of all items when it came
};

class ContentRows {
 public:
  static constexpr std::size_t kGroup = 64;

  // `events` counts those of all items, as they happen; `num_items` is how many there are.
  ContentRows(std::size_t dim, std::shared_ptr<const std::atomic<std::size_t>> events, std::size_t num_items);

  // The same with other or further vectors [n, dim] and facts [n], of handles that are there once. A vector that is
  // zero or not finite takes the item away.
  std::shared_ptr<const ContentRows> with(std::span<const ItemHandle> items, std::span<const float> vectors,
                                          std::span<const ContentFacts> facts) const;

  std::size_t dim() const noexcept { return dim_; }
  std::size_t stride() const noexcept { return stride_; }  // dim in whole lanes, padded with zeros
  std::size_t end() const noexcept { return (first_group_ + groups_.size()) * kGroup; }  // beyond the last handle
  bool has(ItemHandle item) const noexcept { return (items(item / kGroup) >> (item % kGroup) & 1u) != 0; }
  // Preconditions: has(item).
  const float* row(ItemHandle item) const noexcept {  // [stride]
    return groups_[item / kGroup - first_group_]->rows.data() + item % kGroup * stride_;
  }
  const ContentFacts& facts(ItemHandle item) const noexcept {
    return groups_[item / kGroup - first_group_]->facts[item % kGroup];
  }
  float length(ItemHandle item) const noexcept;
  // The dot product of `query` [stride] with the vector of the item, as the library scores.
  float dot(const float* query, ItemHandle item) const noexcept;

  // How much an item is wanted, as its share of the events since it came over that of an average item: 1 at first.
  float wanted(const ContentFacts& facts) const noexcept {
    constexpr float kHalf = 0.5f;
    const auto others = static_cast<float>(events_->load(std::memory_order_relaxed) - facts.since);
    return (static_cast<float>(facts.events) + kHalf) / (others / num_items_ + kHalf);
  }

  struct Group {
    std::uint64_t items = 0;  // bits
    std::array<ContentFacts, kGroup> facts{};
    Buffer<float> rows;  // [64, stride]
  };
  // Calls visit(number, group) for every group that has items.
  template <class Visit>
  void visit_groups(Visit&& visit) const {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      if (groups_[g]) visit(first_group_ + g, *groups_[g]);
    }
  }

 private:
  std::uint64_t items(std::size_t group) const noexcept {
    if (group < first_group_ || group - first_group_ >= groups_.size() || !groups_[group - first_group_]) return 0;
    return groups_[group - first_group_]->items;
  }
  std::shared_ptr<Group> copy_of(std::size_t group) const;
  void reach(std::size_t group);

  std::size_t dim_, stride_, first_group_ = 0;
  std::vector<std::shared_ptr<const Group>> groups_;  // null: none of its items
  std::shared_ptr<const std::atomic<std::size_t>> events_;
  float num_items_;
  const detail::KernelTable<float>* kernels_;
};

}  // namespace attune::inline v0_1
