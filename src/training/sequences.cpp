// SPDX-License-Identifier: Apache-2.0
#include "training/sequences.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "attune/detail/dropout.hpp"

namespace attune::inline v0_1::detail {

std::vector<TrainingSequence> training_sequences(const Histories& histories, std::size_t window) {
  std::vector<TrainingSequence> sequences;
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    const std::size_t events = histories.of(user).size();
    if (events < 2) continue;
    const std::size_t length = std::min(events, window + 1);
    sequences.push_back({static_cast<UserHandle>(user), events - length, length});
  }
  return sequences;
}

std::vector<TrainingSequence> training_windows(const Histories& histories, std::size_t window, std::size_t overlap,
                                               std::uint64_t seed, std::size_t epoch) {
  // Of a rest that an epoch sees: few enough that no event is left out of all epochs, wherever they cut.
  const std::size_t least_targets = std::min<std::size_t>(8, (window - overlap + 1) / 2);
  std::vector<TrainingSequence> sequences;
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    const std::size_t events = histories.of(user).size();
    if (events < 2) continue;
    std::size_t most = window;  // targets of the next sequence
    if (events > window + 1) most -= mix(stream_of(seed, Purpose::windows, epoch), user) % (window / 2 + 1);
    // Targets are events [first, end).
    for (std::size_t end = events; end > 1; most = window - overlap) {
      const std::size_t first = end - std::min(most, end - 1);
      if (end < events && end - first < least_targets) break;
      const std::size_t context = std::min(overlap, std::min(first - 1, window - (end - first)));
      const std::size_t begin = first - 1 - context;
      sequences.push_back({static_cast<UserHandle>(user), begin, end - begin, context});
      end = first;
    }
  }
  return sequences;
}

std::vector<TrainingSequence> covering_windows(const Histories& histories, std::size_t window) {
  const std::size_t step = std::max<std::size_t>(1, window / 2);
  std::vector<TrainingSequence> windows;
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    const std::size_t events = histories.of(user).size();
    std::size_t covered = 1;  // the first event is no target
    for (std::size_t begin = 0; covered < events; begin += step) {
      const std::size_t end = std::min(events, begin + window + 1);
      windows.push_back({static_cast<UserHandle>(user), begin, end - begin, covered - begin - 1});
      covered = end;
    }
  }
  return windows;
}

std::vector<bool> trained_items(std::span<const TrainingSequence> sequences, const Histories& histories) {
  std::vector<bool> trained(histories.num_items(), false);
  for (const TrainingSequence& sequence : sequences) {
    const HistoryView events = histories.of(sequence.user).subview(sequence.begin, sequence.length);
    for (const ItemHandle item : events.items) trained[item] = true;
  }
  return trained;
}

void shuffle(std::span<std::size_t> order, std::uint64_t seed, std::size_t epoch) {
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::uint64_t stream = stream_of(seed, Purpose::shuffle, epoch);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[mix(stream, i) % i]);
}

void deal(std::span<Hand> hands, std::span<TrainingSequence> batch) {
  std::sort(batch.begin(), batch.end(), [](const TrainingSequence& a, const TrainingSequence& b) {
    return std::tie(b.length, a.user, a.begin) < std::tie(a.length, b.user, b.begin);
  });
  for (Hand& hand : hands) {
    hand.sequences.clear();
    hand.events = 0;
  }
  for (const TrainingSequence& sequence : batch) {
    const auto lightest =
        std::min_element(hands.begin(), hands.end(), [](const Hand& a, const Hand& b) { return a.events < b.events; });
    lightest->sequences.push_back(sequence);
    lightest->events += sequence.length;
  }
}

}  // namespace attune::inline v0_1::detail
