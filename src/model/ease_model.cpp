// SPDX-License-Identifier: Apache-2.0
#include "attune/model/ease_model.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "attune/detail/kernels.hpp"
#include "attune/error.hpp"
#include "attune/executor.hpp"
#include "model/count_options.hpp"
#include "model/ease_solver.hpp"
#include "model/item_sets.hpp"

namespace attune::inline v0_1 {
namespace {

void require_room(std::size_t items, std::size_t most) {
  if (items <= most) return;
  constexpr double kBytesPerPair = 12, kGigabyte = 1e9;
  const double gigabytes = kBytesPerPair * static_cast<double>(items) * static_cast<double>(items) / kGigabyte;
  throw Error(ErrorCode::limit_exceeded, "EASE: at most ease.max_items = " + std::to_string(most) + " items, found " +
                                             std::to_string(items) + ", which would take " +
                                             std::to_string(std::llround(std::ceil(gigabytes))) + " GB of memory");
}

}  // namespace

void EaseOptions::validate() const {
  detail::require_option(lambda > 0 && std::isfinite(lambda), "ease.lambda", "positive and finite",
                         std::to_string(lambda));
  detail::require_decay(decay, "ease.decay");
  detail::require_option(max_items >= 1 && max_items <= 100'000, "ease.max_items", "1 to 100000",
                         std::to_string(max_items));
}

EaseModel EaseModel::fit(const Histories& histories, const EaseOptions& options, Executor* executor) {
  options.validate();
  require_room(histories.num_items(), options.max_items);
  InlineExecutor calling_thread;
  Executor& threads = executor != nullptr ? *executor : calling_thread;
  const detail::CommonUsers common(histories);
  const std::size_t items = common.num_items();
  std::vector<float> weights(items * items, 0.0f);
  std::vector<std::vector<std::uint32_t>> counts(threads.concurrency());
  std::vector<std::vector<ItemHandle>> touched(threads.concurrency());
  threads.run(items, [&](std::size_t x, std::size_t worker) {
    counts[worker].resize(items);
    common.row(x, counts[worker], touched[worker]);
    for (const ItemHandle y : touched[worker]) {
      weights[x * items + y] = static_cast<float>(std::exchange(counts[worker][y], 0));
    }
  });
  detail::ease_weights(weights, items, options.lambda, threads);
  return EaseModel(items, std::move(weights), options);
}

EaseModel::EaseModel(std::size_t num_items, std::vector<float> weights, const EaseOptions& options)
    : weights_(std::move(weights)), known_(num_items), options_(options) {
  options_.validate();
  if (weights_.size() != num_items * num_items) {
    throw Error(ErrorCode::corrupt_file, "EASE: expected one weight for each pair of items");
  }
  if (!std::ranges::all_of(weights_, [](float weight) { return std::isfinite(weight); })) {
    throw Error(ErrorCode::corrupt_file, "EASE: a weight is not finite");
  }
  for (std::size_t x = 0; x < num_items; ++x) {
    const auto row = std::span(weights_).subspan(x * num_items, num_items);
    known_[x] = std::ranges::any_of(row, [](float weight) { return weight != 0; });
  }
}

void EaseModel::score_all(HistoryView history, std::span<float> scores, Workspace&) const {
  std::ranges::fill(scores, 0.0f);
  const auto known = [this](ItemHandle item) { return knows(item); };
  detail::for_each_faded(history, options_.decay, known, [&](ItemHandle x, float weight) {
    detail::kernels<float>().scaled_add(scores.data(), weight, weights_.data() + x * num_items(), num_items());
  });
}

void EaseModel::to_terms(std::span<float> scores) const noexcept {
  for (float& score : scores) score *= 10;
}

}  // namespace attune::inline v0_1
