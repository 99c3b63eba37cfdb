// SPDX-License-Identifier: Apache-2.0
#include "model/candidate_features.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace attune::inline v0_1::detail {
namespace {

float log_of_one_and(double value) { return static_cast<float>(std::log1p(value)); }

std::size_t hash_of(ItemHandle item) noexcept { return (item * 0x9E3779B1u) >> 20; }  // below 64 * 64

// Of the newest event on the item and all before it.
void fill_history(std::span<float> features, const CandidateFeatures::Request& request, ItemHandle item) {
  constexpr double kMillisecondsPerMinute = 60'000;
  const auto items = request.history.items;
  const auto times = request.history.times;
  std::size_t events = 0, newest = 0;
  for (std::size_t i = items.size(); i-- > 0;) {
    if (items[i] == item && events++ == 0) newest = i;
  }
  if (events == 0) return;
  features[0] = 1;
  features[1] = log_of_one_and(static_cast<double>(events));
  features[2] = static_cast<float>(events) / static_cast<float>(items.size());
  features[3] = 1.0f / static_cast<float>(items.size() - newest);
  if (request.now == kNoTime || times.empty() || times[newest] == kNoTime) return;
  const double age = static_cast<double>(request.now) - static_cast<double>(times[newest]);
  features[4] = log_of_one_and(std::max(age, 0.0) / kMillisecondsPerMinute);
  features[5] = age <= 0 ? 1.0f : 0.0f;
}

}  // namespace

CandidateFeatures::CandidateFeatures(std::shared_ptr<const CountModel> counts, std::span<const std::uint64_t> events,
                                     bool reads_now)
    : counts_(std::move(counts)), reads_now_(reads_now) {
  for (const std::uint64_t count : events) log_events_.push_back(log_of_one_and(static_cast<double>(count)));
}

CandidateFeatures::Request CandidateFeatures::read(HistoryView history, Timestamp now, bool seen,
                                                   Workspace& workspace) const {
  const std::size_t told = std::min(history.size(), LearnedRanker::kMaxEvents);
  Request request{.history = history.subview(history.size() - told, told),
                  .now = reads_now_ ? now : kNoTime,
                  .counted = {},
                  .may_be_seen = {}};
  if (request.now == kNoTime && !history.times.empty()) request.now = history.times.back();
  for (const ItemHandle item : seen ? request.history.items : std::span<const ItemHandle>{}) {
    request.may_be_seen[hash_of(item) / 64] |= std::uint64_t{1} << (hash_of(item) % 64);
  }
  if (counts_) {
    const std::span<float> counted = workspace.additive.take(counts_->num_items());
    counts_->score_all(history, counted, workspace);
    request.counted = counted;
  }
  return request;
}

void CandidateFeatures::fill(std::span<float, kNumFeatures> features, const Request& request, ItemHandle item,
                             float score) const {
  std::ranges::fill(features, 0.0f);
  features[0] = score;
  if (counts_) {
    features[1] = item < request.counted.size() ? request.counted[item] : 0.0f;
    counts_->to_terms(features.subspan(1, 1));
  }
  features[2] = item < log_events_.size() ? log_events_[item] : 0.0f;
  const bool may_be_seen = (request.may_be_seen[hash_of(item) / 64] >> (hash_of(item) % 64) & 1u) != 0;
  if (may_be_seen) fill_history(features.subspan(3), request, item);
}

}  // namespace attune::inline v0_1::detail
