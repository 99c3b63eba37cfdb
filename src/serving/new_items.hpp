// SPDX-License-Identifier: Apache-2.0
#pragma once

// What events say of items that a model was not trained on: vectors that move from what content predicts to what the
// users chose before, and how much an item is wanted. Not synchronised.

#include <cstddef>
#include <span>
#include <unordered_map>
#include <vector>

#include "attune/types.hpp"
#include "serving/content_rows.hpp"

namespace attune::inline v0_1 {

class NewItems {
 public:
  // What content says of an item, [dim]; what events said of it stays. `events` of all items so far.
  void set_content(ItemHandle item, std::span<const float> vector, std::size_t events);
  // An event on an item of which content said something, and the mean [dim] of the vectors of what its user chose
  // before; empty: none has one. Whether there is such content.
  bool add_event(ItemHandle item, std::span<const float> before);

  // vector [dim]: the direction of 5 content + the sum over events of what came before, with the length
  // (5 |content| + events * trained_length) / (5 + events): what many chose is as sure as what was trained.
  // Precondition: set_content().
  ContentFacts describe(ItemHandle item, std::span<float> vector, float trained_length) const;

 private:
  struct NewItem {
    std::vector<float> content, sum;
    std::size_t events = 0, summed = 0, since = 0;
  };
  std::unordered_map<ItemHandle, NewItem> items_;
};

}  // namespace attune::inline v0_1
