// SPDX-License-Identifier: Apache-2.0
#include "training/sequences.hpp"

#include <algorithm>
#include <numeric>
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

void shuffle(std::span<std::size_t> order, std::uint64_t seed, std::size_t epoch) {
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::uint64_t stream = mix(seed, epoch);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[mix(stream, i) % i]);
}

void deal(std::span<std::vector<std::size_t>> hands, std::span<const TrainingSequence> batch) {
  std::vector<std::size_t> order(batch.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return batch[a].length > batch[b].length; });
  std::vector<std::size_t> events(hands.size(), 0);
  for (auto& hand : hands) hand.clear();
  for (const std::size_t sequence : order) {
    const auto lightest = std::min_element(events.begin(), events.end());
    *lightest += batch[sequence].length;
    hands[static_cast<std::size_t>(lightest - events.begin())].push_back(sequence);
  }
}

}  // namespace attune::inline v0_1::detail
