// SPDX-License-Identifier: Apache-2.0
#include "training/metrics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string_view>

#include "attune/error.hpp"
#include "attune/training/evaluation.hpp"

namespace attune::inline v0_1 {

namespace detail {

namespace {

constexpr std::array<std::string_view, 9> kNames{
    "hr", "mrr", "map", "recall", "ndcg", "precision", "f1", "average_popularity", "tail_percentage"};

double ideal_dcg(std::size_t relevant) {
  double sum = 0;
  for (std::size_t rank = 1; rank <= relevant; ++rank) sum += 1.0 / std::log2(static_cast<double>(rank) + 1.0);
  return sum;
}

// Of the numbers of times each item was recommended, zeros included.
double gini(std::vector<std::uint64_t> counts) {
  std::sort(counts.begin(), counts.end());
  const auto n = static_cast<double>(counts.size());
  double weighted = 0, total = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto count = static_cast<double>(counts[i]);
    weighted += (2.0 * static_cast<double>(i + 1) - n - 1.0) * count;
    total += count;
  }
  return total == 0 ? 0.0 : weighted / (n * total);
}

std::vector<std::size_t> ascending(std::span<const std::size_t> cutoffs) {
  std::vector<std::size_t> all(cutoffs.begin(), cutoffs.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  if (!all.empty() && all.front() != 0) return all;
  throw Error(ErrorCode::invalid_argument, "cutoffs: expected at least one, all of them positive");
}

}  // namespace

std::vector<bool> part_of_items(std::span<const std::uint64_t> training_counts, Trained trained, std::size_t divisor) {
  std::vector<std::size_t> order(training_counts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return trained == Trained::least ? training_counts[a] < training_counts[b]
                                     : training_counts[a] > training_counts[b];
  });
  order.resize(std::min(order.size(), std::max<std::size_t>(1, order.size() / divisor)));
  std::vector<bool> part(training_counts.size(), false);
  for (const std::size_t item : order) part[item] = true;
  return part;
}

MetricSet::MetricSet(std::span<const std::size_t> cutoffs, const ItemFacts& facts, bool auc, std::size_t sampled)
    : facts_(facts),
      cutoffs_(ascending(cutoffs)),
      tail_(part_of_items(facts.training_counts, Trained::least, 10)),
      beyond_(cutoffs_, facts),
      auc_(auc),
      sampled_(sampled) {
  for (const std::size_t cutoff : cutoffs_) {
    const std::string suffix = '@' + std::to_string(cutoff);
    for (const std::string_view name : kNames) names_.push_back(std::string(name) + suffix);
  }
  first_beyond_ = names_.size();
  names_.insert(names_.end(), beyond_.names().begin(), beyond_.names().end());
  if (auc_) names_.emplace_back("auc");
  first_sampled_ = names_.size();
  for (const std::size_t cutoff : cutoffs_) {
    if (cutoff > sampled_) break;
    const std::string suffix = '@' + std::to_string(cutoff) + "/sampled" + std::to_string(sampled_);
    for (const char* name : {"hr", "ndcg", "mrr"}) names_.push_back(name + suffix);
  }
}

void MetricSet::add(std::span<double> sums, const QueryOutcome& outcome) const {
  std::size_t hits = 0, listed = 0;
  double gain = 0, precisions = 0, popularity = 0, in_tail = 0;
  for (std::size_t c = 0; c < cutoffs_.size(); ++c) {
    const std::size_t k = cutoffs_[c];
    for (; hits < outcome.ranks.size() && outcome.ranks[hits] <= k; ++hits) {
      const auto rank = static_cast<double>(outcome.ranks[hits]);
      gain += 1.0 / std::log2(rank + 1.0);
      precisions += static_cast<double>(hits + 1) / rank;
    }
    for (; listed < std::min(k, outcome.recommended.size()); ++listed) {
      popularity += static_cast<double>(facts_.training_counts[outcome.recommended[listed]]);
      in_tail += tail_[outcome.recommended[listed]] ? 1.0 : 0.0;
    }
    const auto found = static_cast<double>(hits);
    const std::size_t reachable = std::min(outcome.num_relevant, k);
    const double recall = found / static_cast<double>(outcome.num_relevant);
    const double precision = found / static_cast<double>(k);
    const double length = listed == 0 ? 1.0 : static_cast<double>(listed);
    const std::array<double, kNames.size()> values{hits > 0 ? 1.0 : 0.0,
                                                   hits > 0 ? 1.0 / static_cast<double>(outcome.ranks.front()) : 0.0,
                                                   precisions / static_cast<double>(reachable),
                                                   recall,
                                                   gain / ideal_dcg(reachable),
                                                   precision,
                                                   hits > 0 ? 2.0 * precision * recall / (precision + recall) : 0.0,
                                                   popularity / length,
                                                   in_tail / length};
    for (std::size_t i = 0; i < values.size(); ++i) sums[c * kNames.size() + i] += values[i];
  }
  beyond_.add(sums.subspan(first_beyond_), outcome);
  if (auc_) sums[first_sampled_ - 1] += outcome.auc;
}

void MetricSet::add_sampled(std::span<double> sums, std::span<const std::size_t> ranks,
                            std::size_t num_relevant) const {
  double* own = sums.data() + first_sampled_;
  std::size_t hits = 0;
  double gain = 0;
  for (const std::size_t k : cutoffs_) {
    if (k > sampled_) break;
    for (; hits < ranks.size() && ranks[hits] <= k; ++hits)
      gain += 1.0 / std::log2(static_cast<double>(ranks[hits]) + 1.0);
    *own++ += hits > 0 ? 1.0 : 0.0;
    *own++ += gain / ideal_dcg(std::min(num_relevant, k));
    *own++ += hits > 0 ? 1.0 / static_cast<double>(ranks.front()) : 0.0;
  }
}

void MetricSet::count(std::span<std::uint64_t> counts, std::span<const ItemHandle> recommended) const {
  for (std::size_t c = 0; c < cutoffs_.size(); ++c) {
    const auto of_cutoff = counts.subspan(c * num_items(), num_items());
    for (const ItemHandle item : recommended.first(std::min(cutoffs_[c], recommended.size()))) ++of_cutoff[item];
  }
}

std::map<std::string, double> MetricSet::named(std::span<const double> means) const {
  std::map<std::string, double> metrics;
  for (std::size_t i = 0; i < names_.size(); ++i) metrics[names_[i]] = means[i];
  return metrics;
}

std::map<std::string, double> MetricSet::of_counts(std::span<const std::uint64_t> counts) const {
  std::map<std::string, double> metrics;
  for (std::size_t c = 0; c < cutoffs_.size(); ++c) {
    const auto of_cutoff = counts.subspan(c * num_items(), num_items());
    const auto recommended = std::count_if(of_cutoff.begin(), of_cutoff.end(), [](auto n) { return n > 0; });
    const std::string suffix = '@' + std::to_string(cutoffs_[c]);
    metrics["coverage" + suffix] =
        static_cast<double>(recommended) / static_cast<double>(std::max<std::size_t>(1, num_items()));
    metrics["gini" + suffix] = gini({of_cutoff.begin(), of_cutoff.end()});
  }
  return metrics;
}

}  // namespace detail

namespace {

// Where the relevant items of a list stand, best first; an item that stands in it twice counts where it stands first.
struct Found {
  std::vector<std::size_t> ranks;
  std::vector<ItemHandle> items;

  Found(std::span<const std::uint32_t> recommended, std::span<const std::uint32_t> relevant) {
    for (std::size_t i = 0; i < recommended.size() && items.size() < relevant.size(); ++i) {
      const std::uint32_t item = recommended[i];
      const bool again = std::find(items.begin(), items.end(), item) != items.end();
      if (again || !std::binary_search(relevant.begin(), relevant.end(), item)) continue;
      ranks.push_back(i + 1);
      items.push_back(item);
    }
  }
};

void check(const RankedLists& lists) {
  if (lists.recommended.size() != lists.relevant.size()) {
    throw Error(ErrorCode::invalid_argument, "relevant: expected as many lists as in recommended, " +
                                                 std::to_string(lists.recommended.size()) + ", found " +
                                                 std::to_string(lists.relevant.size()));
  }
  if (!lists.history.empty() && lists.history.size() != lists.recommended.size()) {
    throw Error(ErrorCode::invalid_argument, "history: expected as many lists as in recommended, " +
                                                 std::to_string(lists.recommended.size()) + ", found " +
                                                 std::to_string(lists.history.size()));
  }
  for (std::size_t i = 0; i < lists.recommended.size(); ++i) {
    for (const std::uint32_t item : lists.recommended[i]) {
      if (item >= lists.training_counts.size()) {
        throw Error(ErrorCode::invalid_argument, "recommended[" + std::to_string(i) + "]: expected items below " +
                                                     std::to_string(lists.training_counts.size()) + ", found " +
                                                     std::to_string(item));
      }
    }
  }
}

}  // namespace

std::map<std::string, double> list_metrics(const RankedLists& lists, std::span<const std::size_t> cutoffs) {
  check(lists);
  const detail::ItemFacts facts{lists.training_counts, lists.training_users ? &*lists.training_users : nullptr,
                                lists.categories ? &*lists.categories : nullptr};
  const detail::MetricSet metrics(cutoffs, facts, false);
  std::vector<double> sums(metrics.per_query(), 0.0);
  std::vector<std::uint64_t> counts(metrics.num_counts(), 0);
  std::size_t queries = 0;
  for (std::size_t i = 0; i < lists.recommended.size(); ++i) {
    std::vector<std::uint32_t> relevant = lists.relevant[i];
    std::sort(relevant.begin(), relevant.end());
    relevant.erase(std::unique(relevant.begin(), relevant.end()), relevant.end());
    if (relevant.empty()) continue;
    const Found found(lists.recommended[i], relevant);
    detail::QueryOutcome outcome{found.ranks, found.items, relevant.size(), lists.recommended[i]};
    if (!lists.history.empty()) outcome.history = lists.history[i];
    metrics.add(sums, outcome);
    metrics.count(counts, lists.recommended[i]);
    ++queries;
  }
  if (queries == 0) return {};
  for (double& sum : sums) sum /= static_cast<double>(queries);
  auto all = metrics.named(sums);
  all.merge(metrics.of_counts(counts));
  return all;
}

}  // namespace attune::inline v0_1
