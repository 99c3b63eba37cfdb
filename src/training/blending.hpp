// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which counts a blend adds to an encoder, and how much of them: validation decides.

#include <cstddef>
#include <vector>

#include "attune/training/trainer.hpp"
#include "training/time_budget.hpp"

namespace attune::inline v0_1::detail {

// What is tried in the place of the configured counts.
std::vector<CountKind> rivals_of(const TrainerConfig& config);

// How many validations the choice costs at most.
std::size_t blending_validations(const TrainerConfig& config);

// Sets the weight of the model's counts and, where they do more, those of a rival in their place; all were or are
// fitted on `train`. False where `progress` asked to stop: then the best so far stands.
bool choose_blend(TrainedModel& model, const Histories& train, const EvaluationQueries& queries,
                  EvaluationOptions measuring, const TrainerConfig& config, const TimeBudget& budget,
                  const Progress& progress);

}  // namespace attune::inline v0_1::detail
