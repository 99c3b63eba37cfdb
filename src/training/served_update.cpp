// SPDX-License-Identifier: Apache-2.0

#include <string>

#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "attune/training/evaluation.hpp"
#include "attune/training/updater.hpp"

namespace attune::inline v0_1 {

ServedUpdate update_served(Recommender& recommender, const std::string& directory, const InteractionLog& events,
                           const ServedUpdateOptions& options, Executor* executor, const Progress& progress) {
  if (!(options.tolerance >= 0 && options.tolerance <= 1)) {
    throw Error(ErrorCode::invalid_config,
                "update: tolerance must be in [0, 1], found " + std::to_string(options.tolerance));
  }
  const std::string& output = options.output.empty() ? directory : options.output;
  const TrainedModel old = TrainedModel::load(directory);
  TrainedModel::check_replaceable(output);

  Updater updater(options.updater, executor);
  TrainedModel next = updater.update(old, events, progress);
  ServedUpdate result{.update = updater.report(), .queries = updater.held_out().size()};
  if (result.update.new_events == 0) return result;
  if (result.queries != 0) {
    const EvaluationOptions measuring{.cutoffs = {10},
                                      .exclude_seen = options.exclude_seen,
                                      .request_time = options.request_time,
                                      .bootstrap = 0,
                                      .executor = executor};
    result.before = evaluate(old, updater.held_out(), measuring).ndcg_at(10);
    result.after = evaluate(next, updater.held_out(), measuring).ndcg_at(10);
    if (result.after < (1 - options.tolerance) * result.before) return result;
    UpdaterConfig all = options.updater;
    all.held_out = 0;
    next = Updater(all, executor).update(old, events, progress);
  }
  detail::serve_update(recommender, directory, old, next, output);
  result.took_over = true;
  return result;
}

}  // namespace attune::inline v0_1
