// SPDX-License-Identifier: Apache-2.0
#include "attune/model/repeat_model.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "attune/model/popularity_model.hpp"
#include "model/count_options.hpp"
#include "model/item_sets.hpp"
#include "model/log_shares.hpp"

namespace attune::inline v0_1 {

void RepeatOptions::validate() const {
  using detail::require_option;
  require_option(half_life_days >= 0 && half_life_days <= 1e6, "repeat.half_life_days", "0 to 1000000",
                 std::to_string(half_life_days));
  require_option(smoothing >= 0 && smoothing <= 1, "repeat.smoothing", "0 to 1", std::to_string(smoothing));
}

RepeatModel RepeatModel::fit(const Histories& histories, const RepeatOptions& options) {
  return {detail::events_per_item(histories), options};
}

RepeatModel::RepeatModel(std::vector<std::uint64_t> popularity, const RepeatOptions& options)
    : popularity_(std::move(popularity)), options_(options), popularity_share_(popularity_.size()) {
  options_.validate();
  PopularityModel(popularity_).score_all({}, popularity_share_);
}

void RepeatModel::score_all(HistoryView history, std::span<float> scores, Workspace&) const {
  constexpr double kMillisecondsPerDay = 24.0 * 3600 * 1000;
  const double half_life = options_.half_life_days * kMillisecondsPerDay;
  const auto time_of = [&](std::size_t event) { return history.times.empty() ? kNoTime : history.times[event]; };
  Timestamp newest = kNoTime;
  std::ranges::fill(scores, 0.0f);
  double total = 0;
  for (std::size_t i = history.size(); i-- > 0;) {
    if (!knows(history.items[i])) continue;
    const Timestamp time = time_of(i);
    if (newest == kNoTime) newest = time;
    const double age = time == kNoTime ? 0 : std::max(0.0, static_cast<double>(newest) - static_cast<double>(time));
    const double weight = half_life > 0 ? std::exp2(-age / half_life) : 1;
    scores[history.items[i]] += static_cast<float>(weight);
    total += weight;
  }
  const auto smoothing = static_cast<float>(total > 0 ? options_.smoothing : 1);
  const float scale = total > 0 ? (1 - smoothing) / static_cast<float>(total) : 0.0f;
  for (std::size_t y = 0; y < scores.size(); ++y) scores[y] = scale * scores[y] + smoothing * popularity_share_[y];
}

void RepeatModel::to_terms(std::span<float> scores) const noexcept { detail::log_shares(scores); }

}  // namespace attune::inline v0_1
