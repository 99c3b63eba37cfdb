// SPDX-License-Identifier: Apache-2.0
#pragma once

// A learned ranker as JSON, its weights by the names of the features; null where it is empty.

#include <string>

#include "attune/model/learned_ranker.hpp"
#include "data/json_object.hpp"

namespace attune::inline v0_1::detail {

inline Json json_of(const LearnedRanker& ranker) {
  if (ranker.empty()) return {};
  Json json{{"candidates", ranker.candidates}, {"weights", Json::object()}};
  for (std::size_t f = 0; f < LearnedRanker::kNumFeatures; ++f) {
    json["weights"][std::string(LearnedRanker::feature_names()[f])] = ranker.weights[f];
  }
  return json;
}

}  // namespace attune::inline v0_1::detail
