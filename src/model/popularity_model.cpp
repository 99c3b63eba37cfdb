// SPDX-License-Identifier: Apache-2.0
#include "attune/model/popularity_model.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "attune/error.hpp"
#include "model/count_options.hpp"
#include "model/item_sets.hpp"
#include "model/log_shares.hpp"

namespace attune::inline v0_1 {
namespace {

// scores[item] += weight * share of all counts.
void add_shares(std::span<float> scores, std::span<const std::uint64_t> counts, double weight) {
  const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
  const double scale = total > 0 ? weight / total : 0;
  for (std::size_t item = 0; item < counts.size(); ++item) {
    scores[item] += static_cast<float>(static_cast<double>(counts[item]) * scale);
  }
}

// An event without a time is older than any window.
std::vector<std::uint64_t> events_within(const Histories& histories, double days) {
  constexpr double kMillisecondsPerDay = 24.0 * 3600 * 1000;
  const auto newest = std::ranges::max_element(histories.times);
  if (newest == histories.times.end() || *newest == kNoTime) {
    throw Error(ErrorCode::invalid_data, "popularity.window_days: expected events with times, found none");
  }
  std::vector<std::uint64_t> recent(histories.num_items(), 0);
  for (std::size_t event = 0; event < histories.num_events(); ++event) {
    const double age = static_cast<double>(*newest) - static_cast<double>(histories.times[event]);
    recent[histories.items[event]] += age <= days * kMillisecondsPerDay;
  }
  return recent;
}

}  // namespace

void PopularityOptions::validate() const {
  detail::require_option(window_days >= 0 && window_days <= 1e6, "popularity.window_days", "0 to 1000000",
                         std::to_string(window_days));
}

PopularityModel::PopularityModel(std::vector<std::uint64_t> counts)
    : counts_(std::move(counts)), scores_(counts_.size(), 0.0f) {
  add_shares(scores_, counts_, 1);
}

PopularityModel::PopularityModel(std::vector<std::uint64_t> counts, std::vector<std::uint64_t> recent,
                                 const PopularityOptions& options)
    : counts_(std::move(counts)), recent_(std::move(recent)), options_(options), scores_(counts_.size(), 0.0f) {
  constexpr double kAllTime = 1e-3;
  options_.validate();
  if (!std::ranges::equal(recent_, counts_, std::ranges::less_equal())) {
    throw Error(ErrorCode::corrupt_file, "popularity: more events within the window than there are");
  }
  add_shares(scores_, recent_, 1);
  add_shares(scores_, counts_, kAllTime);
}

PopularityModel PopularityModel::fit(const Histories& histories, const PopularityOptions& options) {
  options.validate();
  std::vector<std::uint64_t> counts = detail::events_per_item(histories);
  if (options.window_days == 0) return PopularityModel(std::move(counts));
  return PopularityModel(std::move(counts), events_within(histories, options.window_days), options);
}

void PopularityModel::score_all(HistoryView, std::span<float> scores, Workspace&) const {
  std::ranges::copy(scores_, scores.begin());
}

void PopularityModel::score(HistoryView, std::span<const ItemHandle> handles, std::span<float> scores,
                            Workspace&) const {
  for (std::size_t i = 0; i < handles.size(); ++i) scores[i] = handles[i] < scores_.size() ? scores_[handles[i]] : 0.0f;
}

void PopularityModel::to_terms(std::span<float> scores) const noexcept { detail::log_shares(scores); }

}  // namespace attune::inline v0_1
