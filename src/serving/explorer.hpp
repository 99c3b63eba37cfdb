// SPDX-License-Identifier: Apache-2.0
#pragma once

// The chances of a request that explores. All of them follow from seed, user, number of the request, place and item, so
// that pages draw what one list does. Allocates nothing once its memory has grown.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/serving/exploration.hpp"
#include "attune/types.hpp"
#include "serving/item_exposure.hpp"

namespace attune::inline v0_1 {

// What ExplorationMethod::linucb asks of items.
class UpperBounds {
 public:
  virtual ~UpperBounds() = default;
  virtual double of(ItemHandle item) = 0;
};

class Explorer {
 public:
  // `exposure` and `bounds` are read while the request runs. Draws nothing where `options` is null.
  void start(const ExplorationOptions* options, const Id& user, const ItemExposure& exposure, UpperBounds& bounds);

  bool explores() const noexcept { return share_ > 0 || quota_ > 0; }
  double share() const noexcept { return share_; }
  double quota() const noexcept { return quota_; }
  std::size_t pool() const noexcept { return pool_; }

  // Of the items that both bitmaps have and `given` (ascending) has not, the new ones: `most` of them, in the order in
  // which places take them; num_new() says how many there are, is_new() which.
  std::span<const ItemHandle> find_new(std::span<const std::uint64_t> eligible, std::span<const std::uint64_t> possible,
                                       std::span<const ItemHandle> given, std::size_t most);
  std::size_t num_new() const noexcept { return num_new_; }
  bool is_new(ItemHandle item) const noexcept {
    return item / 64 < new_bits_.size() && (new_bits_[item / 64] >> (item % 64) & 1u) != 0;
  }

  // In [0, 1): which branch a place takes, and which of an explored place's draws.
  double branch(std::size_t slot) const noexcept;
  // What the method gives each item of a pool, and which it chooses for a place.
  struct Choice {
    std::size_t place = 0;
    std::span<const double> chances = {};  // [items], 1 in all
  };
  // Precondition: items is not empty.
  Choice choose(std::size_t slot, std::span<const ItemHandle> items);

 private:
  struct Drawn {
    ItemHandle item;
    std::size_t first;  // of its draws in draws_
  };
  double random(std::uint64_t purpose, std::uint64_t n) const noexcept;
  std::span<const double> draws_of(ItemHandle item);

  const ItemExposure* exposure_ = nullptr;
  UpperBounds* bounds_ = nullptr;
  ExplorationMethod method_ = ExplorationMethod::uniform;
  double share_ = 0, quota_ = 0, prior_rewards_ = 1, prior_misses_ = 1;
  std::size_t pool_ = 1, num_draws_ = 1, new_below_ = 0, num_new_ = 0;
  std::uint64_t stream_ = 0;
  struct Ranked {
    std::uint64_t order;
    ItemHandle item;
    bool operator<(const Ranked& other) const noexcept {
      return order < other.order || (order == other.order && item < other.item);
    }
  };
  std::vector<std::uint64_t> new_bits_;
  std::vector<Ranked> ranked_;
  std::vector<ItemHandle> new_items_;
  std::vector<Drawn> drawn_;
  std::vector<double> draws_, largest_, chances_;
  std::vector<std::size_t> winners_;
};

}  // namespace attune::inline v0_1
