// SPDX-License-Identifier: Apache-2.0
#pragma once

// From histories to the sequences that an epoch trains on, and to the order and the hands in which it takes them. All
// of it depends on data and seed alone, never on threads.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/data/interaction_log.hpp"

namespace attune::inline v0_1::detail {

// Events [begin, begin + length) of a user's history: the last one is a target only, the first `context` targets were
// or will be those of another sequence.
struct TrainingSequence {
  UserHandle user;
  std::size_t begin, length, context = 0;
};

// The newest `window` + 1 events of every user with at least two.
std::vector<TrainingSequence> training_sequences(const Histories& histories, std::size_t window);
// Every history as windows, from its newest event back, each with `overlap` events of context. A history that needs
// several is cut at other places in every epoch; a rest of few events is left out.
std::vector<TrainingSequence> training_windows(const Histories& histories, std::size_t window, std::size_t overlap,
                                               std::uint64_t seed, std::size_t epoch);

// Windows of at most `window` inputs in which every event but the first of its user is a target once, behind half a
// window of events at least where there are so many.
std::vector<TrainingSequence> covering_windows(const Histories& histories, std::size_t window);

// Whether item h is in any of the sequences, [num_items].
std::vector<bool> trained_items(std::span<const TrainingSequence> sequences, const Histories& histories);

// The order of `order.size()` sequences in an epoch.
void shuffle(std::span<std::size_t> order, std::uint64_t seed, std::size_t epoch);

struct Hand {
  std::vector<TrainingSequence> sequences;
  std::size_t events = 0;
};

// Deals the sequences of a batch, which it sorts, into hands of about equal work: the longest first, each to the hand
// that holds the fewest events.
void deal(std::span<Hand> hands, std::span<TrainingSequence> batch);

}  // namespace attune::inline v0_1::detail
