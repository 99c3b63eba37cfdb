// SPDX-License-Identifier: Apache-2.0
#include "training/segments.hpp"

#include <algorithm>
#include <cmath>

#include "training/bootstrap.hpp"

namespace attune::inline v0_1::detail {

namespace {

// Two groups: the queries that `first` holds for, and the others.
template <class Predicate>
void add_pair(std::vector<QueryGroup>& groups, const std::string& grouping, const std::string& name,
              const std::string& other, const EvaluationQueries& queries, Predicate first) {
  QueryGroup holds{grouping, name, {}}, others{grouping, other, {}};
  for (std::size_t q = 0; q < queries.size(); ++q) (first(queries.queries[q]) ? holds : others).queries.push_back(q);
  groups.push_back(std::move(holds));
  groups.push_back(std::move(others));
}

void add_user_groups(std::vector<QueryGroup>& groups, const UserGroups& by, const EvaluationQueries& queries) {
  const std::size_t first = groups.size();
  for (const std::string& name : by.of_user->names()) groups.push_back({by.name, name, {}});
  for (std::size_t q = 0; q < queries.size(); ++q) {
    for (const std::uint32_t group : by.of_user->of(queries.queries[q].user)) {
      groups[first + group].queries.push_back(q);
    }
  }
}

}  // namespace

std::vector<QueryGroup> query_groups(const EvaluationQueries& queries, std::span<const std::uint64_t> training_counts,
                                     const EvaluationOptions& options) {
  using Query = EvaluationQueries::Query;
  std::vector<QueryGroup> groups;
  if (options.segments) {
    add_pair(groups, "history", "cold", "warm", queries,
             [&](const Query& query) { return query.history_length < options.cold_below; });
    const std::vector<bool> head = part_of_items(training_counts, Trained::most, 5);
    add_pair(groups, "target", "head", "tail", queries, [&](const Query& query) {
      const auto targets = queries.targets(query);
      return std::any_of(targets.begin(), targets.end(),
                         [&](ItemHandle item) { return item < head.size() && head[item]; });
    });
  }
  for (const UserGroups& by : options.user_groups) add_user_groups(groups, by, queries);
  std::erase_if(groups, [](const QueryGroup& group) { return group.queries.empty(); });
  return groups;
}

Segment measure_segment(const QueryGroup& group, const MetricSet& metrics, const EvaluationQueries& queries,
                        std::span<const double> values, const EvaluationOptions& options, Executor& executor) {
  const std::size_t width = metrics.per_query();
  UserSums users{metrics.names(), {}, {}};
  std::size_t row = 0;
  for (std::size_t i = 0; i < group.queries.size(); ++i) {
    const auto user_of = [&](std::size_t at) { return queries.queries[group.queries[at]].user; };
    if (i == 0 || user_of(i) != user_of(i - 1)) {
      row = users.sums.size();
      users.sums.resize(row + width, 0.0);
      users.queries.push_back(0);
    }
    ++users.queries.back();
    for (std::size_t m = 0; m < width; ++m) users.sums[row + m] += values[group.queries[i] * width + m];
  }
  return {group.grouping,
          group.group,
          group.queries.size(),
          users.queries.size(),
          metrics.named(means_of(users)),
          intervals_of(users, options.bootstrap, options.seed, executor)};
}

std::vector<ProviderExposure> provider_exposure(const Categories& providers, std::span<const std::uint64_t> shown,
                                                std::size_t num_items) {
  std::vector<ProviderExposure> all;
  for (const std::string& name : providers.names()) all.push_back({name, 0.0, 0.0});
  double exposure = 0, catalogue = 0;
  for (std::size_t item = 0; item < num_items; ++item) {
    const auto own = providers.of(item);
    if (own.empty()) continue;
    double seen = 0;
    for (std::size_t rank = 0; rank * num_items < shown.size(); ++rank) {
      seen += static_cast<double>(shown[rank * num_items + item]) / std::log2(static_cast<double>(rank) + 2.0);
    }
    for (const std::uint32_t provider : own) {
      all[provider].exposure += seen / static_cast<double>(own.size());
      all[provider].catalogue += 1.0 / static_cast<double>(own.size());
    }
    exposure += seen;
    catalogue += 1.0;
  }
  for (ProviderExposure& provider : all) {
    if (exposure > 0) provider.exposure /= exposure;
    provider.catalogue /= catalogue;
  }
  return all;
}

}  // namespace attune::inline v0_1::detail
