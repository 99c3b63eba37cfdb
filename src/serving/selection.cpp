// SPDX-License-Identifier: Apache-2.0
#include "serving/selection.hpp"

#include <algorithm>
#include <limits>

namespace attune::inline v0_1 {
namespace {

std::size_t saturating_sum(std::size_t a, std::size_t b) noexcept {
  return b > std::numeric_limits<std::size_t>::max() - a ? std::numeric_limits<std::size_t>::max() : a + b;
}

}  // namespace

std::size_t Selector::pool_of(const SelectionRules& rules, std::size_t chosen) noexcept {
  std::size_t pool = std::max<std::size_t>(rules.pool, 1);
  while (pool / kPerSlot <= chosen) pool *= 2;
  return pool;
}

std::size_t Selector::first_pool(const SelectionRules& rules, const SelectionInput& input) noexcept {
  const std::size_t given = input.shown.size() + input.pins.size();
  const std::size_t wanted = saturating_sum(given, input.k);
  if (rules.diversity == 0 && rules.caps.empty()) return wanted;
  constexpr std::size_t kMost = std::numeric_limits<ItemHandle>::max();  // there are no more
  return pool_of(rules, std::min(wanted, kMost) - std::min<std::size_t>(wanted, 1));
}

void Selector::begin(const SelectionInput& input, const SelectionRules& rules, ItemRelations& relations) {
  items_.clear();
  for (const PinnedSlot& pin : input.pins) items_.push_back(pin.item);
  for (const ItemHandle item : input.shown) {
    if (std::ranges::find(input.pins, item, &PinnedSlot::item) == input.pins.end()) items_.push_back(item);
  }
  num_given_ = num_chosen_ = items_.size();
  given_ = items_;
  std::ranges::sort(given_);
  states_.assign(input.candidates.size(), State::open);
  for (std::size_t c = 0; c < input.candidates.size(); ++c) {
    items_.push_back(input.candidates[c].item);
    if (std::ranges::binary_search(given_, input.candidates[c].item)) states_[c] = State::chosen;
  }
  passed_ = wanted_ = 0;
  counts_.clear();
  answer_.clear();
  values_.clear();
  if (!rules.caps.empty()) relations.read_values(items_, values_);
  for (std::size_t place = 0; place < num_given_; ++place) count_values(place, rules);
  if (rules.diversity == 0) return;
  redundancy_.start(rules.method, items_, relations);
  redundancy_.join(num_given_);
  for (std::size_t place = 0; place < num_given_; ++place) redundancy_.choose(place);
}

void Selector::count_values(std::size_t place, const SelectionRules& rules) {
  if (rules.caps.empty()) return;
  for (const std::uint64_t value : values_.of(place)) {
    const auto at = std::ranges::lower_bound(counts_, value, {}, &Count::value);
    const bool known = at != counts_.end() && at->value == value;
    const std::size_t items = known ? ++at->items : counts_.insert(at, {value, 1})->items;
    if (items != rules.caps[ItemValues::cap_of(value)]) continue;
    for (std::size_t c = 0; c < states_.size(); ++c) {
      if (states_[c] != State::open) continue;
      const auto values = values_.of(num_given_ + c);
      if (std::ranges::find(values, value) != values.end()) states_[c] = State::capped;
    }
  }
}

std::optional<std::size_t> Selector::first_open(const SelectionInput& input) {
  while (passed_ < states_.size() && states_[passed_] != State::open) ++passed_;
  if (passed_ < states_.size()) return passed_;
  if (!input.complete) wanted_ = std::max<std::size_t>(2 * states_.size(), 1);
  return std::nullopt;
}

std::optional<std::size_t> Selector::best_open(const SelectionInput& input, const SelectionRules& rules,
                                               std::size_t pool) const {
  const auto first = static_cast<double>(input.candidates.front().score);
  const double range = first - static_cast<double>(input.candidates[pool - 1].score);
  const auto relevance = [&](std::size_t c) {
    if (input.by_place) return 1.0 - static_cast<double>(c) / static_cast<double>(pool);
    return range > 0 ? 1.0 - (first - static_cast<double>(input.candidates[c].score)) / range : 1.0;
  };
  std::optional<std::size_t> best;
  double largest = 0;
  for (std::size_t c = 0; c < pool; ++c) {
    if (states_[c] != State::open) continue;
    const double value = (1 - rules.diversity) * relevance(c) - rules.diversity * redundancy_.of(num_given_ + c);
    if (best && !(value > largest)) continue;
    best = c;
    largest = value;
  }
  return best;
}

std::optional<std::size_t> Selector::next(const SelectionInput& input, const SelectionRules& rules) {
  if (rules.diversity == 0) return first_open(input);
  for (std::size_t pool = pool_of(rules, num_chosen_);; pool *= 2) {
    const std::size_t count = std::min(pool, states_.size());
    if (pool > count && !input.complete) {
      wanted_ = pool;
      return std::nullopt;
    }
    if (count == 0) return std::nullopt;
    redundancy_.join(num_given_ + count);
    if (const auto best = best_open(input, rules, count)) return best;
    if (pool >= states_.size() && input.complete) return std::nullopt;
  }
}

void Selector::take(std::size_t candidate, const SelectionInput& input, const SelectionRules& rules) {
  states_[candidate] = State::chosen;
  ++num_chosen_;
  count_values(num_given_ + candidate, rules);
  if (rules.diversity != 0) redundancy_.choose(num_given_ + candidate);
  answer_.push_back(input.candidates[candidate]);
}

void Selector::pin(ItemHandle item, std::span<const ScoredHandle> candidates) {
  const auto found = std::ranges::find(candidates, item, &ScoredHandle::item);
  answer_.push_back({item, found == candidates.end() ? kNoScore : found->score});
}

Selection Selector::select(const SelectionInput& input, const SelectionRules& rules, ItemRelations& relations) {
  begin(input, rules, relations);
  const std::size_t end = saturating_sum(input.first_slot, input.k);
  auto next_pin = std::ranges::lower_bound(input.pins, input.first_slot, {}, &PinnedSlot::slot);
  for (std::size_t slot = input.first_slot; slot < end; ++slot) {
    if (next_pin != input.pins.end() && next_pin->slot == slot) {
      pin((next_pin++)->item, input.candidates);
      continue;
    }
    const std::optional<std::size_t> candidate = next(input, rules);
    if (wanted_ != 0) return {.wanted = wanted_};
    if (!candidate) break;
    take(*candidate, input, rules);
  }
  for (; next_pin != input.pins.end() && next_pin->slot < end; ++next_pin) pin(next_pin->item, input.candidates);
  const auto capped = std::ranges::count(states_, State::capped);
  return {.items = answer_, .capped = static_cast<std::size_t>(capped)};
}

}  // namespace attune::inline v0_1
