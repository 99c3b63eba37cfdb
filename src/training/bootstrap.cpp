// SPDX-License-Identifier: Apache-2.0
#include "training/bootstrap.hpp"

#include <algorithm>
#include <numeric>

#include "attune/detail/dropout.hpp"

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
