// SPDX-License-Identifier: Apache-2.0
#pragma once

// Intervals by resampling users with replacement. Draw i of resample r depends on (seed, r, i) and the number of users
// alone.

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "attune/executor.hpp"
#include "attune/training/evaluation.hpp"

namespace attune::inline v0_1::detail {

// [metrics]: over the queries of all users, of which there is at least one.
std::vector<double> means_of(const UserSums& users);

// [metrics, resamples]: the means of each resample.
std::vector<double> resampled_means(const UserSums& users, std::size_t resamples, std::uint64_t seed,
                                    Executor& executor);

// The middle 95 % of the values, which it sorts; there is at least one.
std::array<double, 2> interval_of(std::span<double> values);

// Those of every metric; none without users or resamples.
std::map<std::string, std::array<double, 2>> intervals_of(const UserSums& users, std::size_t resamples,
                                                          std::uint64_t seed, Executor& executor);

}  // namespace attune::inline v0_1::detail
