// SPDX-License-Identifier: Apache-2.0
#include "attune/model/content_tower.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "attune/error.hpp"
#include "model/content_ridge.hpp"

namespace attune::inline v0_1 {
namespace {

void check(const ContentTowerOptions& options, const FeatureTable& features, const ScorerRows<float>& targets) {
  const auto refuse = [](const std::string& what) {
    throw Error(ErrorCode::invalid_argument, "ContentTower::fit: " + what);
  };
  if (!(options.ridge >= 0) || !std::isfinite(options.ridge)) {
    refuse("ridge: expected a number from 0, found " + std::to_string(options.ridge));
  }
  if (!options.importance.empty() && options.importance.size() != features.num_features()) {
    refuse("importance: expected " + std::to_string(features.num_features()) + " numbers, found " +
           std::to_string(options.importance.size()));
  }
  for (const double importance : options.importance) {
    if (importance >= 0 && std::isfinite(importance)) continue;
    refuse("importance: expected numbers from 0, found " + std::to_string(importance));
  }
  if (features.rows() > targets.size()) {
    refuse("features of " + std::to_string(features.rows()) + " items for vectors of " +
           std::to_string(targets.size()));
  }
}

bool says_something(const FeatureTable& features, std::size_t row) noexcept {
  for (std::size_t f = 0; f < features.num_features(); ++f) {
    if (!features.of(row, f).missing()) return true;
  }
  return false;
}

std::string weights_name(std::size_t feature) { return "content.weights." + std::to_string(feature); }

}  // namespace

ContentTower ContentTower::fit(Featurizer featurizer, const FeatureTable& features, const ScorerRows<float>& targets,
                               const ContentTowerOptions& options, ContentTowerReport* report) {
  check(options, features, targets);
  InlineExecutor calling_thread;
  Executor& executor = options.executor ? *options.executor : calling_thread;
  const std::size_t dim = targets.dim();
  std::vector<std::uint32_t> rows;
  for (std::uint32_t row = 0; row < features.rows(); ++row) {
    if (targets.scorable(row) && says_something(features, row)) rows.push_back(row);
  }
  if (rows.size() < 2) {
    throw Error(ErrorCode::invalid_data,
                "ContentTower::fit: expected at least two trained items with features, found " +
                    std::to_string(rows.size()) + " among " + std::to_string(targets.size()));
  }
  std::vector<double> sums(dim);
  double lengths = 0;
  for (const std::uint32_t row : rows) {
    double square = 0;
    for (std::size_t d = 0; d < dim; ++d) {
      const auto x = static_cast<double>(targets.row(row)[d]);
      sums[d] += x;
      square += x * x;
    }
    lengths += std::sqrt(square);
  }
  ContentTower tower;
  tower.mean_length_ = static_cast<float>(lengths / static_cast<double>(rows.size()));
  tower.featurizer_ = std::move(featurizer);
  for (const double sum : sums) tower.mean_.push_back(static_cast<float>(sum / static_cast<double>(rows.size())));
  std::vector<float> vectors;
  for (const std::uint32_t row : rows) {
    for (std::size_t d = 0; d < dim; ++d) vectors.push_back(targets.row(row)[d] - tower.mean_[d]);
  }
  const detail::RidgeProblem problem{features, rows, vectors, dim};
  const detail::RidgeChoice choice = detail::choose_ridge(problem, options, executor);
  tower.weights_ = detail::solve_ridge(problem, choice, executor);
  if (report) *report = {rows.size(), choice.ridge, choice.importance, choice.explained};
  return tower;
}

bool ContentTower::embed(std::span<float> vector, const FeatureTable& features, std::size_t row) const noexcept {
  const bool something = says_something(features, row);
  if (!something) {
    std::ranges::fill(vector, 0.0f);
    return false;
  }
  std::ranges::copy(mean_, vector.begin());
  for (std::size_t f = 0; f < weights_.size(); ++f) {
    const FeatureBlock block = features.of(row, f);
    for (std::size_t c = 0; c < block.values.size(); ++c) {
      const float value = block.values[c];
      const float* const weights = weights_[f].data() + (block.columns.empty() ? c : block.columns[c]) * dim();
      for (std::size_t d = 0; d < vector.size(); ++d) vector[d] += value * weights[d];
    }
  }
  return true;
}

void ContentTower::write(SafetensorsWriter& writer) const {
  featurizer_.write(writer, "content.features.");
  writer.add("content.mean", {dim()}, std::span<const float>(mean_));
  writer.add("content.mean_length", {}, std::span<const float>(&mean_length_, 1));
  for (std::size_t f = 0; f < weights_.size(); ++f) {
    writer.add(weights_name(f), {featurizer_.width(f), dim()}, std::span<const float>(weights_[f]));
  }
}

ContentTower ContentTower::read(const SafetensorsFile& file) {
  ContentTower tower;
  tower.featurizer_ = Featurizer::read(file, "content.features.");
  const TensorInfo* const mean = file.find("content.mean");
  tower.mean_ = file.floats(file.require("content.mean", std::array{mean == nullptr ? 0 : mean->elements()}));
  tower.mean_length_ = file.floats(file.require("content.mean_length", {})).front();
  for (std::size_t f = 0; f < tower.featurizer_.num_features(); ++f) {
    tower.weights_.push_back(
        file.floats(file.require(weights_name(f), std::array{tower.featurizer_.width(f), tower.dim()})));
  }
  return tower;
}

}  // namespace attune::inline v0_1
