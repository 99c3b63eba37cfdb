// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "attune/training/objective.hpp"

namespace attune::inline v0_1 {

namespace {

void require(bool holds, const char* field, const char* allowed, double found) {
  if (holds) return;
  throw Error(ErrorCode::invalid_config,
              std::string("config: objective.") + field + " must be " + allowed + ", found " + std::to_string(found));
}

}  // namespace

// Comparisons are written so that NaN is refused.
void ObjectiveConfig::validate() const {
  require(label_smoothing >= 0 && label_smoothing < 1, "label_smoothing", "0 or more and below 1", label_smoothing);
  require(negatives >= 1 && negatives <= 65536, "negatives", "1 to 65536", static_cast<double>(negatives));
  require(sampling_power >= 0 && sampling_power <= 1, "sampling_power", "0 to 1", sampling_power);
  require(calibration >= 0 && calibration <= 1, "calibration", "0 to 1", calibration);
  require(!shared_negatives || loss == LossKind::sampled_softmax, "shared_negatives", "false unless sampled_softmax",
          1);
  require(!log_q || loss == LossKind::sampled_softmax, "log_q", "false unless sampled_softmax", 1);
  require(label_smoothing == 0 || loss == LossKind::softmax, "label_smoothing", "0 unless softmax", label_smoothing);
}

NegativeSampler::NegativeSampler(std::span<const std::uint64_t> counts, double power)
    : uniform_(power == 0), log_shares_(counts.size(), 0.0f) {
  for (std::size_t item = 0; item < counts.size(); ++item) {
    if (counts[item] == 0) continue;
    items_.push_back(static_cast<ItemHandle>(item));
    cumulative_.push_back(std::pow(static_cast<double>(counts[item]), power));
  }
  const double total = std::accumulate(cumulative_.begin(), cumulative_.end(), 0.0);
  double sum = 0;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    log_shares_[items_[i]] = static_cast<float>(std::log(cumulative_[i] / total));
    sum += cumulative_[i] / total;
    cumulative_[i] = sum;
  }
}

ItemHandle NegativeSampler::draw(std::uint64_t key, ItemHandle except) const noexcept {
  constexpr std::uint64_t kTries = 16;
  if (items_.empty()) return kNoHandle;
  std::size_t index = 0;
  for (std::uint64_t attempt = 0; attempt < kTries; ++attempt) {
    const double at = static_cast<double>(detail::mix(key, attempt) >> 11) * 0x1p-53;
    const auto place = uniform_ ? static_cast<std::ptrdiff_t>(at * static_cast<double>(items_.size()))
                                : std::upper_bound(cumulative_.begin(), cumulative_.end(), at) - cumulative_.begin();
    index = std::min(static_cast<std::size_t>(place), items_.size() - 1);
    if (items_[index] != except) return items_[index];
  }
  // `except` has nearly all of the weight, or is alone.
  return items_.size() == 1 ? kNoHandle : items_[(index + 1) % items_.size()];
}

// A set is what n draws with replacement bring, n such that it has `count` items on average.
std::vector<float> NegativeSampler::log_inclusions(std::size_t count) const {
  std::vector<float> logarithms(log_shares_.size(), 0.0f);
  if (count >= items_.size()) return logarithms;
  const auto log_inclusion = [&](ItemHandle item, double draws) {
    const double share = std::exp(static_cast<double>(log_shares_[item]));
    return std::log(-std::expm1(draws * std::log1p(-std::min(share, 1.0 - 1e-12))));
  };
  const auto size = [&](double draws) {
    double sum = 0;
    for (const ItemHandle item : items_) sum += std::exp(log_inclusion(item, draws));
    return sum;
  };
  constexpr double kMostDraws = 1e15;
  double low = 0, high = static_cast<double>(count);
  while (size(high) < static_cast<double>(count) && high < kMostDraws) high *= 2;
  for (int halving = 0; halving < 40; ++halving) {
    const double middle = 0.5 * (low + high);
    (size(middle) < static_cast<double>(count) ? low : high) = middle;
  }
  for (const ItemHandle item : items_) logarithms[item] = static_cast<float>(log_inclusion(item, high));
  return logarithms;
}

void NegativeSampler::draw_set(std::vector<ItemHandle>& set, std::size_t count, std::uint64_t key) const {
  set.clear();
  if (count >= items_.size()) {
    set = items_;
    return;
  }
  // Repetitions are drawn anew.
  constexpr std::uint64_t kRounds = 8;
  for (std::uint64_t round = 0; round < kRounds && set.size() < count; ++round) {
    const std::size_t missing = count - set.size();
    for (std::size_t i = 0; i < missing; ++i) set.push_back(draw(detail::mix(detail::mix(key, round), i)));
    std::sort(set.begin(), set.end());
    set.erase(std::unique(set.begin(), set.end()), set.end());
  }
  if (set.size() == count) return;
  // A few items have nearly all of the weight. The others race: whoever waits least comes next, which is as if draws
  // had gone on (Efraimidis & Spirakis 2006).
  std::vector<std::pair<double, ItemHandle>> waits;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (std::binary_search(set.begin(), set.end(), items_[i])) continue;
    const double at = (static_cast<double>(detail::mix(detail::mix(key, kRounds), i) >> 11) + 0.5) * 0x1p-53;
    waits.emplace_back(-std::log(at) / std::exp(static_cast<double>(log_shares_[items_[i]])), items_[i]);
  }
  const std::size_t missing = count - set.size();
  std::nth_element(waits.begin(), waits.begin() + static_cast<std::ptrdiff_t>(missing - 1), waits.end());
  for (std::size_t i = 0; i < missing; ++i) set.push_back(waits[i].second);
  std::sort(set.begin(), set.end());
}

}  // namespace attune::inline v0_1
