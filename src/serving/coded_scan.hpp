// SPDX-License-Identifier: Apache-2.0
#pragma once

// What every search through codes does with rows: bounds say which may belong to the best, float rows score those.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "attune/detail/certified_scan.hpp"
#include "attune/detail/kernels.hpp"

namespace attune::inline v0_1::detail {

class CodedScan {
 public:
  static constexpr std::size_t kGroup = kCodedGroup;  // rows per word of a bitmap
  static constexpr std::size_t kRunGroups = 64;       // bounded in one go, with one threshold

  // Row i of the codes is order[i], or i without an order.
  CodedScan(TopK& best, std::size_t k, const ScorerRows<float>& rows, const RowCodes& codes,
            std::span<const ItemHandle> order, const float* prepared, const ScoreTerms& terms, Workspace& workspace)
      : best_(best),
        k_(k),
        rows_(rows),
        codes_(codes),
        order_(order),
        prepared_(prepared),
        terms_(terms),
        kernels_(float_kernels()),
        bounds_(workspace.scores.take(kRun).data()),
        candidates_(workspace.candidates.take(kCandidates).data()) {}

  bool encode(Buffer<std::int8_t>& codes, Buffer<double>& rotated) {
    return codes_.encode(query_, {prepared_, rows_.stride()}, terms_.scale, codes, rotated);
  }
  double query_norm() const noexcept { return query_.norm; }

  // A row of which no more is known; each row may be given once, here or in a run.
  void keep(ItemHandle item, float bound = std::numeric_limits<float>::infinity()) {
    candidates_[num_candidates_++] = {item, bound};
    if (num_candidates_ == kCandidates) settle();
  }

  // No row of a run has a term above this one; given before the first run where rows have an order and terms.
  void limit_terms(double largest) noexcept { largest_term_ = largest; }
  // What scale * <query, row> of a row must reach for it to belong to the best.
  double least_product() const noexcept {
    if (!best_.full()) return -std::numeric_limits<double>::infinity();
    constexpr double kRounding = 0x1p-22, kDenormal = 1e-44;  // of the sum with the term
    const auto threshold = static_cast<double>(best_.threshold());
    return threshold - largest_term_ - std::abs(threshold) * kRounding - kDenormal;
  }

  // Bounds <= kRunGroups groups of codes and keeps what may belong to the best. What most likely does is scored at
  // once: that is what raises the threshold. wanted(group of the run, bits): those of the bits that may be returned.
  // `next` is where the next run is likely to begin.
  template <class Wanted>
  void scan_run(std::size_t first, std::size_t groups, std::size_t next, Wanted&& wanted) {
    const std::size_t count = std::min(groups * kGroup, codes_.size() - first);
    const bool apart = !order_.empty();
    const float* const terms = terms_.additive.empty() || apart ? nullptr : terms_.additive.data() + first;
    codes_.bound(bounds_, passed_.data(), query_, first, count, terms,
                 apart ? rounded_down(least_product()) : best_.threshold(), next);
    for (std::size_t group = 0; group < groups; ++group) {
      if (passed_[group] == 0) continue;
      passed_[group] = wanted(group, passed_[group]);
      if (apart && !terms_.additive.empty()) add_terms(first, group);
    }
    if (!best_.full()) start(first, count);
    for (std::size_t group = 0; group < groups; ++group) {
      for_each_bit(passed_[group], [&](std::size_t bit) {
        const std::size_t i = group * kGroup + bit;
        if (bounds_[i] < best_.threshold()) return;
        if (bounds_[i] - query_.typical >= best_.threshold()) {
          score(item_at(first + i));
        } else {
          keep(item_at(first + i), bounds_[i]);
        }
      });
    }
    if (batched_ >= kEnough || !best_.full()) score_batch();
    aim();
  }
  bool full() const noexcept { return best_.full(); }

  // Rows of a group that are wanted: by their codes, or without.
  struct Wanted {
    std::uint64_t coded, unseen;
  };
  // Takes in the groups [begin, end) of rows without an order.
  template <class WantedIn>
  void scan(std::size_t begin, std::size_t end, const WantedIn& wanted_in) {
    std::array<std::uint64_t, kRunGroups> in_run;
    std::size_t groups = 0;
    for (std::size_t group = begin; group < end; ++group) {
      auto [coded, unseen] = wanted_in(group);
      const std::uint64_t without_first = coded & (coded - 1);
      const bool dense = (without_first & (without_first - 1)) != 0;  // more than two: fewer are candidates unseen
      if (dense) {
        in_run[groups++] = coded;
      } else {
        unseen |= coded;
      }
      for_each_bit(unseen, [&](std::size_t bit) { keep(static_cast<ItemHandle>(group * kGroup + bit)); });
      if (groups != 0 && (!dense || groups == kRunGroups || group + 1 == end)) {
        const std::size_t next = group + (dense ? 1 : 0);
        scan_run((next - groups) * kGroup, groups, next * kGroup,
                 [&](std::size_t i, std::uint64_t bits) { return bits & in_run[i]; });
        groups = 0;
      }
    }
    finish();
  }

  // Has the score of an item decide whether it belongs to the best, at the latest in score_batch().
  void score(ItemHandle item) {
    rows_.prefetch(item);
    batch_[batched_++] = item;
    if (batched_ == kBatch) score_batch();
  }
  void score_batch() {
    if (batched_ == 0) return;
    std::array<float, kBatch> scores, additive;
    rows_.dot_at(scores.data(), prepared_, std::span(batch_).first(batched_));
    const bool has_terms = !terms_.additive.empty();
    for (std::size_t i = 0; has_terms && i < batched_; ++i) additive[i] = terms_.additive[batch_[i]];
    const std::uint64_t passed = kernels_.finish_scores(
        scores.data(), terms_.scale, has_terms ? additive.data() : nullptr, best_.threshold(), batched_);
    for_each_bit(passed, [&](std::size_t i) { best_.push({batch_[i], scores[i]}); });
    batched_ = 0;
  }
  // Of a row in a tight block that may belong to the best; no additive terms.
  std::int32_t least_sum() {
    aim();
    return codes_.least_sum(query_, best_.threshold());
  }

  // To be called after the last run.
  void finish() {
    settle();
    score_batch();
  }

 private:
  static constexpr std::size_t kRun = kRunGroups * kGroup;
  static constexpr std::size_t kBatch = 64;         // rows scored together, at most
  static constexpr std::size_t kEnough = 16;        // and at least, so that they are near when their turn comes
  static constexpr std::size_t kCandidates = 4096;  // kept before they are scored

  static float rounded_down(double x) noexcept {
    constexpr double kLargest = std::numeric_limits<float>::max();
    const auto nearest = static_cast<float>(std::clamp(x, -kLargest, kLargest));
    return std::nextafter(nearest, -std::numeric_limits<float>::infinity());
  }

  ItemHandle item_at(std::size_t i) const noexcept { return order_.empty() ? static_cast<ItemHandle>(i) : order_[i]; }

  void add_terms(std::size_t first, std::size_t group) noexcept {
    for_each_bit(passed_[group], [&](std::size_t bit) {
      const std::size_t i = group * kGroup + bit;
      bounds_[i] += terms_.additive[item_at(first + i)];
    });
  }

  // Without a threshold every row would pass: scores the most promising rows of a run, at least k of them, and takes
  // them out of it.
  void start(std::size_t first, std::size_t count) {
    constexpr std::size_t kSmallestPiece = 8;
    std::size_t piece = kGroup;
    while (piece > kSmallestPiece && count / piece < 2 * k_) piece /= 2;
    if (count / piece < k_) return;
    std::array<float, kRun / kSmallestPiece> maxima;  // of pieces: bounds of as many different rows
    std::size_t pieces = 0;
    for (std::size_t i = 0; i < count; i += kGroup) {
      const std::size_t rows = std::min(kGroup, count - i);
      for_each_bit(~passed_[i / kGroup] & first_bits(rows),
                   [&](std::size_t bit) { bounds_[i + bit] = -std::numeric_limits<float>::infinity(); });
      for (std::size_t j = 0; j < rows; j += piece) {
        maxima[pieces++] = kernels_.max(bounds_ + i + j, std::min(piece, rows - j));
      }
    }
    const auto cut = maxima.begin() + static_cast<std::ptrdiff_t>(std::min(2 * k_, pieces) - 1);
    std::nth_element(maxima.begin(), cut, maxima.begin() + static_cast<std::ptrdiff_t>(pieces), std::greater<>());
    for (std::size_t i = 0; i < count; i += kGroup) {
      const std::uint64_t chosen =
          kernels_.finish_scores(bounds_ + i, 1.0f, nullptr, *cut, std::min(kGroup, count - i)) & passed_[i / kGroup];
      for_each_bit(chosen, [&](std::size_t bit) { score(item_at(first + i + bit)); });
      passed_[i / kGroup] &= ~chosen;
    }
    score_batch();
    for (std::size_t i = 0; i < count; i += kGroup) {
      passed_[i / kGroup] &=
          kernels_.finish_scores(bounds_ + i, 1.0f, nullptr, best_.threshold(), std::min(kGroup, count - i));
    }
  }

  static std::uint64_t first_bits(std::size_t count) {
    return count < 64 ? (std::uint64_t{1} << count) - 1 : ~std::uint64_t{0};
  }

  // Scores what candidates the threshold has left.
  void settle() {
    for (std::size_t i = 0; i < num_candidates_; ++i) {
      if (candidates_[i].score >= best_.threshold()) score(candidates_[i].item);
    }
    num_candidates_ = 0;
  }

  // Points the bound at the scores that decide.
  void aim() {
    if (!best_.full() || best_.worst().item == aimed_at_) return;
    aimed_at_ = best_.worst().item;
    const double term = terms_.additive.empty() ? 0.0 : static_cast<double>(terms_.additive[aimed_at_]);
    const double longest = static_cast<double>(terms_.scale) * query_.norm * norm(aimed_at_);
    codes_.aim(query_, (static_cast<double>(best_.worst().score) - term) / longest);
  }
  double norm(ItemHandle item) const {
    if (rows_.kind() == ScoreKind::cosine) return 1;
    double squares = 0;
    for (const float element : std::span(rows_.row(item), rows_.dim())) {
      squares += static_cast<double>(element) * static_cast<double>(element);
    }
    return std::sqrt(squares);
  }

  TopK& best_;
  const std::size_t k_;
  const ScorerRows<float>& rows_;
  const RowCodes& codes_;
  const std::span<const ItemHandle> order_;
  const float* const prepared_;
  const ScoreTerms& terms_;
  const KernelTable<float>& kernels_;
  double largest_term_ = 0;
  float* const bounds_;             // [kRun]
  ScoredHandle* const candidates_;  // [kCandidates], with their bounds
  std::size_t num_candidates_ = 0;
  std::size_t batched_ = 0;
  ItemHandle aimed_at_ = kNoHandle;
  RowCodes::Query query_{};
  std::array<std::uint64_t, kRunGroups> passed_;
  std::array<ItemHandle, kBatch> batch_;
};

// A bound saves nothing where nearly all rows are asked for.
inline bool asks_for_few(std::size_t k, const ScorerRows<float>& rows) noexcept {
  constexpr std::size_t kFewestPerPlace = 16;
  return rows.num_scorable() / kFewestPerPlace >= k;
}

}  // namespace attune::inline v0_1::detail
