// SPDX-License-Identifier: Apache-2.0
#pragma once

// Groups of queries measured apart, and who is shown.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "attune/training/evaluation.hpp"
#include "training/metrics.hpp"

namespace attune::inline v0_1::detail {

struct QueryGroup {
  std::string grouping, group;
  std::vector<std::size_t> queries;  // ascending
};

// Those that the options ask for and that hold a query.
std::vector<QueryGroup> query_groups(const EvaluationQueries& queries, std::span<const std::uint64_t> training_counts,
                                     const EvaluationOptions& options);

// `values` [queries, metrics.per_query()]: what each query adds to the sums.
Segment measure_segment(const QueryGroup& group, const MetricSet& metrics, const EvaluationQueries& queries,
                        std::span<const double> values, const EvaluationOptions& options, Executor& executor);

// `shown` [cutoff, items]: how often each item stood at each rank.
std::vector<ProviderExposure> provider_exposure(const Categories& providers, std::span<const std::uint64_t> shown,
                                                std::size_t num_items);

}  // namespace attune::inline v0_1::detail
