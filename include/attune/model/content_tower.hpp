// SPDX-License-Identifier: Apache-2.0
#pragma once

// From the features of an item to the vector that training would have given it, so that an item nobody has chosen yet
// is ranked by the same scorer, in the same space, as all others. Immutable: safe from any number of threads.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "attune/executor.hpp"
#include "attune/model/featurizer.hpp"
#include "attune/model/scorer_rows.hpp"

namespace attune::inline v0_1 {

struct ContentTowerOptions {
  // Of the penalty on the squared weights. 0: what predicts the vectors of held-out items best.
  double ridge = 0;
  // How much each feature counts, [num_features()]; empty: the same.
  std::vector<double> importance = {};
  Executor* executor = nullptr;  // null: the calling thread
};

struct ContentTowerReport {
  std::size_t items = 0;           // that it learned from
  double ridge = 0;                // that was taken
  std::vector<double> importance;  // the same, by feature; 0: it says nothing that others do not
  // Of held-out items, 1 - squared error / squared error of the mean vector: 1 all of a vector follows from features, 0
  // nothing does. NaN where there were too few items to hold any out.
  double explained = 0;
};

// vector = mean + sum over features f of x_f W_f, where W minimises the squared error over the items that were trained
// plus ridge * sum |W_f|^2 / importance_f^2 (Hoerl and Kennard 1970). A least-squares prediction is the mean of what
// the vector may be: where features say little it is short, so that a cosine score with it is the score to be expected
// and not that of an item whose vector is known.
class ATTUNE_EXPORT ContentTower {
 public:
  // Row i of the features is of the item of row i of the targets; items that are not scorable, or that no feature says
  // anything of, teach nothing. Importance and ridge that are not given are chosen by the error on every fifth of at
  // most 1,024 items. Up to 6,144 items it is solved directly (n^3 / 3 and 8 n^2 bytes), beyond by conjugate gradients.
  // Throws Error: invalid_argument (options out of range, tables of different sizes), invalid_data (fewer than two
  // items to learn from).
  static ContentTower fit(Featurizer featurizer, const FeatureTable& features, const ScorerRows<float>& targets,
                          const ContentTowerOptions& options = {}, ContentTowerReport* report = nullptr);

  std::size_t dim() const noexcept { return mean_.size(); }
  const Featurizer& featurizer() const noexcept { return featurizer_; }
  // Of the vectors that were learned from, the mean: 1 under cosine.
  float mean_length() const noexcept { return mean_length_; }
  // The vector [dim()] of a row of a table of the featurizer; false, and zeros, where all of it is missing.
  bool embed(std::span<float> vector, const FeatureTable& features, std::size_t row) const noexcept;
  // What column c of a feature adds to the vector for each 1 of its value: row c of [width(feature), dim()].
  std::span<const float> weights(std::size_t feature) const noexcept { return weights_[feature]; }

  // Adds tensors whose names begin with "content."; the tower must live until writer.bytes().
  void write(SafetensorsWriter& writer) const;
  // Throws Error as Featurizer::read does.
  static ContentTower read(const SafetensorsFile& file);

 private:
  Featurizer featurizer_;
  std::vector<float> mean_;  // [dim]
  float mean_length_ = 0;
  std::vector<std::vector<float>> weights_;  // [features], each [width, dim]
};

}  // namespace attune::inline v0_1
