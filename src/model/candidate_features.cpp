// SPDX-License-Identifier: Apache-2.0
#include "model/candidate_features.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace attune::inline v0_1::detail {
namespace {

float log_of_one_and(double value) { return static_cast<float>(std::log1p(value)); }

// The newest part of a history, and which items may be in it: most candidates are not.
class Told {
 public:
  Told(HistoryView history, Timestamp now) : history_(history), now_(now) {
    for (const ItemHandle item : history.items) may_hold_[hash_of(item) / 64] |= bit_of(item);
  }

  // Of the newest event on the item and all before it; `features` are zero where there is none.
  void read(std::span<float> features, ItemHandle item) const {
    if ((may_hold_[hash_of(item) / 64] & bit_of(item)) == 0) return;
    constexpr double kMillisecondsPerMinute = 60'000;
    const auto items = history_.items;
    const auto times = history_.times;
    std::size_t events = 0, newest = 0;
    for (std::size_t i = items.size(); i-- > 0;) {
      if (items[i] == item && events++ == 0) newest = i;
    }
    if (events == 0) return;
    features[0] = 1;
    features[1] = log_of_one_and(static_cast<double>(events));
    features[2] = static_cast<float>(events) / static_cast<float>(items.size());
    features[3] = 1.0f / static_cast<float>(items.size() - newest);
    if (now_ == kNoTime || times.empty() || times[newest] == kNoTime) return;
    const double age = static_cast<double>(now_) - static_cast<double>(times[newest]);
    features[4] = log_of_one_and(std::max(age, 0.0) / kMillisecondsPerMinute);
    features[5] = age <= 0 ? 1.0f : 0.0f;
  }

 private:
  static std::size_t hash_of(ItemHandle item) noexcept { return (item * 0x9E3779B1u) >> 20; }  // below 64 * 64
  static std::uint64_t bit_of(ItemHandle item) noexcept { return std::uint64_t{1} << (hash_of(item) % 64); }

  HistoryView history_;
  Timestamp now_;
  std::array<std::uint64_t, 64> may_hold_{};  // a bit per hash
};

}  // namespace

CandidateFeatures::CandidateFeatures(std::shared_ptr<const CountModel> counts, std::span<const std::uint64_t> events,
                                     bool reads_now)
    : counts_(std::move(counts)), reads_now_(reads_now) {
  for (const std::uint64_t count : events) log_events_.push_back(log_of_one_and(static_cast<double>(count)));
}

std::span<const float> CandidateFeatures::count_terms(HistoryView history, std::span<const Candidate> candidates,
                                                      Workspace& workspace) const {
  const std::span<float> terms = workspace.additive.take(candidates.size());
  if (!counts_) {
    std::ranges::fill(terms, 0.0f);
    return terms;
  }
  const std::span<ItemHandle> handles = workspace.sequence.take(candidates.size());
  std::ranges::transform(candidates, handles.begin(), &Candidate::handle);
  counts_->score(history, handles, terms, workspace);
  counts_->to_terms(terms);
  return terms;
}

void CandidateFeatures::read(std::span<float> features, HistoryView history, Timestamp now,
                             std::span<const Candidate> candidates, Workspace& workspace) const {
  const std::span<const float> terms = count_terms(history, candidates, workspace);
  if ((!reads_now_ || now == kNoTime) && !history.times.empty()) now = history.times.back();
  const std::size_t events = std::min(history.size(), LearnedRanker::kMaxEvents);
  const Told told(history.subview(history.size() - events, events), now);
  std::ranges::fill(features, 0.0f);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto row = features.subspan(i * kNumFeatures, kNumFeatures);
    const ItemHandle item = candidates[i].handle;
    row[0] = candidates[i].score;
    row[1] = terms[i];
    row[2] = item < log_events_.size() ? log_events_[item] : 0.0f;
    told.read(row.subspan(3), item);
  }
}

}  // namespace attune::inline v0_1::detail
