// SPDX-License-Identifier: Apache-2.0
#pragma once

// What events say of items that the model was not trained on: vectors that move from what content predicts to what the
// users chose before, and how much an item is wanted. Not synchronised, but for count_event().

#include <atomic>
#include <cstddef>
#include <span>
#include <unordered_map>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

class NewItems {
 public:
  // Another model, whose vectors mean something else: nothing is known but how many events there were.
  void clear() noexcept { items_.clear(); }
  // Any event; from any thread.
  void count_event() noexcept { events_.fetch_add(1, std::memory_order_relaxed); }

  // What content says of an item, [dim]; what events said of it stays.
  void set_content(ItemHandle item, std::span<const float> vector);
  // An event on an item of which content says something, and the mean [dim] of the vectors of what its user chose
  // before; empty: none has one. Whether so much is new that it should be shown.
  bool add_event(ItemHandle item, std::span<const float> before);

  // vector [dim]: the direction of 5 content + the sum over events of what came before, with the length
  // (5 |content| + events * trained_length) / (5 + events): what many chose is as sure as what was trained. Returns
  // ln((events + 1/2) / (events of all items since it came / num_items + 1/2)).
  float describe(ItemHandle item, std::span<float> vector, float trained_length, std::size_t num_items) const;
  // How much of the vector is the content's, from 0 to 1.
  float content_share(ItemHandle item) const;

 private:
  static constexpr float kContent = 5;  // events that content is worth
  struct NewItem {
    std::vector<float> content, sum;
    std::size_t events = 0, summed = 0, shown = 0;
    std::size_t since = 0;  // of events_
  };
  std::unordered_map<ItemHandle, NewItem> items_;
  std::atomic<std::size_t> events_ = 0;
};

}  // namespace attune::inline v0_1
