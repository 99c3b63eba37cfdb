// SPDX-License-Identifier: Apache-2.0
#include "attune/detail/certified_scan.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "attune/detail/kernels.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::size_t kGroup = kCodedGroup;  // rows per word of a bitmap
constexpr std::size_t kRunGroups = 64;       // bounded in one go, with one threshold
constexpr std::size_t kRun = kRunGroups * kGroup;
constexpr std::size_t kBatch = 64;         // rows scored together
constexpr std::size_t kCandidates = 4096;  // kept before they are scored

class CertifiedScan {
 public:
  CertifiedScan(TopK& best, std::size_t k, const ScorerRows<float>& rows, const RowCodes& codes, const float* prepared,
                const ScoreTerms& terms, Workspace& workspace)
      : best_(best),
        k_(k),
        rows_(rows),
        codes_(codes),
        prepared_(prepared),
        terms_(terms),
        kernels_(float_kernels()),
        bounds_(workspace.scores.take(kRun).data()),
        candidates_(workspace.candidates.take(kCandidates).data()) {}

  bool encode(Workspace& workspace) {
    return codes_.encode(query_, {prepared_, rows_.stride()}, terms_.scale, workspace.codes, workspace.rotated);
  }

  void scan(std::span<const std::uint64_t> eligible) {
    const std::span<const std::uint64_t> scorable = rows_.scorable_bits();
    const std::size_t groups = std::min(eligible.size(), scorable.size());
    std::size_t in_run = 0;
    for (std::size_t group = 0; group < groups; ++group) {
      const std::uint64_t wanted = eligible[group] & scorable[group];
      const std::uint64_t without_first = wanted & (wanted - 1);
      const bool dense = (without_first & (without_first - 1)) != 0;  // more than two: fewer are candidates unseen
      if (dense) {
        wanted_[in_run++] = wanted;
      } else {
        for_each_bit(wanted, [&](std::size_t bit) {
          keep({static_cast<ItemHandle>(group * kGroup + bit), std::numeric_limits<float>::infinity()});
        });
      }
      if (in_run != 0 && (!dense || in_run == kRunGroups || group + 1 == groups)) {
        scan_run((group + (dense ? 1 : 0) - in_run) * kGroup, in_run);
        in_run = 0;
      }
    }
    settle();
    score_batch();
  }

 private:
  // Bounds `groups` groups and keeps what may belong to the best. What most likely does is scored at once: that is what
  // raises the threshold.
  void scan_run(std::size_t first, std::size_t groups) {
    const std::size_t count = std::min(groups * kGroup, rows_.size() - first);
    codes_.bound(bounds_, passed_.data(), query_, first, count,
                 terms_.additive.empty() ? nullptr : terms_.additive.data() + first, best_.threshold());
    if (!best_.full()) start(first, count);
    for (std::size_t group = 0; group < groups; ++group) {
      for_each_bit(passed_[group] & wanted_[group], [&](std::size_t bit) {
        const std::size_t i = group * kGroup + bit;
        if (bounds_[i] < best_.threshold()) return;
        const ScoredHandle candidate{static_cast<ItemHandle>(first + i), bounds_[i]};
        if (bounds_[i] - query_.typical >= best_.threshold()) {
          score(candidate.item);
        } else {
          keep(candidate);
        }
      });
    }
    score_batch();
    aim();
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
      for_each_bit(~wanted_[i / kGroup] & first_bits(rows),
                   [&](std::size_t bit) { bounds_[i + bit] = -std::numeric_limits<float>::infinity(); });
      for (std::size_t j = 0; j < rows; j += piece) {
        maxima[pieces++] = kernels_.max(bounds_ + i + j, std::min(piece, rows - j));
      }
    }
    const auto cut = maxima.begin() + static_cast<std::ptrdiff_t>(std::min(2 * k_, pieces) - 1);
    std::nth_element(maxima.begin(), cut, maxima.begin() + static_cast<std::ptrdiff_t>(pieces), std::greater<>());
    for (std::size_t i = 0; i < count; i += kGroup) {
      const std::uint64_t chosen =
          kernels_.finish_scores(bounds_ + i, 1.0f, nullptr, *cut, std::min(kGroup, count - i)) & wanted_[i / kGroup];
      for_each_bit(chosen, [&](std::size_t bit) { score(static_cast<ItemHandle>(first + i + bit)); });
      wanted_[i / kGroup] &= ~chosen;
    }
    score_batch();
    for (std::size_t i = 0; i < count; i += kGroup) {
      passed_[i / kGroup] =
          kernels_.finish_scores(bounds_ + i, 1.0f, nullptr, best_.threshold(), std::min(kGroup, count - i));
    }
  }

  static std::uint64_t first_bits(std::size_t count) {
    return count < 64 ? (std::uint64_t{1} << count) - 1 : ~std::uint64_t{0};
  }

  void keep(const ScoredHandle& candidate) {
    candidates_[num_candidates_++] = candidate;
    if (num_candidates_ == kCandidates) settle();
  }

  // Scores what candidates the threshold has left.
  void settle() {
    for (std::size_t i = 0; i < num_candidates_; ++i) {
      if (candidates_[i].score >= best_.threshold()) score(candidates_[i].item);
    }
    num_candidates_ = 0;
  }

  void score(ItemHandle item) {
    batch_[batched_++] = item;
    if (batched_ == kBatch) score_batch();
  }

  void score_batch() {
    std::array<float, kBatch> scores, additive;
    rows_.dot_at(scores.data(), prepared_, std::span(batch_).first(batched_));
    const bool has_terms = !terms_.additive.empty();
    for (std::size_t i = 0; has_terms && i < batched_; ++i) additive[i] = terms_.additive[batch_[i]];
    const std::uint64_t passed = kernels_.finish_scores(
        scores.data(), terms_.scale, has_terms ? additive.data() : nullptr, best_.threshold(), batched_);
    for_each_bit(passed, [&](std::size_t i) { best_.push({batch_[i], scores[i]}); });
    batched_ = 0;
  }

  // Points the bound at the scores that decide.
  void aim() {
    if (!best_.full() || best_.worst().item == aimed_at_) return;
    aimed_at_ = best_.worst().item;
    const double term = terms_.additive.empty() ? 0.0 : static_cast<double>(terms_.additive[aimed_at_]);
    const double longest = static_cast<double>(terms_.scale) * query_.norm * codes_.norm(aimed_at_);
    codes_.aim(query_, (static_cast<double>(best_.worst().score) - term) / longest);
  }

  TopK& best_;
  const std::size_t k_;
  const ScorerRows<float>& rows_;
  const RowCodes& codes_;
  const float* const prepared_;
  const ScoreTerms& terms_;
  const KernelTable<float>& kernels_;
  float* const bounds_;             // [kRun]
  ScoredHandle* const candidates_;  // [kCandidates], with their bounds
  std::size_t num_candidates_ = 0;
  std::size_t batched_ = 0;
  ItemHandle aimed_at_ = kNoHandle;
  RowCodes::Query query_{};
  std::array<std::uint64_t, kRunGroups> wanted_, passed_;
  std::array<ItemHandle, kBatch> batch_;
};

}  // namespace

bool certified_scan(TopK& best, std::size_t k, const ScorerRows<float>& rows, const RowCodes& codes,
                    const float* prepared, const ScoreTerms& terms, std::span<const std::uint64_t> eligible,
                    Workspace& workspace) {
  constexpr std::size_t kFewestPerPlace = 16;
  if (rows.num_scorable() / kFewestPerPlace < k) return false;
  CertifiedScan scan(best, k, rows, codes, prepared, terms, workspace);
  if (!scan.encode(workspace)) return false;
  scan.scan(eligible);
  return true;
}

}  // namespace attune::inline v0_1::detail
