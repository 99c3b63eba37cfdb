// SPDX-License-Identifier: Apache-2.0
#pragma once

// The last stage of an answer: which of the candidates, in what order. A function of its input alone, the same bits
// every time; it knows handles, and asks for the rest through ItemRelations.
//
// A list is filled slot by slot, from the first one on, whatever the pages in which it is asked for. What takes the
// next slot depends on what was chosen before and on the order of candidates, never on k: pages together are one list.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "attune/types.hpp"
#include "serving/explorer.hpp"
#include "serving/redundancy.hpp"

namespace attune::inline v0_1 {

struct SelectionRules {
  // The next item is the one with the largest (1 - diversity) * relevance - diversity * redundancy among the best open
  // ones of the pool, the first of them where several are equal. 0: the first open candidate.
  double diversity = 0;  // in [0, 1]
  DiversityMethod method = DiversityMethod::mmr;
  std::size_t pool = 0;                    // of diversity; at least as many candidates are looked at
  std::span<const std::size_t> caps = {};  // most items with the same value, for each capped field
  Explorer* explorer = nullptr;            // null: every slot goes to the next item
};

struct PinnedSlot {
  ItemHandle item;
  std::size_t slot;
};

struct SelectionInput {
  std::span<const ScoredHandle> candidates = {};  // best first, each once
  bool complete = false;                          // there are no more
  bool by_place = false;                          // scores do not fall: relevance does, evenly
  std::span<const ItemHandle> shown = {};         // in the slots before, in this order
  std::span<const PinnedSlot> pins = {};          // not yet shown; each item and slot once, slots ascending
  std::span<const ItemHandle> new_items = {};     // that the explorer found; they may be candidates too
  std::size_t first_slot = 0;
  std::size_t k = 0;
};

struct Selection {
  // With the scores of the candidates; Selector::kNoScore for a pin or a new item that is none. Valid until the
  // selector is used again.
  std::span<ScoredHandle> items = {};
  std::span<const float> propensities = {};  // [items]
  std::size_t capped = 0;                    // candidates that were left out because of a cap
  std::size_t wanted = 0;                    // not 0: nothing is decided, so many candidates must be looked at
};

class Selector {
 public:
  static constexpr float kNoScore = -std::numeric_limits<float>::infinity();

  // How many candidates a first try should bring.
  static std::size_t first_pool(const SelectionRules& rules, const SelectionInput& input) noexcept;
  // Allocates nothing once its memory has grown to the input's.
  Selection select(const SelectionInput& input, const SelectionRules& rules, ItemRelations& relations);

 private:
  enum class State : std::uint8_t { open, chosen, capped };
  static constexpr std::size_t kPerSlot = 4;  // candidates of a pool

  // Of relevance: how many candidates stand behind the choice that follows so many others.
  static std::size_t pool_of(const SelectionRules& rules, std::size_t chosen) noexcept;
  void begin(const SelectionInput& input, const SelectionRules& rules, ItemRelations& relations);
  void count_values(std::size_t place, const SelectionRules& rules);
  // The candidate for the next slot. Nothing, and sets wanted_, where it needs to see more of them; nothing where none
  // is left.
  std::optional<std::size_t> next(const SelectionInput& input, const SelectionRules& rules);
  // The item for a slot that may be explored, and the chance that it had. Otherwise as next().
  struct Choice {
    std::size_t item;  // of states_
    double propensity;
  };
  std::optional<Choice> explore(const SelectionInput& input, const SelectionRules& rules, std::size_t slot);
  std::size_t num_open_new(const SelectionRules& rules) const;
  std::optional<std::size_t> first_open(const SelectionInput& input);
  std::optional<std::size_t> best_open(const SelectionInput& input, const SelectionRules& rules,
                                       std::size_t pool) const;
  void pin(ItemHandle item, std::span<const ScoredHandle> candidates);
  void take(std::size_t item, const SelectionInput& input, const SelectionRules& rules);
  float score_of(ItemHandle item, std::span<const ScoredHandle> candidates) const;

  // Places in items_ are those of all pins, then of what was shown besides, then of new items, then of the candidates:
  // choices come in the same order on every page, and so do rounding errors.
  std::size_t num_given_ = 0, num_new_ = 0, num_chosen_ = 0, num_chosen_new_ = 0, passed_ = 0, wanted_ = 0;
  std::vector<ItemHandle> items_, given_;
  std::vector<State> states_;             // of new items and candidates
  std::vector<ItemHandle> pool_;          // of a slot that is explored
  std::vector<std::size_t> pool_places_;  // in states_
  ItemValues values_;                     // of all items, where there are caps
  struct Count {
    std::uint64_t value;
    std::size_t items;
  };
  std::vector<Count> counts_;  // ascending
  Redundancy redundancy_;
  std::vector<ScoredHandle> answer_;
  std::vector<float> propensities_;
};

}  // namespace attune::inline v0_1
