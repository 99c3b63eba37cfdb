// SPDX-License-Identifier: Apache-2.0
#pragma once

// Events per item, of all time or of the newest part of it: the answer where a history says nothing.

#include <cstdint>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/model/count_model.hpp"

namespace attune::inline v0_1 {

struct PopularityOptions {
  // Above 0: only events at most this long before the newest one score. Less follows fashion and knows fewer items.
  double window_days = 0;

  // Throws Error(invalid_config) naming the field, what is allowed and what was given.
  ATTUNE_EXPORT void validate() const;
};

class ATTUNE_EXPORT PopularityModel final : public CountModel {
 public:
  PopularityModel() = default;
  explicit PopularityModel(std::vector<std::uint64_t> counts);
  // `recent` [items]: events within the window. Throws Error: corrupt_file when there are more of them than counts,
  // invalid_config.
  PopularityModel(std::vector<std::uint64_t> counts, std::vector<std::uint64_t> recent,
                  const PopularityOptions& options);
  // Throws Error: invalid_config; invalid_data where a window is asked for and no event has a time.
  static PopularityModel fit(const Histories& histories, const PopularityOptions& options = {});

  std::string_view name() const noexcept override { return "popularity"; }
  std::size_t num_items() const noexcept override { return counts_.size(); }
  bool knows(ItemHandle) const noexcept override { return false; }            // it listens to nobody
  std::span<const std::uint64_t> counts() const noexcept { return counts_; }  // of all time
  std::span<const std::uint64_t> recent() const noexcept { return recent_; }  // within the window; empty without one
  const PopularityOptions& options() const noexcept { return options_; }

  // Shares of all events, 0 for an item without any. With a window: shares of the events within it, plus a thousandth
  // of the shares of all time, so that what is out of fashion still has an order.
  void score_all(HistoryView history, std::span<float> scores, Workspace& workspace) const override;
  using CountModel::score_all;
  void score(HistoryView history, std::span<const ItemHandle> handles, std::span<float> scores,
             Workspace& workspace) const override;
  void to_terms(std::span<float> scores) const noexcept override;  // logarithms of the shares

 private:
  std::vector<std::uint64_t> counts_, recent_;
  PopularityOptions options_;
  std::vector<float> scores_;  // [items]
};

}  // namespace attune::inline v0_1
