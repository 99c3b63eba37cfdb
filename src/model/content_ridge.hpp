// SPDX-License-Identifier: Apache-2.0
#pragma once

// The least squares of ContentTower, by the kernel of the items where they are few, else by conjugate gradients.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/data/feature_table.hpp"
#include "attune/executor.hpp"
#include "attune/model/content_tower.hpp"

namespace attune::inline v0_1::detail {

// Items to learn from: row i of the features and vectors [n, dim], less their mean.
struct RidgeProblem {
  const FeatureTable& features;
  std::span<const std::uint32_t> rows;  // [n] of the features
  std::span<const float> vectors;       // [n, dim]
  std::size_t dim;
};

struct RidgeChoice {
  double ridge = 1;
  std::vector<double> importance;
  double explained = 0;
};

// What predicts every fifth of some of the items best; `given` says what is settled.
RidgeChoice choose_ridge(const RidgeProblem& problem, const ContentTowerOptions& given, Executor& executor);
// [features], each [width, dim].
std::vector<std::vector<float>> solve_ridge(const RidgeProblem& problem, const RidgeChoice& choice, Executor& executor);

}  // namespace attune::inline v0_1::detail
