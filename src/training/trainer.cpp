// SPDX-License-Identifier: Apache-2.0
#include "attune/training/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "platform/clock.hpp"
#include "training/blending.hpp"
#include "training/learner.hpp"
#include "training/ranks.hpp"
#include "training/time_budget.hpp"
#include "training/training_state.hpp"
#include "training/validation.hpp"

namespace attune::inline v0_1 {

namespace {

using platform::Clock;
using platform::seconds_since;

void count(TrainedModel& model, const Histories& train, const TrainerConfig& config, Executor& executor) {
  model.popularity = std::make_shared<const PopularityModel>(PopularityModel::fit(train, config.popularity));
  model.counts =
      config.counts == CountKind::popularity ? model.popularity : fit_counts(train, config.count_options(), &executor);
}

TrainedModel prepare_model(const Histories& train, const EvaluationQueries& validation, const TrainerConfig& config,
                           Executor& executor) {
  if (!train.item_ids || train.num_events() == 0) {
    throw Error(ErrorCode::invalid_data, "training histories: expected events and item ids, found none");
  }
  TrainedModel model;
  model.item_ids = train.item_ids;
  count(model, train, config, executor);
  model.histories = validation.histories ? validation.histories : std::make_shared<const Histories>(train);
  return model;
}

constexpr std::size_t kCalibratedItems = 50;  // of each list
constexpr double kRefitMargin = 1.1;          // there is more to learn from, and the counts are fitted anew

// What else validation decides, in this order: counts and their weight, a ranker, and what a score is worth. False
// where somebody asked to stop.
bool weigh(TrainedModel& model, const Histories& train, const EvaluationQueries& queries,
           const EvaluationOptions& measuring, const TrainerConfig& config, const detail::TimeBudget& budget,
           const Progress& progress, RankerReport& ranker) {
  const bool stopped =
      config.blend && !detail::choose_blend(model, train, queries, measuring, config, budget, progress);
  if (config.rerank && !stopped && budget.left() > 0) {
    FittedRanker fitted = fit_ranker(
        model, queries,
        {.candidates = config.rerank_candidates, .exclude_seen = config.exclude_seen, .executor = measuring.executor});
    model.ranker = std::move(fitted.ranker);
    ranker = fitted.report;
  }
  if (config.calibrate && !stopped && budget.left() > 0) {
    EvaluationOptions listing = measuring;
    listing.outcomes = kCalibratedItems;
    model.calibration = Calibration::isotonic(evaluate(model, queries, listing).outcomes);
  }
  return !stopped;
}

// The last epoch that the budget has room for, with what weigh() measures and as many epochs of a refit behind it, when
// each takes as long as the one reported.
std::size_t fitting_epochs(const TrainerConfig& config, const EpochReport& report, double epoch_seconds, bool validates,
                           const detail::TimeBudget& budget) {
  const double validation = epoch_seconds - report.seconds;
  const std::size_t validations =
      !validates ? 0 : detail::blending_validations(config) + (config.rerank ? 1 : 0) + (config.calibrate ? 1 : 0);
  const double refit = config.refit && validates ? report.seconds : 0.0;  // for each epoch
  const double reserved = static_cast<double>(validations) * validation + static_cast<double>(report.epoch) * refit;
  const double fitting = std::max(0.0, budget.left() - reserved) / (epoch_seconds + refit);
  return report.epoch + static_cast<std::size_t>(std::min(fitting, static_cast<double>(config.epochs - report.epoch)));
}

}  // namespace

Trainer::Trainer(TrainerConfig config, Executor* executor, Communicator* ranks)
    : config_(std::move(config)), executor_(executor), ranks_(ranks && ranks->size() > 1 ? ranks : nullptr) {
  config_.validate();
}

TrainedModel Trainer::fit(const Histories& train, const EvaluationQueries& validation, const Progress& progress,
                          const StateFile& file) {
  epochs_.clear();
  best_epoch_ = resumed_epochs_ = 0;
  ranker_ = {};
  refitted_ = false;
  train_seconds_ = 0;
  InlineExecutor calling_thread;
  Executor& executor = executor_ ? *executor_ : calling_thread;
  const TrainerConfig config = config_.adapted_to(train);
  if (ranks_) detail::require_same_training(*ranks_, config, train, validation);
  if (config.refit) with_targets(train, validation);  // what it refuses is better refused before all epochs
  const bool leads = !ranks_ || ranks_->rank() == 0;
  if (config.counts_alone) return leads ? fit_counts_alone(train, validation, config, executor) : TrainedModel();
  if (!leads) {
    detail::follow(*ranks_, config, train, validation, prepare_model(train, validation, config, executor), executor);
    return {};
  }
  return fit_encoder(train, validation, config, executor, progress, file);
}

TrainedModel Trainer::fit_encoder(const Histories& train, const EvaluationQueries& validation, TrainerConfig config,
                                  Executor& executor, const Progress& progress, const StateFile& file) {
  const auto start = Clock::now();
  std::optional<detail::Learner> learner(std::in_place, config, train, executor, ranks_);
  const double asking = config.teacher ? seconds_since(start) : 0.0;  // the teacher, before a refit once more
  TrainedModel model = prepare_model(train, validation, config, executor);
  detail::Lead lead(ranks_);  // what was wrong until here is wrong at all ranks
  detail::TrainingState state{.planned = config.epochs};
  const detail::StateStore store(file, config, train, validation);
  store.load(state, *learner);
  if (ranks_) lead.together({.kind = detail::Order::Kind::state}, [&] { return share_state(*ranks_, *learner); });
  resumed_epochs_ = state.epochs.size();
  publish(state);
  const EvaluationQueries queries = detail::validation_sample(validation, config);
  const EvaluationOptions measuring = detail::validation_options(config, executor);
  detail::TimeBudget budget(config.time_budget_seconds, state.seconds + asking, config.refit ? asking : 0.0);
  bool stopped = false;
  while (!stopped && state.goes_on(config.patience)) {
    const auto epoch_start = Clock::now();
    EpochReport report{.epoch = state.epochs.size() + 1, .epochs = state.planned};
    stopped = !lead.together({.epoch = report.epoch, .planned = report.epochs}, [&] {
      const auto loss = learner->train_epoch(report.epoch, report.epochs, progress.step);
      if (!loss) return false;
      report.loss = *loss;
      report.seconds = seconds_since(epoch_start);
      learner->copy_weights(*state.spare_encoder(*learner));
      model.encoder = state.spare;
      detail::validate(report, model, queries, measuring, ranks_);
      return true;
    });
    if (stopped) break;
    state.add(report);
    state.planned = fitting_epochs(config, report, seconds_since(epoch_start), !queries.empty(), budget);
    state.seconds = budget.spent();
    store.save(state, *learner);
    publish(state);
    stopped = progress.epoch && !progress.epoch(epochs_.back());
  }
  if (!state.best) throw Error(ErrorCode::cancelled, "training: stopped before the first epoch ended");
  model.encoder = std::move(state.best);
  const double refit_seconds =
      asking + kRefitMargin * train_seconds_ * static_cast<double>(best_epoch_) / static_cast<double>(epochs_.size());
  if (config.refit) budget.reserve(refit_seconds);
  const bool chosen =
      !stopped && !queries.empty() && weigh(model, train, queries, measuring, config, budget, progress, ranker_);
  budget.reserve(0);
  for (const CountKind rival : detail::rivals_of(config)) {
    if (model.counts->name() == to_string(rival)) config.counts = rival;
  }
  if (config.refit && chosen && refit_seconds <= budget.left()) {
    learner.reset();  // it takes as much memory as the next one
    refitted_ = refit(model, config, with_targets(train, validation), state.planned, executor, progress, lead);
  }
  model.notes["trainer"] = config.to_json();
  model.notes["best_epoch"] = std::to_string(best_epoch_);
  return model;
}

TrainedModel Trainer::fit_counts_alone(const Histories& train, const EvaluationQueries& validation,
                                       const TrainerConfig& config, Executor& executor) {
  const auto start = Clock::now();
  refitted_ = config.refit && !validation.empty();
  TrainedModel model = prepare_model(refitted_ ? with_targets(train, validation) : train, validation, config, executor);
  train_seconds_ = seconds_since(start);
  model.notes["trainer"] = config.to_json();
  return model;
}

// As many epochs as were best of those planned. False, and the model as it was, where `progress` asked to stop or the
// weights diverge.
bool Trainer::refit(TrainedModel& model, const TrainerConfig& config, const Histories& learned, std::size_t planned,
                    Executor& executor, const Progress& progress, detail::Lead& lead) {
  lead.tell({.kind = detail::Order::Kind::refit});
  detail::Learner learner(config, learned, executor, ranks_);
  std::function<bool(const StepReport&)> step;
  if (progress.step) {
    step = [&](StepReport report) {
      report.refit = true;
      return progress.step(report);
    };
  }
  EpochReport report{.epochs = best_epoch_};
  while (report.epoch < best_epoch_) {
    ++report.epoch;
    const auto start = Clock::now();
    const auto loss = lead.together({.epoch = report.epoch, .planned = planned},
                                    [&] { return detail::refit_epoch(learner, report.epoch, planned, step); });
    if (!loss) return false;
    report.loss = *loss;
    report.seconds = seconds_since(start);
    train_seconds_ += report.seconds;
    if (progress.refit && !progress.refit(report)) return false;
  }
  auto encoder = make_encoder(learner.encoder_config(), learner.num_items());
  learner.copy_weights(*encoder);
  model.encoder = std::move(encoder);
  count(model, learned, config, executor);
  return true;
}

void Trainer::publish(const detail::TrainingState& state) {
  epochs_ = state.epochs;
  best_epoch_ = state.best_epoch;
  train_seconds_ = 0;
  for (const EpochReport& report : epochs_) train_seconds_ += report.seconds;
}

}  // namespace attune::inline v0_1
