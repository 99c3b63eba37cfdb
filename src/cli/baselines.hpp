// SPDX-License-Identifier: Apache-2.0
#pragma once

// The count models that stand beside a model in reports, each trained on the part of the events that the model saw.

#include <optional>
#include <string>
#include <vector>

#include "attune/training/trainer.hpp"
#include "cli/console.hpp"

namespace attune::cli {

struct Baseline {
  std::string name;              // "popularity", "markov", "item_knn", "ease"
  std::optional<Report> report;  // none: left out
  std::string left_out;          // and why
};

// Popularity and the counts that the model has are measured as they are; what it has not is fitted with default options
// on `train` (null: not known). `quick` leaves out what takes more than a few seconds to fit.
std::vector<Baseline> measure_baselines(const TrainedModel& model, const Histories* train,
                                        const EvaluationQueries& queries, const EvaluationOptions& options, bool quick,
                                        Console& console);

// The events that a model was trained on, from those it carries and the split it notes; none where its popularity does
// not bear them out.
std::optional<Histories> training_part(const TrainedModel& model);

}  // namespace attune::cli
