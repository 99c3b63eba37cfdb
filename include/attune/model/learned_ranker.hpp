// SPDX-License-Identifier: Apache-2.0
#pragma once

// A small second stage that stands beside a model: a weighted sum of what is known of each of the encoder's best items
// puts them in order. Fitted by training/ranker_training.hpp, served where a model has one. A value.

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

struct ATTUNE_EXPORT LearnedRanker {
  // Of a candidate:
  //   score       the engine's
  //   counts      CountModel::to_terms() of what the counts say
  //   popularity  log(1 + events in training)
  // and of its events among the newest kMaxEvents of the history, 0 where there is none:
  //   seen        1
  //   repeats     log(1 + how many)
  //   share       how many, divided by the length of that part
  //   recency     1 / (1 + later events)
  //   age         log(1 + minutes since the last of them)
  //   together    1 where that was at the time of the request: in this basket
  // Times count back from the request where the encoder reads its time, else from the last event.
  static constexpr std::size_t kNumFeatures = 9, kMaxEvents = 500;
  static std::span<const std::string_view, kNumFeatures> feature_names() noexcept;

  std::size_t candidates = 0;  // how many of the best it was fitted on and reorders
  std::vector<float> weights;  // [kNumFeatures]

  bool empty() const noexcept { return weights.empty(); }
  float operator()(std::span<const float, kNumFeatures> features) const noexcept;
  // Throws Error(invalid_argument): another number of weights, one that is not finite, no candidates. Nothing for an
  // empty one.
  void validate() const;
};

}  // namespace attune::inline v0_1
