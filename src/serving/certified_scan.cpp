// SPDX-License-Identifier: Apache-2.0
#include "attune/detail/certified_scan.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

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

  bool encode(Buffer<std::int8_t>& codes, Buffer<double>& rotated) {
    return codes_.encode(query_, {prepared_, rows_.stride()}, terms_.scale, codes, rotated);
  }

  // Takes in the rows of groups [begin, end) that wanted_in(group) has bits for.
  template <class WantedIn>
  void scan(std::size_t begin, std::size_t end, const WantedIn& wanted_in) {
    std::size_t in_run = 0;
    for (std::size_t group = begin; group < end; ++group) {
      const std::uint64_t wanted = wanted_in(group);
      const std::uint64_t without_first = wanted & (wanted - 1);
      const bool dense = (without_first & (without_first - 1)) != 0;  // more than two: fewer are candidates unseen
      if (dense) {
        wanted_[in_run++] = wanted;
      } else {
        for_each_bit(wanted, [&](std::size_t bit) {
          keep({static_cast<ItemHandle>(group * kGroup + bit), std::numeric_limits<float>::infinity()});
        });
      }
      if (in_run != 0 && (!dense || in_run == kRunGroups || group + 1 == end)) {
        scan_run((group + (dense ? 1 : 0) - in_run) * kGroup, in_run);
        in_run = 0;
      }
    }
    settle();
    score_batch();
  }

  // Has the score of an item decide whether it belongs to the best, at the latest in score_batch().
  void score(ItemHandle item) {
    batch_[batched_++] = item;
    if (batched_ == kBatch) score_batch();
  }

  void score_batch() {
    if (batched_ == 0) return;
    std::array<float, kBatch> scores, additive;
    kernels_.dot_rows_at(scores.data(), prepared_, rows_.row(0), rows_.stride(), rows_.stride(), batch_.data(),
                         batched_);
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

constexpr std::size_t kFewestPerPlace = 16;  // rows; fewer are as fast without bounds

// Many queries over the same rows, whose codes are read once for all of them.
class BatchScan {
 public:
  BatchScan(const ScorerRows<float>& rows, const RowCodes& codes, float scale, std::span<const std::uint64_t> eligible,
            Workspace& workspace)
      : rows_(rows), codes_(codes), terms_{scale, {}}, eligible_(eligible), workspace_(workspace) {}

  // False where the codes prove nothing of this query, or would save nothing.
  bool add(BatchedQuery& query) {
    const std::size_t k = std::min(query.k, rows_.num_scorable());
    if (k == 0 || rows_.num_scorable() / kFewestPerPlace < k) return false;
    auto lane = std::make_unique<Lane>(query, k, *this);
    if (!rows_.prepare(query.user_vector, lane->prepared)) return false;
    if (!lane->scan.emplace(lane->best, k, rows_, codes_, lane->prepared.data(), terms_, workspace_)
             .encode(lane->codes, workspace_.rotated)) {
      return false;
    }
    lanes_.push_back(std::move(lane));
    return true;
  }

  void scan() {
    if (lanes_.empty()) return;
    const std::size_t groups = std::min(eligible_.size(), rows_.scorable_bits().size());
    const auto lacks = [](const std::unique_ptr<Lane>& lane) { return !lane->best.full(); };
    std::size_t group = 0;
    for (; group < groups && std::ranges::any_of(lanes_, lacks); group += kRunGroups) {
      for (const auto& lane : lanes_) lane->take_in(group, std::min(groups, group + kRunGroups));
    }
    if (group < groups) collect_codes();
    for (; group < groups; group += kRunGroups) match(group, std::min(kRunGroups, groups - group));
    for (const auto& lane : lanes_) lane->best.finish();
  }

 private:
  struct Lane {
    Lane(BatchedQuery& query, std::size_t k, const BatchScan& batch)
        : best(query.best, k), excluded(query.excluded), all(batch) {}

    std::uint64_t wanted(std::size_t group) const {
      std::uint64_t bits = all.eligible_[group] & all.rows_.scorable_bits()[group];
      const std::size_t first = group * kGroup;
      for (auto it = std::ranges::lower_bound(excluded, static_cast<ItemHandle>(first));
           it != excluded.end() && *it < first + kGroup; ++it) {
        bits &= ~(std::uint64_t{1} << (*it - first));
      }
      return bits;
    }
    void take_in(std::size_t begin, std::size_t end) {
      scan->scan(begin, end, [this](std::size_t group) { return wanted(group); });
    }

    TopK best;
    std::span<const ItemHandle> excluded;
    const BatchScan& all;
    Buffer<float> prepared;
    Buffer<std::int8_t> codes;
    std::optional<CertifiedScan> scan;
  };

  void collect_codes() {
    const std::size_t width = codes_.width();
    const std::size_t padded = (lanes_.size() + kMatchedTogether - 1) / kMatchedTogether * kMatchedTogether;
    least_.assign(padded, std::numeric_limits<std::int32_t>::max());  // of the padding: no row
    matches_.resize(padded * kRunGroups);
    coded_.assign(padded * width, 0);
    for (std::size_t i = 0; i < lanes_.size(); ++i) std::copy_n(lanes_[i]->codes.data(), width, &coded_[i * width]);
  }

  void match(std::size_t first, std::size_t count) {
    for (std::size_t i = 0; i < lanes_.size(); ++i) least_[i] = lanes_[i]->scan->least_sum();
    const std::size_t found = codes_.match(matches_.data(), coded_.data(), least_.data(), least_.size(), first, count);
    for (const CodedMatch& match : std::span(matches_).first(found)) {
      const std::size_t group = first + match.block;
      if (!codes_.tight(group)) continue;
      Lane& lane = *lanes_[match.query];
      for_each_bit(match.rows & lane.wanted(group),
                   [&](std::size_t bit) { lane.scan->score(static_cast<ItemHandle>(group * kGroup + bit)); });
    }
    for (const auto& lane : lanes_) lane->scan->score_batch();
    for (std::size_t group = first; group < first + count; ++group) {
      if (codes_.tight(group)) continue;
      for (const auto& lane : lanes_) lane->take_in(group, group + 1);
    }
  }

  const ScorerRows<float>& rows_;
  const RowCodes& codes_;
  const ScoreTerms terms_;
  const std::span<const std::uint64_t> eligible_;
  Workspace& workspace_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::int8_t> coded_;   // [queries, width]
  std::vector<std::int32_t> least_;  // [queries]
  std::vector<CodedMatch> matches_;
};

}  // namespace

bool certified_scan(TopK& best, std::size_t k, const ScorerRows<float>& rows, const RowCodes& codes,
                    const float* prepared, const ScoreTerms& terms, std::span<const std::uint64_t> eligible,
                    Workspace& workspace) {
  if (rows.num_scorable() / kFewestPerPlace < k) return false;
  CertifiedScan scan(best, k, rows, codes, prepared, terms, workspace);
  if (!scan.encode(workspace.codes, workspace.rotated)) return false;
  const std::span<const std::uint64_t> scorable = rows.scorable_bits();
  scan.scan(0, std::min(eligible.size(), scorable.size()),
            [&](std::size_t group) { return eligible[group] & scorable[group]; });
  return true;
}

std::vector<BatchedQuery*> certified_scan_batch(std::span<BatchedQuery> queries, const ScorerRows<float>& rows,
                                                const RowCodes& codes, float scale,
                                                std::span<const std::uint64_t> eligible, Workspace& workspace) {
  constexpr std::size_t kQueries = 64;        // at once: their codes stay in the nearest cache
  constexpr std::size_t kFewestTogether = 4;  // fewer are as fast one by one
  constexpr std::size_t kSparse = 16;         // one row in so many: one by one skips the others
  std::vector<BatchedQuery*> left;
  for (BatchedQuery& query : queries) left.push_back(&query);
  const std::span<const std::uint64_t> scorable = rows.scorable_bits();
  std::size_t wanted = 0;
  for (std::size_t group = 0; group < std::min(eligible.size(), scorable.size()); ++group) {
    wanted += static_cast<std::size_t>(std::popcount(eligible[group] & scorable[group]));
  }
  if (codes.bits() != 8 || queries.size() < kFewestTogether || wanted < rows.size() / kSparse) return left;
  left.clear();
  for (std::size_t first = 0; first < queries.size(); first += kQueries) {
    BatchScan batch(rows, codes, scale, eligible, workspace);
    for (BatchedQuery& query : queries.subspan(first, std::min(kQueries, queries.size() - first))) {
      if (!batch.add(query)) left.push_back(&query);
    }
    batch.scan();
  }
  return left;
}

}  // namespace attune::inline v0_1::detail
