// SPDX-License-Identifier: Apache-2.0
#include "training/bootstrap.hpp"

#include <algorithm>
#include <numeric>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"

namespace attune::inline v0_1::detail {

std::vector<double> means_of(const UserSums& users) {
  const std::size_t width = users.names.size();
  std::vector<double> means(width, 0.0);
  for (std::size_t i = 0; i < users.sums.size(); ++i) means[i % width] += users.sums[i];
  const auto queries = std::accumulate(users.queries.begin(), users.queries.end(), std::uint64_t{0});
  for (double& mean : means) mean /= static_cast<double>(queries);
  return means;
}

std::vector<double> resampled_means(const UserSums& users, std::size_t resamples, std::uint64_t seed,
                                    Executor& executor) {
  const std::size_t width = users.names.size(), num_users = users.queries.size();
  std::vector<double> means(resamples * width, 0.0);
  std::vector<std::vector<double>> scratch(executor.concurrency());
  executor.run(resamples, [&](std::size_t resample, std::size_t worker) {
    std::vector<double>& mean = scratch[worker];
    mean.assign(width, 0.0);
    double queries = 0;
    const std::uint64_t stream = stream_of(seed, Purpose::bootstrap, resample);
    for (std::size_t draw = 0; draw < num_users; ++draw) {
      const std::size_t user = mix(stream, draw) % num_users;
      queries += users.queries[user];
      for (std::size_t i = 0; i < width; ++i) mean[i] += users.sums[user * width + i];
    }
    for (std::size_t i = 0; i < width; ++i) means[i * resamples + resample] = mean[i] / queries;
  });
  return means;
}

std::array<double, 2> interval_of(std::span<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t low = values.size() / 40;
  return {values[low], values[values.size() - 1 - low]};
}

std::map<std::string, std::array<double, 2>> intervals_of(const UserSums& users, std::size_t resamples,
                                                          std::uint64_t seed, Executor& executor) {
  std::map<std::string, std::array<double, 2>> intervals;
  if (users.queries.empty() || resamples == 0) return intervals;
  std::vector<double> means = resampled_means(users, resamples, seed, executor);
  for (std::size_t i = 0; i < users.names.size(); ++i) {
    intervals[users.names[i]] = interval_of(std::span(means).subspan(i * resamples, resamples));
  }
  return intervals;
}

}  // namespace attune::inline v0_1::detail

namespace attune::inline v0_1 {

namespace {

std::size_t column_of(const UserSums& users, const std::string& metric) {
  const auto found = std::find(users.names.begin(), users.names.end(), metric);
  if (found != users.names.end()) return static_cast<std::size_t>(found - users.names.begin());
  throw Error(ErrorCode::invalid_argument, "paired bootstrap: expected evaluations with " + metric + ", found one " +
                                               (users.names.empty() ? "that kept no sums of users" : "without"));
}

void check_comparable(const UserSums& first, const UserSums& second) {
  if (first.queries.size() != second.queries.size()) {
    throw Error(ErrorCode::invalid_argument, "paired bootstrap: expected evaluations of the same queries, found " +
                                                 std::to_string(first.queries.size()) + " and " +
                                                 std::to_string(second.queries.size()) + " users");
  }
  if (first.fingerprint != second.fingerprint || first.queries != second.queries) {
    throw Error(ErrorCode::invalid_argument,
                "paired bootstrap: expected evaluations of the same queries, found other users, places in their "
                "histories, seen items, request times or samples");
  }
  if (first.queries.empty()) {
    throw Error(ErrorCode::invalid_argument, "paired bootstrap: expected evaluations of queries, found none");
  }
}

}  // namespace

std::map<std::string, PairedDifference> paired_bootstrap(const UserSums& first, const UserSums& second,
                                                         const PairedOptions& options) {
  UserSums differences{options.metrics, {}, first.queries};
  std::vector<std::array<std::size_t, 2>> columns;
  for (const std::string& metric : options.metrics) {
    columns.push_back({column_of(first, metric), column_of(second, metric)});
  }
  check_comparable(first, second);
  for (std::size_t user = 0; user < first.queries.size(); ++user) {
    for (const auto& [of_first, of_second] : columns) {
      differences.sums.push_back(first.sums[user * first.names.size() + of_first] -
                                 second.sums[user * second.names.size() + of_second]);
    }
  }
  InlineExecutor calling_thread;
  Executor& executor = options.executor ? *options.executor : calling_thread;
  const std::size_t resamples = std::max<std::size_t>(1, options.resamples);
  const std::vector<double> means = detail::means_of(differences);
  std::vector<double> resampled = detail::resampled_means(differences, resamples, options.seed, executor);
  std::map<std::string, PairedDifference> result;
  for (std::size_t i = 0; i < options.metrics.size(); ++i) {
    const auto values = std::span(resampled).subspan(i * resamples, resamples);
    const auto above = std::count_if(values.begin(), values.end(), [](double value) { return value > 0; });
    result[options.metrics[i]] = {means[i], detail::interval_of(values),
                                  static_cast<double>(above) / static_cast<double>(resamples)};
  }
  return result;
}

}  // namespace attune::inline v0_1
