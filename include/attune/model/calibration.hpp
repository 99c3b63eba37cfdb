// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a score is worth: the probability that the user's next event is on the item that got it. Stands beside a model
// and turns the scores of its answers into probabilities. A value; const members are safe from any thread.

#include <cstddef>
#include <span>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

// An item that was recommended, and whether the user's next event was on it.
struct Outcome {
  float score;
  bool happened;
};

// A function that never falls: linear between its knots, constant beyond them.
struct ATTUNE_EXPORT Calibration {
  std::vector<float> scores;         // [K], rising
  std::vector<float> probabilities;  // [K], in [0, 1], never falling

  static constexpr std::size_t kMaxKnots = 64;

  // Isotonic regression by pooling adjacent violators (Zadrozny & Elkan 2002) of outcomes in any order. Neighbouring
  // pools are joined until there are at most kMaxKnots, and each becomes a knot at its mean score. Scores that are not
  // finite are left out. Empty without outcomes.
  static Calibration isotonic(std::vector<Outcome> outcomes);

  bool empty() const noexcept { return scores.empty(); }
  // NaN for an empty one and for a score that is NaN.
  float operator()(float score) const noexcept;
  // Throws Error(invalid_argument): sizes that differ, more than kMaxKnots, scores that do not rise, probabilities that
  // fall or lie outside [0, 1].
  void validate() const;
};

// How far probabilities are from what happened: outcomes in order of their score, in `bins` groups of the same size,
// mean over the outcomes of |mean probability - share that happened| of their group (Guo et al. 2017, with groups of
// equal size). 0 without outcomes.
ATTUNE_EXPORT double expected_calibration_error(const Calibration& calibration, std::vector<Outcome> outcomes,
                                                std::size_t bins = 10);

}  // namespace attune::inline v0_1
