// SPDX-License-Identifier: Apache-2.0
#pragma once

// How training and searching measure a model on validation queries.

#include <cstddef>

#include "attune/training/communicator.hpp"
#include "attune/training/trainer.hpp"

namespace attune::inline v0_1::detail {

// At most config.max_validation_queries, evenly spaced.
inline EvaluationQueries validation_sample(const EvaluationQueries& queries, const TrainerConfig& config) {
  const std::size_t limit = config.max_validation_queries;
  if (queries.size() <= limit) return queries;
  EvaluationQueries chosen{queries.histories, {}};
  for (std::size_t i = 0; i < limit; ++i) chosen.queries.push_back(queries.queries[i * queries.size() / limit]);
  return chosen;
}

inline EvaluationOptions validation_options(const TrainerConfig& config, Executor& executor) {
  return {.cutoffs = {10},
          .exclude_seen = config.exclude_seen,
          .request_time = config.encoder.request_time,
          .bootstrap = 0,
          .executor = &executor};
}

// What validation says of the model goes into the report. `ranks`, where there are several, measure a part each and
// come to the bits of one.
void validate(EpochReport& report, const TrainedModel& model, const EvaluationQueries& queries,
              const EvaluationOptions& measuring, Communicator* ranks = nullptr);

}  // namespace attune::inline v0_1::detail
