// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "attune/data/split.hpp"
#include "attune/version.hpp"

namespace attune::inline v0_1 {

// How a model is measured. Kept in TrainedModel::notes, so that whoever measures it later does it as its training did.
struct EvaluationProtocol {
  SplitOptions split;
  bool exclude_seen = true;
  bool request_time = false;        // the model is told when the target happens
  std::optional<float> min_rating;  // CleaningOptions::min_value
  std::size_t k_core = 0;           // CleaningOptions::k_core

  // The parts of the histories. Where nobody asked for the split and events have no times, which the default one needs,
  // `split` becomes leave-one-out, and the note of the parts says so. Throws like attune::split().
  ATTUNE_EXPORT Split divide(Histories histories, bool asked);

  ATTUNE_EXPORT void write(std::map<std::string, std::string>& notes) const;
  // What the notes do not name is as above. Throws Error for a split that cannot be.
  ATTUNE_EXPORT static EvaluationProtocol read(const std::map<std::string, std::string>& notes);
};

}  // namespace attune::inline v0_1
