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
  const std::size_t explored = rules.explorer == nullptr ? wanted : saturating_sum(wanted, rules.explorer->pool());
  if (rules.diversity == 0 && rules.caps.empty()) return explored;
  constexpr std::size_t kMost = std::numeric_limits<ItemHandle>::max();  // there are no more
  return std::max(explored, pool_of(rules, std::min(wanted, kMost) - std::min<std::size_t>(wanted, 1)));
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
  num_new_ = input.new_items.size();
  num_chosen_new_ = 0;
  items_.insert(items_.end(), input.new_items.begin(), input.new_items.end());
  states_.assign(num_new_ + input.candidates.size(), State::open);
  for (std::size_t c = 0; c < input.candidates.size(); ++c) {
    items_.push_back(input.candidates[c].item);
    if (std::ranges::binary_search(given_, input.candidates[c].item)) states_[num_new_ + c] = State::chosen;
  }
  passed_ = num_new_;
  wanted_ = 0;
  counts_.clear();
  answer_.clear();
  propensities_.clear();
  values_.clear();
  if (!rules.caps.empty()) relations.read_values(items_, values_);
  for (std::size_t place = 0; place < num_given_; ++place) count_values(place, rules);
  if (rules.diversity == 0) return;
  redundancy_.start(rules.method, items_, relations);
  redundancy_.join(num_given_ + num_new_);
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
  if (!input.complete) wanted_ = std::max<std::size_t>(2 * input.candidates.size(), 1);
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
    const std::size_t item = num_new_ + c;
    if (states_[item] != State::open) continue;
    const double value = (1 - rules.diversity) * relevance(c) - rules.diversity * redundancy_.of(num_given_ + item);
    if (best && !(value > largest)) continue;
    best = item;
    largest = value;
  }
  return best;
}

std::optional<std::size_t> Selector::next(const SelectionInput& input, const SelectionRules& rules) {
  if (rules.diversity == 0) return first_open(input);
  for (std::size_t pool = pool_of(rules, num_chosen_);; pool *= 2) {
    const std::size_t count = std::min(pool, input.candidates.size());
    if (pool > count && !input.complete) {
      wanted_ = pool;
      return std::nullopt;
    }
    if (count == 0) return std::nullopt;
    redundancy_.join(num_given_ + num_new_ + count);
    if (const auto best = best_open(input, rules, count)) return best;
    if (pool >= input.candidates.size() && input.complete) return std::nullopt;
  }
}

std::size_t Selector::num_open_new(const SelectionRules& rules) const {
  if (rules.caps.empty()) return rules.explorer->num_new() - num_chosen_new_;
  const auto end = states_.begin() + static_cast<std::ptrdiff_t>(num_new_);  // all of them are here
  return static_cast<std::size_t>(std::count(states_.begin(), end, State::open));
}

std::optional<Selector::Choice> Selector::explore(const SelectionInput& input, const SelectionRules& rules,
                                                  std::size_t slot) {
  Explorer& explorer = *rules.explorer;
  const std::optional<std::size_t> following = next(input, rules);
  if (wanted_ != 0) return std::nullopt;
  pool_.clear();
  pool_places_.clear();
  for (std::size_t i = num_new_; i < states_.size() && pool_.size() < explorer.pool(); ++i) {
    if (states_[i] != State::open) continue;
    pool_.push_back(items_[num_given_ + i]);
    pool_places_.push_back(i);
  }
  if (pool_.size() < explorer.pool() && !input.complete) {
    wanted_ = std::max<std::size_t>(2 * input.candidates.size(), 1);
    return std::nullopt;
  }
  const std::size_t open_new = num_open_new(rules);
  if (!following && open_new == 0) return std::nullopt;
  const double quota = open_new == 0 ? 0 : following ? explorer.quota() : 1;
  const double share = following ? explorer.share() : 0;
  const Explorer::Choice explored = share > 0 ? explorer.choose(slot, pool_) : Explorer::Choice{};
  const double branch = explorer.branch(slot);
  const auto first_new = std::ranges::find(states_, State::open);  // where one is open
  std::size_t chosen = branch < quota           ? static_cast<std::size_t>(first_new - states_.begin())
                       : branch < quota + share ? pool_places_[explored.place]
                                                : *following;
  const ItemHandle item = items_[num_given_ + chosen];
  double propensity = explorer.is_new(item) ? quota / static_cast<double>(open_new) : 0;
  if (following && items_[num_given_ + *following] == item) propensity += 1 - quota - share;
  const auto in_pool = static_cast<std::size_t>(std::ranges::find(pool_, item) - pool_.begin());
  if (share > 0 && in_pool < pool_.size()) propensity += share * explored.chances[in_pool];
  return Choice{chosen, propensity};
}

// A new item that is a candidate too has two places.
void Selector::take(std::size_t item, const SelectionInput& input, const SelectionRules& rules) {
  const ItemHandle handle = items_[num_given_ + item];
  for (std::size_t i = 0; i < states_.size() && num_new_ != 0; ++i) {
    if (items_[num_given_ + i] == handle) states_[i] = State::chosen;
  }
  states_[item] = State::chosen;
  ++num_chosen_;
  if (rules.explorer != nullptr && rules.explorer->is_new(handle)) ++num_chosen_new_;
  count_values(num_given_ + item, rules);
  if (rules.diversity != 0) redundancy_.choose(num_given_ + item);
  answer_.push_back(
      {handle, item < num_new_ ? score_of(handle, input.candidates) : input.candidates[item - num_new_].score});
}

float Selector::score_of(ItemHandle item, std::span<const ScoredHandle> candidates) const {
  const auto found = std::ranges::find(candidates, item, &ScoredHandle::item);
  return found == candidates.end() ? kNoScore : found->score;
}

void Selector::pin(ItemHandle item, std::span<const ScoredHandle> candidates) {
  answer_.push_back({item, score_of(item, candidates)});
  propensities_.push_back(1);
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
    std::optional<Choice> choice;
    if (rules.explorer != nullptr) {
      choice = explore(input, rules, slot);
    } else if (const std::optional<std::size_t> item = next(input, rules)) {
      choice = {*item, 1.0};
    }
    if (wanted_ != 0) return {.wanted = wanted_};
    if (!choice) break;
    take(choice->item, input, rules);
    propensities_.push_back(static_cast<float>(choice->propensity));
  }
  for (; next_pin != input.pins.end() && next_pin->slot < end; ++next_pin) pin(next_pin->item, input.candidates);
  const auto capped = std::count(states_.begin() + static_cast<std::ptrdiff_t>(num_new_), states_.end(), State::capped);
  return {.items = answer_, .propensities = propensities_, .capped = static_cast<std::size_t>(capped)};
}

}  // namespace attune::inline v0_1
