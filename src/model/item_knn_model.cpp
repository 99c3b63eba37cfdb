// SPDX-License-Identifier: Apache-2.0
#include "attune/model/item_knn_model.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "attune/executor.hpp"
#include "model/count_options.hpp"
#include "model/item_sets.hpp"
#include "model/sparse_rows.hpp"

namespace attune::inline v0_1 {
namespace {

// One thread's memory.
struct Counter {
  std::vector<std::uint32_t> counts;  // [items]; zero between rows
  std::vector<ItemHandle> touched;
};

// The `most` nearest other items, best first, then in order of their handles.
std::vector<ScoredHandle> nearest(const detail::CommonUsers& common, std::size_t item, std::size_t most,
                                  Counter& counter) {
  common.row(item, counter.counts, counter.touched);
  std::vector<ScoredHandle> row;
  for (const ItemHandle other : counter.touched) {
    const double both = std::exchange(counter.counts[other], 0);
    if (other == item) continue;
    const double norms = static_cast<double>(common.users(item)) * static_cast<double>(common.users(other));
    row.push_back({other, static_cast<float>(both / std::sqrt(norms))});
  }
  if (row.size() > most) {
    std::nth_element(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(most), row.end(), ranks_before);
    row.resize(most);
  }
  std::ranges::sort(row, {}, &ScoredHandle::item);
  return row;
}

}  // namespace

void ItemKnnOptions::validate() const {
  detail::require_option(neighbours >= 1, "item_knn.neighbours", "at least 1", std::to_string(neighbours));
  detail::require_decay(decay, "item_knn.decay");
}

ItemKnnModel ItemKnnModel::fit(const Histories& histories, const ItemKnnOptions& options, Executor* executor) {
  options.validate();
  InlineExecutor calling_thread;
  Executor& threads = executor != nullptr ? *executor : calling_thread;
  const detail::CommonUsers common(histories);
  const std::size_t items = common.num_items();
  std::vector<Counter> counters(threads.concurrency());
  std::vector<std::vector<ScoredHandle>> rows(items);
  threads.run(items, [&](std::size_t item, std::size_t worker) {
    counters[worker].counts.resize(items);
    rows[item] = nearest(common, item, options.neighbours, counters[worker]);
  });

  Neighbours neighbours;
  neighbours.offsets.push_back(0);
  for (std::size_t item = 0; item < items; ++item) {
    for (const ScoredHandle& neighbour : rows[item]) {
      neighbours.columns.push_back(neighbour.item);
      neighbours.similarities.push_back(neighbour.score);
    }
    neighbours.offsets.push_back(neighbours.columns.size());
    neighbours.users.push_back(common.users(item));
    rows[item] = {};
  }
  return ItemKnnModel(std::move(neighbours), options);
}

ItemKnnModel::ItemKnnModel(Neighbours neighbours, const ItemKnnOptions& options)
    : neighbours_(std::move(neighbours)), options_(options) {
  constexpr double kBase = 1e-6;
  const std::vector<std::uint64_t>& users = neighbours_.users;
  detail::check_sparse_rows({neighbours_.offsets, neighbours_.columns, neighbours_.similarities}, users.size(),
                            "neighbours");
  options_.validate();
  const double total = std::accumulate(users.begin(), users.end(), 0.0);
  base_.reserve(users.size());
  for (const std::uint64_t count : users) {
    base_.push_back(total > 0 ? static_cast<float>(kBase * static_cast<double>(count) / total) : 0.0f);
  }
}

void ItemKnnModel::score_all(HistoryView history, std::span<float> scores, Workspace&) const {
  std::ranges::copy(base_, scores.begin());
  const auto known = [this](ItemHandle item) { return knows(item); };
  detail::for_each_faded(history, options_.decay, known, [&](ItemHandle x, float weight) {
    for (std::size_t i = neighbours_.offsets[x]; i < neighbours_.offsets[x + 1]; ++i) {
      scores[neighbours_.columns[i]] += weight * neighbours_.similarities[i];
    }
  });
}

}  // namespace attune::inline v0_1
