// SPDX-License-Identifier: Apache-2.0
#include "privacy/private_counts.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr double kRounding = 1 - 1e-9;  // keeps bounds that are met exactly from being missed by a rounding

// Sorted, cells that occur several times summed.
void merge(std::vector<CellCount>& cells) {
  std::ranges::sort(cells, {}, &CellCount::cell);
  std::size_t last = 0;
  for (std::size_t i = 1; i < cells.size(); ++i) {
    if (cells[i].cell == cells[last].cell) {
      cells[last].count += cells[i].count;
    } else {
      cells[++last] = cells[i];
    }
  }
  cells.resize(std::min(cells.size(), last + 1));
}

// The table of whole counts: users in parallel, a few at a time, added in their order.
std::vector<std::int64_t> summed(const Histories& histories, const Contributions& contributions, Executor& executor) {
  constexpr std::size_t kUsersAtOnce = 64;
  const std::size_t items = histories.num_items();
  std::vector<std::int64_t> table(items * (items + 1), 0);
  std::vector<std::vector<CellCount>> cells(kUsersAtOnce);
  for (std::size_t first = 0; first < histories.num_users(); first += kUsersAtOnce) {
    const std::size_t users = std::min(kUsersAtOnce, histories.num_users() - first);
    executor.run(
        users, [&](std::size_t user, std::size_t) { contributions.of(histories.of(first + user).items, cells[user]); });
    for (std::size_t user = 0; user < users; ++user) {
      for (const CellCount& cell : cells[user]) table[cell.cell] += cell.count;
    }
  }
  return table;
}

constexpr double kSmoothing = 1e-3;

}  // namespace

std::vector<std::uint64_t> counted(std::span<const float> items) {
  constexpr float kFineness = 1000;
  std::vector<std::uint64_t> counts;
  for (const float item : items) counts.push_back(1 + static_cast<std::uint64_t>(kFineness * std::max(0.0f, item)));
  return counts;
}

Contributions::Contributions(const PrivateCountsOptions& options, PrivacyUnit unit, std::size_t num_items, double bound)
    : options_(options),
      unit_(unit),
      num_items_(num_items),
      pair_bound_(std::sqrt(1 - options.item_share) * bound * kRounding),
      item_bound_(std::sqrt(options.item_share) * bound * kRounding) {
  for (std::size_t gap = 1; gap <= options.steps; ++gap) {
    weights_.push_back(std::pow(static_cast<double>(gap), -options.gap_power));
  }
}

// By which weights become counts. `cells` of pairs hold the index of their weight; they come back empty.
double Contributions::pair_scale(std::vector<CellCount>& cells) const {
  // An event is in at most two pairs of each gap, all of which may be in one cell.
  double squared = std::pow(2 * std::accumulate(weights_.begin(), weights_.end(), 0.0), 2);
  if (unit_ == PrivacyUnit::user) {
    std::ranges::sort(cells, {}, &CellCount::cell);
    squared = 0;
    double sum = 0;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      sum += weights_[static_cast<std::size_t>(cells[i].count)];
      if (i + 1 < cells.size() && cells[i + 1].cell == cells[i].cell) continue;
      squared += sum * sum;
      sum = 0;
    }
  }
  cells.clear();
  return squared > 0 ? pair_bound_ / std::sqrt(squared) : 0.0;
}

void Contributions::of(std::span<const ItemHandle> history, std::vector<CellCount>& cells) const {
  const auto for_each_pair = [&](auto visit) {
    for (std::size_t i = 0; i < history.size(); ++i) {
      const std::size_t end = std::min(history.size(), i + 1 + weights_.size());
      for (std::size_t j = i + 1; j < end; ++j) {
        visit(std::uint64_t{history[i]} * num_items_ + history[j], j - i - 1);
      }
    }
  };
  cells.clear();
  for_each_pair([&](std::uint64_t cell, std::size_t gap) { cells.push_back({cell, static_cast<std::int64_t>(gap)}); });
  const double scale = pair_scale(cells);
  // Rounded towards zero pair by pair: no norm grows, and an event changes whole counts by whole counts.
  for_each_pair([&](std::uint64_t cell, std::size_t gap) {
    cells.push_back({cell, static_cast<std::int64_t>(weights_[gap] * scale)});
  });
  const std::size_t first_item = cells.size();
  for (const ItemHandle item : history) cells.push_back({std::uint64_t{num_items_} * num_items_ + item, 1});
  std::vector<CellCount> items(cells.begin() + static_cast<std::ptrdiff_t>(first_item), cells.end());
  merge(items);
  const double distinct = static_cast<double>(items.size());
  for (CellCount& item : items) {
    item.count = unit_ == PrivacyUnit::user ? static_cast<std::int64_t>(item_bound_ / std::sqrt(distinct))
                                            : item.count * static_cast<std::int64_t>(item_bound_);
  }
  cells.resize(first_item);
  merge(cells);
  cells.insert(cells.end(), items.begin(), items.end());
}

PrivateCounts private_counts(const Histories& histories, const PrivateCountsOptions& options, PrivacyUnit unit,
                             double noise_multiplier, std::optional<std::uint64_t> seed, Executor& executor) {
  const std::size_t items = histories.num_items();
  if (items > options.max_items) {
    throw Error(ErrorCode::limit_exceeded,
                "private counts: at most counts.max_items = " + std::to_string(options.max_items) + " items, found " +
                    std::to_string(items));
  }
  // A deviation of the noise is noise_scale() counts, so that a record may add this many.
  const double bound = noise_scale() / noise_multiplier;
  const std::vector<std::int64_t> table = summed(histories, Contributions(options, unit, items, bound), executor);
  const DiscreteGaussian noise(noise_scale());
  PrivateCounts result{std::vector<float>(items * items), std::vector<float>(items), noise_multiplier};
  executor.run(items + 1, [&](std::size_t row, std::size_t) {
    RandomWords words = seed ? RandomWords(mix(*seed, row)) : RandomWords();
    float* const out = row < items ? result.pairs.data() + row * items : result.items.data();
    for (std::size_t i = 0; i < items; ++i) {
      out[i] = static_cast<float>(static_cast<double>(table[row * items + i] + noise.draw(words)) / bound);
    }
  });
  return result;
}

// Of the prior variance e and the noise of a cell, what the best linear estimate makes of it; negative counts are none.
MarkovModel markov_of(const PrivateCounts& counts, const PrivateCountsOptions& options) {
  const std::size_t items = counts.items.size();
  const auto noise = static_cast<float>(counts.noise);
  std::vector<float> shares(items);
  for (std::size_t item = 0; item < items; ++item) shares[item] = std::max(counts.items[item], noise);
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  const double pairs = std::max(counts.noise, std::accumulate(counts.pairs.begin(), counts.pairs.end(), 0.0));
  const auto expected = static_cast<float>(pairs * (1 + options.reverse) / (total * total));
  const float drowned = static_cast<float>(options.shrinkage) * noise * noise;
  MarkovModel::Counts result;
  result.popularity = counted(counts.items);
  result.offsets.push_back(0);
  for (std::size_t x = 0; x < items; ++x) {
    for (std::size_t y = 0; y < items; ++y) {
      const float count =
          counts.pairs[x * items + y] + static_cast<float>(options.reverse) * counts.pairs[y * items + x];
      if (!(count > 0)) continue;
      const float prior = expected * shares[x] * shares[y];
      result.columns.push_back(static_cast<std::uint32_t>(y));
      result.counts.push_back(count * prior / (prior + drowned));
    }
    result.offsets.push_back(result.columns.size());
  }
  return MarkovModel(std::move(result), {.steps = options.steps,
                                         .history = options.history,
                                         .decay = options.decay,
                                         .popularity_power = 0,
                                         .smoothing = kSmoothing});
}

}  // namespace attune::inline v0_1::detail
