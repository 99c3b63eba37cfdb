// SPDX-License-Identifier: Apache-2.0
#pragma once

// A model and events that came after it -> the next model, without training anew: histories grow, counts are fitted on
// all of them, the encoder learns a few epochs at a falling rate from what is new, mixed with what is old.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/data/split.hpp"
#include "attune/executor.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/training/trainer.hpp"

namespace attune::inline v0_1 {

class Recommender;

struct ATTUNE_EXPORT UpdaterConfig {
  std::size_t epochs = 5;      // more learns more of the new events, and takes longer
  double learning_rate = 0.5;  // that falls to 0, as a share of the one the model was trained with; less changes less
  double replay = 2.0;         // old histories in an epoch for each one with new events; less is faster, and forgets
  // The newest share of the new events is kept in the histories, but not learned from: for measuring. 0: all is
  // learned.
  double held_out = 0.0;
  std::uint64_t seed = 1;

  // Throws Error(invalid_config) naming the field, what is allowed and what was given.
  void validate() const;
};

struct UpdateReport {
  std::size_t new_events = 0;    // that the model did not have, those held out included
  std::size_t known_events = 0;  // that it had, or that came twice
  std::size_t new_users = 0, new_items = 0;
  std::vector<EpochReport> epochs;
  double train_seconds = 0;
};

class ATTUNE_EXPORT Updater {
 public:
  explicit Updater(UpdaterConfig config = {}, Executor* executor = nullptr);  // null: the calling thread

  // The model with `events`, in whatever order, merged into its histories; ids are of the kinds of the model. An event
  // that it has already (same user, item, time and kind) changes nothing, and with no other there is nothing to learn:
  // the model comes back as it is. Otherwise popularity and counts are fitted on all events, with the options they had.
  // Items keep their handles and new ones follow; the row of an item that the encoder did not know begins at the mean
  // of those near it in the histories. Window, objective, blend weight, ranker and calibration stay those of the model.
  // The same seed gives the same bits for any number of threads. A model that only counts has no epochs. Progress that
  // returns false stops: the weights so far are the result. Throws Error: invalid_argument (a model without histories;
  // other kinds of ids), invalid_data (events without times for histories that have them), unsupported (an encoder or
  // counts of a host's own kind; a model that was trained privately), limit_exceeded (more than 256 event kinds),
  // non_finite.
  TrainedModel update(const TrainedModel& model, const InteractionLog& events, const Progress& progress = {});

  // Of the last update: what it found, and the events held out, each with the user's events before it.
  const UpdateReport& report() const noexcept { return report_; }
  const EvaluationQueries& held_out() const noexcept { return held_out_; }

 private:
  UpdaterConfig config_;
  Executor* executor_;
  UpdateReport report_;
  EvaluationQueries held_out_;
};

struct ServedUpdateOptions {
  // held_out is what both models are measured on; with 0 the new one takes over unmeasured.
  UpdaterConfig updater{.held_out = 0.1};
  // So much of the old model's NDCG@10 on the events held out, relative, the new one may lose and still take over.
  double tolerance = 0.02;
  bool exclude_seen = true, request_time = false;  // how they are measured, see EvaluationOptions
  std::string output = {};                         // where the new model is saved; empty: in the place of the old one
};

struct ServedUpdate {
  bool took_over = false;        // else the old model goes on, and nothing was saved
  UpdateReport update;           // of the update that was measured
  std::size_t queries = 0;       // events held out
  double before = 0, after = 0;  // NDCG@10 on them, old and new; 0 without any
};

// The model in `directory` learns `events` in the calling thread, while `recommender` goes on serving it. First without
// the newest events, to be measured on them beside the old model; where that is passed, the old model learns them all,
// and the result is saved and reloaded, without users who were forgotten meanwhile. Where it fails, or nothing is new,
// nothing changes. Progress tells of both trainings. Throws Error as TrainedModel::load, Updater::update,
// TrainedModel::save and Recommender::reload do, and invalid_config for a tolerance that is not in [0, 1]; the old
// model serves then.
ATTUNE_EXPORT ServedUpdate update_served(Recommender& recommender, const std::string& directory,
                                         const InteractionLog& events, const ServedUpdateOptions& options = {},
                                         Executor* executor = nullptr, const Progress& progress = {});

}  // namespace attune::inline v0_1
