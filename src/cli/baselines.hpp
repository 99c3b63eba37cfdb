// SPDX-License-Identifier: Apache-2.0
#pragma once

// What stands beside a model in reports: count models, each trained on the part of the events that the model saw, and
// the encoder of a blend without its counts.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "attune/training/trainer.hpp"
#include "cli/console.hpp"

namespace attune::cli {

struct Baseline {
  std::string name;                                     // "encoder", "popularity", "markov", "item_knn", "ease"
  std::optional<Report> report;                         // none: left out
  std::string left_out;                                 // and why
  std::map<std::string, PairedDifference> paired = {};  // of the model minus it
};

// Popularity and the counts that the model has are measured as they are; what it has not is fitted with default options
// on `train` (null: not known). `quick` leaves out what takes more than a few seconds to fit. `report`: of the model on
// the queries by these options, with the sums of its users.
std::vector<Baseline> measure_baselines(const TrainedModel& model, const Report& report, const Histories* train,
                                        const EvaluationQueries& queries, const EvaluationOptions& options, bool quick,
                                        Console& console);
// What is measured beside a model is compared by hr and ndcg, and in fewer ways than the model itself is.
Baseline measure_beside(const std::string& name, const TrainedModel& other, const Report& report,
                        const EvaluationQueries& queries, const EvaluationOptions& options);

// The events that a model was trained on, from those it carries and the split it notes; none where its popularity does
// not bear them out.
std::optional<Histories> training_part(const TrainedModel& model);

}  // namespace attune::cli
