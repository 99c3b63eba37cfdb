// SPDX-License-Identifier: Apache-2.0
#pragma once

// How training and searching measure a model on validation queries.

#include <array>
#include <cstddef>
#include <cstring>
#include <span>

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

// What validation says of the model goes into the report. `ranks`, where there are several, measure a part each.
inline void validate(EpochReport& report, const TrainedModel& model, const EvaluationQueries& queries,
                     const EvaluationOptions& measuring, Communicator* ranks = nullptr) {
  if (queries.empty()) return;
  report.validated = true;
  const auto measure = [&](const EvaluationQueries& some) {
    const Report measured = evaluate(model, some, measuring);
    return std::array{measured.hit_rate_at(10), measured.ndcg_at(10)};
  };
  if (!ranks) {
    const auto [hit_rate, ndcg] = measure(queries);
    report.hit_rate_10 = hit_rate;
    report.ndcg_10 = ndcg;
    return;
  }
  const auto at = [&](std::size_t rank) {
    return queries.queries.begin() + static_cast<std::ptrdiff_t>(queries.size() * rank / ranks->size());
  };
  const EvaluationQueries part{queries.histories, {at(ranks->rank()), at(ranks->rank() + 1)}};
  std::array<double, 2> sums{};
  if (!part.empty()) sums = measure(part);
  for (double& sum : sums) sum *= static_cast<double>(part.size());
  std::array<double, 2> total{};
  for (const std::vector<std::byte>& of_rank : ranks->gather(std::as_bytes(std::span(sums)))) {
    std::memcpy(sums.data(), of_rank.data(), sizeof(sums));
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += sums[i];
  }
  report.hit_rate_10 = total[0] / static_cast<double>(queries.size());
  report.ndcg_10 = total[1] / static_cast<double>(queries.size());
}

}  // namespace attune::inline v0_1::detail
