// SPDX-License-Identifier: Apache-2.0
#pragma once

// Directions that stand for the directions of many rows (Dhillon & Modha 2001).

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/executor.hpp"
#include "attune/model/scorer_rows.hpp"

namespace attune::inline v0_1 {

// centroids [count][stride] of norm 1 from a sample of the scorable rows, of which there are as many at least. The same
// for any number of threads.
std::vector<float> spherical_k_means(const ScorerRows<float>& rows, std::size_t count, std::uint64_t seed,
                                     Executor& executor);

// Of each of `count` rows, `stride` wide, the centroid with the largest dot product, the first of several.
std::vector<std::uint32_t> nearest_centroids(const float* rows, std::size_t count, std::size_t stride,
                                             std::span<const float> centroids, Executor& executor);

}  // namespace attune::inline v0_1
