// SPDX-License-Identifier: Apache-2.0
#include "attune/model/learned_ranker.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "attune/error.hpp"

namespace attune::inline v0_1 {

std::span<const std::string_view, LearnedRanker::kNumFeatures> LearnedRanker::feature_names() noexcept {
  static constexpr std::string_view kNames[kNumFeatures] = {"score", "counts",  "popularity", "seen",    "repeats",
                                                            "share", "recency", "age",        "together"};
  return kNames;
}

float LearnedRanker::operator()(std::span<const float, kNumFeatures> features) const noexcept {
  float sum = 0;
  for (std::size_t f = 0; f < kNumFeatures; ++f) sum += weights[f] * features[f];
  return sum;
}

void LearnedRanker::validate() const {
  const auto refuse = [](const std::string& expected) {
    throw Error(ErrorCode::invalid_argument, "ranker: expected " + expected);
  };
  if (empty()) return;
  if (weights.size() != kNumFeatures) {
    refuse(std::to_string(kNumFeatures) + " weights, found " + std::to_string(weights.size()));
  }
  if (!std::ranges::all_of(weights, [](float weight) { return std::isfinite(weight); })) refuse("finite weights");
  if (candidates == 0) refuse("at least one candidate");
}

}  // namespace attune::inline v0_1
