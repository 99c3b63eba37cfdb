// SPDX-License-Identifier: Apache-2.0
#include "serving/new_items.hpp"

#include <algorithm>

#include "attune/detail/engine_impl.hpp"

namespace attune::inline v0_1 {

void NewItems::set_content(ItemHandle item, std::span<const float> vector, std::size_t events) {
  NewItem& known = items_[item];
  if (known.content.empty()) {
    known.since = events;
    known.sum.resize(vector.size());
  }
  known.content.assign(vector.begin(), vector.end());
}

bool NewItems::add_event(ItemHandle item, std::span<const float> before) {
  const auto found = items_.find(item);
  if (found == items_.end()) return false;
  NewItem& known = found->second;
  ++known.events;
  if (!before.empty()) ++known.summed;
  for (std::size_t d = 0; d < before.size(); ++d) known.sum[d] += before[d];
  return true;
}

ContentFacts NewItems::describe(ItemHandle item, std::span<float> vector, float trained_length) const {
  constexpr float kContent = 5;  // events that it is worth
  const NewItem& known = items_.at(item);
  const auto events = static_cast<float>(known.summed);
  for (std::size_t d = 0; d < vector.size(); ++d) vector[d] = kContent * known.content[d] + known.sum[d];
  const float length = (kContent * detail::length_of(known.content) + events * trained_length) / (kContent + events);
  const float scale = length / std::max(detail::length_of(vector), 1e-30f);
  for (float& x : vector) x *= scale;
  return {kContent * scale, known.events, known.since};
}

}  // namespace attune::inline v0_1
