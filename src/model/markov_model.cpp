// SPDX-License-Identifier: Apache-2.0
#include "attune/model/markov_model.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "attune/model/popularity_model.hpp"
#include "model/count_options.hpp"
#include "model/item_sets.hpp"
#include "model/log_shares.hpp"
#include "model/sparse_rows.hpp"

namespace attune::inline v0_1 {
namespace {

// Event numbers grouped by item: those of item x are events[begins[x] .. begins[x + 1]), ascending.
struct Occurrences {
  std::vector<std::uint64_t> begins;  // [items + 1]
  std::vector<std::size_t> events;    // [events]
};

Occurrences occurrences_of(const Histories& histories, std::span<const std::uint64_t> counts) {
  Occurrences result{std::vector<std::uint64_t>(counts.size() + 1, 0),
                     std::vector<std::size_t>(histories.num_events())};
  std::partial_sum(counts.begin(), counts.end(), result.begins.begin() + 1);
  std::vector<std::uint64_t> next(result.begins.begin(), result.begins.end() - 1);
  for (std::size_t event = 0; event < histories.num_events(); ++event) {
    result.events[next[histories.items[event]]++] = event;
  }
  return result;
}

// The newest known items of a history, newest first, each with its weight; returns how many.
template <class Visit>
std::size_t for_each_speaking(const MarkovModel& model, std::span<const float> popularity_weight, HistoryView history,
                              Visit visit) {
  std::size_t spoken = 0;
  double weight = 1;
  for (std::size_t i = history.size(); i-- > 0 && spoken < model.options().history;) {
    const ItemHandle x = history.items[i];
    if (!model.knows(x)) continue;
    visit(x, static_cast<float>(weight) * popularity_weight[x]);
    ++spoken;
    weight *= model.options().decay;
  }
  return spoken;
}

}  // namespace

void MarkovOptions::validate() const {
  using detail::require_option;
  require_option(steps >= 1 && steps <= 1000, "markov.steps", "1 to 1000", std::to_string(steps));
  require_option(history >= 1, "markov.history", "at least 1", std::to_string(history));
  detail::require_decay(decay, "markov.decay");
  require_option(popularity_power >= 0 && popularity_power <= 1, "markov.popularity_power", "0 to 1",
                 std::to_string(popularity_power));
  require_option(smoothing >= 0 && smoothing <= 1, "markov.smoothing", "0 to 1", std::to_string(smoothing));
}

// Row after row: the followers of every occurrence of x are summed in an array over all items.
MarkovModel MarkovModel::fit(const Histories& histories, const MarkovOptions& options) {
  options.validate();
  Counts result;
  result.popularity = detail::events_per_item(histories);
  result.offsets.reserve(result.popularity.size() + 1);
  result.offsets.push_back(0);
  const Occurrences occurrences = occurrences_of(histories, result.popularity);

  std::vector<double> sums(result.popularity.size(), 0);
  std::vector<ItemHandle> followers;
  for (std::size_t x = 0; x < result.popularity.size(); ++x) {
    followers.clear();
    auto user_end = histories.offsets.begin();
    for (std::size_t i = occurrences.begins[x]; i < occurrences.begins[x + 1]; ++i) {
      const std::size_t event = occurrences.events[i];
      user_end = std::upper_bound(user_end, histories.offsets.end(), event);
      const std::size_t steps = std::min(options.steps, *user_end - event - 1);
      for (std::size_t step = 1; step <= steps; ++step) {
        const ItemHandle y = histories.items[event + step];
        if (sums[y] == 0) followers.push_back(y);
        sums[y] += 1.0 / static_cast<double>(step);
      }
    }
    std::ranges::sort(followers);
    for (const ItemHandle y : followers) {
      result.columns.push_back(y);
      result.counts.push_back(static_cast<float>(std::exchange(sums[y], 0)));
    }
    result.offsets.push_back(result.columns.size());
  }
  return MarkovModel(std::move(result), options);
}

MarkovModel::MarkovModel(Counts counts, const MarkovOptions& options) : counts_(std::move(counts)), options_(options) {
  detail::check_sparse_rows({counts_.offsets, counts_.columns, counts_.counts}, counts_.popularity.size(),
                            "transition counts");
  options_.validate();
  const std::vector<std::uint64_t>& popularity = counts_.popularity;
  popularity_weight_.resize(popularity.size());
  for (std::size_t item = 0; item < popularity.size(); ++item) {
    popularity_weight_[item] =
        popularity[item] == 0
            ? 0.0f
            : static_cast<float>(std::pow(static_cast<double>(popularity[item]), -options_.popularity_power));
  }
  row_total_.resize(popularity.size());
  for (std::size_t x = 0; x < popularity.size(); ++x) {
    for (std::size_t j = counts_.offsets[x]; j < counts_.offsets[x + 1]; ++j) {
      row_total_[x] += static_cast<double>(counts_.counts[j] * popularity_weight_[counts_.columns[j]]);
    }
  }
  popularity_share_.resize(popularity.size());
  PopularityModel(popularity).score_all({}, popularity_share_);
}

void MarkovModel::score_all(HistoryView history, std::span<float> scores, Workspace&) const {
  std::ranges::fill(scores, 0.0f);
  const std::size_t spoken = for_each_speaking(*this, popularity_weight_, history, [&](ItemHandle x, float weight) {
    for (std::size_t j = counts_.offsets[x]; j < counts_.offsets[x + 1]; ++j) {
      scores[counts_.columns[j]] += weight * counts_.counts[j];
    }
  });

  double total = 0;
  for (std::size_t y = 0; y < scores.size(); ++y) {
    scores[y] *= popularity_weight_[y];
    total += scores[y];
  }
  const float scale = total > 0 ? static_cast<float>(1 / total) : 0.0f;
  const float smoothing = spoken > 0 ? static_cast<float>(options_.smoothing) : 1.0f;
  for (std::size_t y = 0; y < scores.size(); ++y) scores[y] = scores[y] * scale + smoothing * popularity_share_[y];
}

void MarkovModel::score(HistoryView history, std::span<const ItemHandle> handles, std::span<float> scores,
                        Workspace&) const {
  std::ranges::fill(scores, 0.0f);
  double total = 0;
  const std::size_t spoken = for_each_speaking(*this, popularity_weight_, history, [&](ItemHandle x, float weight) {
    const auto row =
        std::span(counts_.columns).subspan(counts_.offsets[x], counts_.offsets[x + 1] - counts_.offsets[x]);
    total += static_cast<double>(weight) * row_total_[x];
    for (std::size_t i = 0; i < handles.size(); ++i) {
      const auto at = std::ranges::lower_bound(row, handles[i]);
      if (at == row.end() || *at != handles[i]) continue;
      scores[i] += weight * counts_.counts[counts_.offsets[x] + static_cast<std::size_t>(at - row.begin())];
    }
  });
  const float scale = total > 0 ? static_cast<float>(1 / total) : 0.0f;
  const float smoothing = spoken > 0 ? static_cast<float>(options_.smoothing) : 1.0f;
  for (std::size_t i = 0; i < handles.size(); ++i) {
    const ItemHandle y = handles[i];
    scores[i] = y < num_items() ? scores[i] * popularity_weight_[y] * scale + smoothing * popularity_share_[y] : 0.0f;
  }
}

void MarkovModel::to_terms(std::span<float> scores) const noexcept { detail::log_shares(scores); }

}  // namespace attune::inline v0_1
