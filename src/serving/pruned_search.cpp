// SPDX-License-Identifier: Apache-2.0
#include "attune/detail/pruned_search.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "serving/coded_scan.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::size_t kGroup = CodedScan::kGroup;

class PrunedSearch {
 public:
  PrunedSearch(TopK& best, std::size_t k, const ScorerRows<float>& rows, const RowClusters& clusters,
               const float* prepared, const ScoreTerms& terms, std::span<const std::uint64_t> eligible,
               Workspace& workspace)
      : rows_(rows),
        clusters_(clusters),
        prepared_(prepared),
        terms_(terms),
        eligible_(eligible.first(std::min(eligible.size(), rows.scorable_bits().size()))),
        workspace_(workspace),
        scan_(best, k, rows, clusters.codes(), clusters.order(), prepared, terms, workspace) {}

  bool search() {
    if (!scan_.encode(workspace_.codes, workspace_.rotated)) return false;
    if (few_eligible()) {
      for (std::size_t word = 0; word < eligible_.size(); ++word) keep_all(word, ~std::uint64_t{0});
    } else {
      for (const ItemHandle item : clusters_.loose()) {
        if (in(eligible_, item) && rows_.scorable(item)) scan_.keep(item);
      }
      if (!terms_.additive.empty()) set_large_terms_apart();
      visit_lists();
    }
    scan_.finish();
    return true;
  }

 private:
  static bool in(std::span<const std::uint64_t> bits, ItemHandle item) noexcept {
    return item / 64 < bits.size() && (bits[item / 64] >> (item % 64) & 1u) != 0;
  }

  void keep_all(std::size_t word, std::uint64_t bits) {
    for_each_bit(eligible_[word] & rows_.scorable_bits()[word] & bits,
                 [&](std::size_t bit) { scan_.keep(static_cast<ItemHandle>(word * 64 + bit)); });
  }

  // Whether to score all that a filter leaves is less work than to search: a guess from some of its words.
  bool few_eligible() const noexcept {
    constexpr std::size_t kStep = 16, kRowsForOne = 96;
    std::size_t seen = 0, words = 0;
    for (std::size_t word = 0; word < eligible_.size(); word += kStep, ++words) {
      seen += static_cast<std::size_t>(std::popcount(eligible_[word] & rows_.scorable_bits()[word]));
    }
    return seen * kRowsForOne < words * 64;
  }

  // Few terms are much larger than the others: rows that have one are looked at one by one, so that a smaller term
  // bounds all others.
  void set_large_terms_apart() {
    constexpr std::size_t kBlock = 256, kBlocksApart = 64;
    const std::span<const float> terms = terms_.additive;
    const std::size_t blocks = (terms.size() + kBlock - 1) / kBlock;
    const std::span<float> largest = workspace_.products.take(2 * blocks);
    const std::span<float> sorted = largest.subspan(blocks);
    for (std::size_t block = 0; block < blocks; ++block) {
      largest[block] =
          float_kernels().max(terms.data() + block * kBlock, std::min(kBlock, terms.size() - block * kBlock));
    }
    std::ranges::copy(largest.first(blocks), sorted.begin());
    const auto limit = sorted.begin() + static_cast<std::ptrdiff_t>(std::min(kBlocksApart, blocks - 1));
    std::nth_element(sorted.begin(), limit, sorted.end(), std::greater<>());
    largest_term_ = *limit;
    scan_.limit_terms(static_cast<double>(largest_term_));
    for (std::size_t block = 0; block < blocks; ++block) {
      if (!(largest[block] > largest_term_)) continue;
      const std::size_t end = std::min((block + 1) * kBlock, terms.size());
      for (std::size_t i = block * kBlock; i < end; ++i) {
        const auto item = static_cast<ItemHandle>(i);
        if (terms[i] > largest_term_ && in(eligible_, item) && rows_.scorable(item) && !loose(item)) scan_.keep(item);
      }
    }
  }

  bool loose(ItemHandle item) const noexcept { return in(clusters_.loose_bits(), item); }
  bool searched(ItemHandle item) const noexcept {
    return item != kNoHandle && in(eligible_, item) && rows_.scorable(item) && !loose(item) &&
           !(!terms_.additive.empty() && terms_.additive[item] > largest_term_);
  }

  void visit_lists() {
    constexpr std::size_t kNearest = 32;  // in order; the others as they lie
    constexpr float kVisited = std::numeric_limits<float>::infinity();
    const std::size_t lists = clusters_.num_lists();
    const std::span<float> products = workspace_.products.take(lists);
    clusters_.compare(products, prepared_);
    const std::span<ScoredHandle> order = workspace_.lists.take(lists);
    for (std::size_t list = 0; list < lists; ++list) order[list] = {static_cast<ItemHandle>(list), products[list]};
    const auto farther = [](const ScoredHandle& a, const ScoredHandle& b) { return ranks_before(b, a); };
    std::make_heap(order.begin(), order.end(), farther);
    std::size_t left = lists;
    for (; left > 0 && lists - left < kNearest; --left) {
      std::pop_heap(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(left), farther);
      const ScoredHandle& nearest = order[left - 1];
      visit(nearest.item, nearest.score);
      products[nearest.item] = kVisited;
    }
    for (std::size_t list = 0; list < lists; ++list) {
      if (products[list] != kVisited) visit(list, products[list]);
    }
    scan({});
  }

  // Scans what groups of a list may hold one of the best.
  void visit(std::size_t list, float product) {
    const RowClusters::Sight sight = clusters_.sight(product, scan_.query_norm());
    const double least = scan_.least_product() / static_cast<double>(terms_.scale);
    if (sight.bound(clusters_.list(list)) < least) return;
    const std::size_t end = clusters_.first_group(list + 1);
    std::size_t group = clusters_.first_group(list);
    while (group < end) {
      if (sight.bound(clusters_.group(group)) < least) {
        ++group;
        continue;
      }
      const std::size_t first = group;
      do {
        ++group;
      } while (group < end && group - first < CodedScan::kRunGroups && !(sight.bound(clusters_.group(group)) < least));
      scan({first, group});
      if (!scan_.full()) scan({});
    }
  }

  // Groups [begin, end) of all.
  struct Run {
    std::size_t begin = 0, end = 0;
  };
  // Scans the run before this one while this one is brought near.
  void scan(Run next) {
    const Run run = std::exchange(waiting_, next);
    if (run.begin == run.end) return;
    const std::size_t then = next.begin == next.end ? run.end : next.begin;
    scan_.scan_run(run.begin * kGroup, run.end - run.begin, then * kGroup, [&](std::size_t i, std::uint64_t bits) {
      std::uint64_t wanted = 0;
      for_each_bit(bits, [&](std::size_t bit) {
        if (searched(clusters_.order()[(run.begin + i) * kGroup + bit])) wanted |= std::uint64_t{1} << bit;
      });
      return wanted;
    });
  }

  const ScorerRows<float>& rows_;
  const RowClusters& clusters_;
  const float* const prepared_;
  const ScoreTerms& terms_;
  const std::span<const std::uint64_t> eligible_;
  Workspace& workspace_;
  CodedScan scan_;
  Run waiting_;
  float largest_term_ = 0;
};

}  // namespace

bool pruned_search(TopK& best, std::size_t k, const ScorerRows<float>& rows, const RowClusters& clusters,
                   const float* prepared, const ScoreTerms& terms, std::span<const std::uint64_t> eligible,
                   Workspace& workspace) {
  if (!asks_for_few(k, rows)) return false;
  if (clusters.num_lists() == 0) {
    return certified_scan(best, k, rows, clusters.codes(), prepared, terms, eligible, workspace, clusters.loose_bits());
  }
  return PrunedSearch(best, k, rows, clusters, prepared, terms, eligible, workspace).search();
}

}  // namespace attune::inline v0_1::detail
