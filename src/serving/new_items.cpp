// SPDX-License-Identifier: Apache-2.0
#include "serving/new_items.hpp"

#include <algorithm>
#include <cmath>

namespace attune::inline v0_1 {
namespace {

float length_of(std::span<const float> vector) noexcept {
  double square = 0;
  for (const float x : vector) square += static_cast<double>(x) * static_cast<double>(x);
  return static_cast<float>(std::sqrt(square));
}

}  // namespace

void NewItems::set_content(ItemHandle item, std::span<const float> vector) {
  NewItem& known = items_[item];
  if (known.content.empty()) {
    known.since = events_.load(std::memory_order_relaxed);
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
  if (known.events * 8 < known.shown * 9) return false;
  known.shown = known.events;
  return true;
}

float NewItems::describe(ItemHandle item, std::span<float> vector, float trained_length, std::size_t num_items) const {
  constexpr double kHalf = 0.5;
  const NewItem& known = items_.at(item);
  const auto events = static_cast<float>(known.summed);
  for (std::size_t d = 0; d < vector.size(); ++d) vector[d] = kContent * known.content[d] + known.sum[d];
  const float length = (kContent * length_of(known.content) + events * trained_length) / (kContent + events);
  const float scale = length / std::max(length_of(vector), 1e-30f);
  for (float& x : vector) x *= scale;
  const auto since = static_cast<double>(events_.load(std::memory_order_relaxed) - known.since);
  const double average = since / static_cast<double>(std::max<std::size_t>(num_items, 1));
  return static_cast<float>(std::log((static_cast<double>(known.events) + kHalf) / (average + kHalf)));
}

float NewItems::content_share(ItemHandle item) const {
  return kContent / (kContent + static_cast<float>(items_.at(item).summed));
}

}  // namespace attune::inline v0_1
