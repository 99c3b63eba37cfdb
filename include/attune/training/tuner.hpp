// SPDX-License-Identifier: Apache-2.0
#pragma once

// Random search with asynchronous successive halving (Li et al. 2020, "A System for Massively Parallel Hyperparameter
// Tuning"), one trial at a time. Every trial is planned for all its epochs and stopped at rungs on the way there; of
// the trials that have reached a rung, the best in `eta` by validation NDCG@10 go on from where they stopped. What is
// done next follows from the results so far, so a search that was interrupted ends as it would have without.

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "attune/training/search_space.hpp"
#include "attune/training/trainer.hpp"

namespace attune::inline v0_1 {

struct TunerOptions {
  std::size_t trials = 27;     // configurations to try; fewer where the space has no more
  std::size_t eta = 3;         // 2 to 1000; larger: fewer go on
  std::size_t first_rung = 0;  // epochs before the first comparison; 0: about epochs / eta^2
  // 0: none. Nothing is begun that would not fit in by the seconds that epochs have taken, and nothing is finished that
  // does not. Counts the seconds on record of before an interruption too.
  double budget_seconds = 0;
  // For the journal of the search and the states of trials that may go on; made where there is none. One process at a
  // time may search in it.
  std::string directory = {};
  // Go on from the journal. Data, space, configuration and rungs must be the same; trials and budget may be larger.
  // Where there is no journal the search begins.
  bool resume = false;
};

struct TrialReport {
  std::size_t trial = 0;                 // from 1
  std::vector<std::string> values = {};  // of SearchSpace::parameters(), as JSON
  std::size_t rungs = 0;                 // reached
  std::vector<EpochReport> epochs = {};  // a count model alone has none
  std::size_t best_epoch = 0;
  double hit_rate_10 = 0, ndcg_10 = 0;  // of the best epoch, in validation
  double seconds = 0;                   // with validation
  bool ended = false;                   // all its epochs, or its patience, are over: going on changes nothing
  std::string problem = {};             // why it cannot be trained, and so has lost; "": it can
};

struct TuningResult {
  std::vector<TrialReport> trials = {};  // that have reached a rung, by number
  std::size_t best = 0;                  // place in `trials`
  TrainerConfig config;                  // of the best, to be trained with
  std::size_t resumed_rungs = 0;         // that an earlier part of the search had reached
  double seconds = 0;                    // of all parts
  bool complete = false;                 // false: the budget or the caller ended it
};

// Each may be empty. Returning false ends the search, within a rung as if the trial had not begun it; after the last
// epoch of a rung, which is then reached, before anything else begins.
struct TuningProgress {
  std::function<bool(const TrialReport&)> rung = {};  // a trial has reached one
  std::function<bool(std::size_t trial, const EpochReport&)> epoch = {};
  std::function<bool(std::size_t trial, const StepReport&)> step = {};
};

class ATTUNE_EXPORT Tuner {
 public:
  // `base` is what the space lays its values over. Throws Error(invalid_config) where the options do not fit, where
  // none of the configurations is valid, saying why the first is not, and where the space varies what no trial uses:
  // options of counts, or with counts alone any other.
  Tuner(const TrainerConfig& base, SearchSpace space, TunerOptions options, Executor* executor = nullptr);

  // Trials train without what comes after the epochs (blend, ranker, calibration, refit) and without a time budget of
  // their own, all with the seed of the configuration. One that is invalid, or diverges, loses; lack of memory ends the
  // search. A state in the directory that is of another
  // training counts as none. Throws Error: invalid_data (no validation queries); invalid_argument (the
  // directory holds another search or something else); limit_exceeded (the budget was too small for the first rung of
  // one trial) and cancelled (stopped before that): `resume` goes on from there; invalid_config (no trial could be
  // trained); io_error. Resuming throws as Trainer::fit does, naming the journal.
  TuningResult search(const Histories& train, const EvaluationQueries& validation, const TuningProgress& progress = {});

  const SearchSpace& space() const noexcept { return space_; }
  const std::vector<std::size_t>& rungs() const noexcept { return rungs_; }  // epochs, ascending; of counts alone {0}
  std::size_t trials() const noexcept { return samples_.size(); }            // different configurations to try
  // Of a trial, from 1. The configuration of one that is invalid throws Error(invalid_config).
  const std::vector<std::string>& values(std::size_t trial) const { return samples_[trial - 1]; }
  TrainerConfig config(std::size_t trial) const;

 private:
  void draw_samples();

  TrainerConfig base_;
  SearchSpace space_;
  TunerOptions options_;
  Executor* executor_;
  std::vector<std::vector<std::string>> samples_;  // values of each trial
  std::vector<std::size_t> rungs_;
};

}  // namespace attune::inline v0_1
