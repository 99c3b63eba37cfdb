// SPDX-License-Identifier: Apache-2.0
#include "attune/training/trainer.hpp"

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "platform/clock.hpp"
#include "training/learner.hpp"
#include "training/training_state.hpp"
#include "training/validation.hpp"

namespace attune::inline v0_1 {

namespace {

using platform::Clock;
using platform::seconds_since;

// The seconds that training may take, of which some are spent; 0: as many as it likes.
class TimeBudget {
 public:
  TimeBudget(double seconds, double spent)
      : seconds_(seconds == 0 ? std::numeric_limits<double>::infinity() : seconds), spent_(spent) {}
  double spent() const { return spent_ + seconds_since(start_); }
  double left() const { return std::max(0.0, seconds_ - spent()); }

 private:
  double seconds_, spent_;
  Clock::time_point start_ = Clock::now();
};

TrainedModel prepare_model(const Histories& train, const EvaluationQueries& validation, const TrainerConfig& config,
                           Executor& executor) {
  if (!train.item_ids || train.num_events() == 0) {
    throw Error(ErrorCode::invalid_data, "training histories: expected events and item ids, found none");
  }
  TrainedModel model;
  model.item_ids = train.item_ids;
  model.popularity = std::make_shared<const PopularityModel>(PopularityModel::fit(train, config.popularity));
  model.counts =
      config.counts == CountKind::popularity ? model.popularity : fit_counts(train, config.count_options(), &executor);
  model.histories = validation.histories ? validation.histories : std::make_shared<const Histories>(train);
  return model;
}

constexpr std::size_t kCalibratedItems = 50;  // of each list
constexpr double kBlendWeights[] = {0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0};

// The heaviest weight whose validation NDCG@10 comes within one hundredth of the best: counts age more slowly than an
// encoder, and what is served is newer than what validates. 0 where no weight beats the encoder alone.
double choose_blend_weight(TrainedModel model, const EvaluationQueries& queries, const EvaluationOptions& measuring,
                           double encoder_ndcg, const TimeBudget& budget, const Progress& progress) {
  std::vector<BlendReport> tried;
  double best = encoder_ndcg;
  for (const double weight : kBlendWeights) {
    if (budget.left() == 0) break;
    model.blend_weight = weight;
    tried.push_back({.weight = weight, .ndcg_10 = evaluate(model, queries, measuring).ndcg_at(10)});
    best = std::max(best, tried.back().ndcg_10);
    if (progress.blend && !progress.blend(tried.back())) break;
  }
  double chosen = 0;
  for (const BlendReport& report : tried) {
    if (best > encoder_ndcg && report.ndcg_10 >= 0.99 * best) chosen = report.weight;
  }
  return chosen;
}

// What stands behind the best encoder, each as long as there is time: the weight of the blend, then the order of the
// best, then what the scores of such lists are worth.
RankerReport finish(TrainedModel& model, const TrainerConfig& config, const EvaluationQueries& queries,
                    const EvaluationOptions& measuring, double encoder_ndcg, const TimeBudget& budget,
                    const Progress& progress) {
  RankerReport report;
  if (config.blend) {
    model.blend_weight = choose_blend_weight(model, queries, measuring, encoder_ndcg, budget, progress);
  }
  if (config.rerank && budget.left() > 0) {
    FittedRanker fitted = fit_ranker(
        model, queries,
        {.candidates = config.rerank_candidates, .exclude_seen = config.exclude_seen, .executor = measuring.executor});
    model.ranker = std::move(fitted.ranker);
    report = fitted.report;
  }
  if (config.calibrate && budget.left() > 0) {
    EvaluationOptions listing = measuring;
    listing.outcomes = kCalibratedItems;
    model.calibration = Calibration::isotonic(evaluate(model, queries, listing).outcomes);
  }
  return report;
}

// The last epoch that the budget has room for, with what finish() measures behind it, when each validation takes as
// long as the one reported.
std::size_t fitting_epochs(const TrainerConfig& config, const EpochReport& report, double epoch_seconds, bool blend,
                           const TimeBudget& budget) {
  const double validation = epoch_seconds - report.seconds;
  const std::size_t validations =
      (blend ? std::size(kBlendWeights) : 0) + (config.calibrate ? 1 : 0) + (config.rerank ? 1 : 0);
  const double reserved = static_cast<double>(validations) * validation;
  const double fitting = std::max(0.0, budget.left() - reserved) / epoch_seconds;
  return report.epoch + static_cast<std::size_t>(std::min(fitting, static_cast<double>(config.epochs - report.epoch)));
}

}  // namespace

Trainer::Trainer(TrainerConfig config, Executor* executor) : config_(std::move(config)), executor_(executor) {
  config_.validate();
}

TrainedModel Trainer::fit(const Histories& train, const EvaluationQueries& validation, const Progress& progress,
                          const StateFile& file) {
  epochs_.clear();
  best_epoch_ = resumed_epochs_ = 0;
  ranker_ = {};
  train_seconds_ = 0;
  InlineExecutor calling_thread;
  Executor& executor = executor_ ? *executor_ : calling_thread;
  const TrainerConfig config = config_.adapted_to(train);
  if (config.counts_alone) {
    const auto start = Clock::now();
    TrainedModel model = prepare_model(train, validation, config, executor);
    train_seconds_ = seconds_since(start);
    model.notes["trainer"] = config.to_json();
    return model;
  }
  detail::Learner learner(config, train, executor);
  detail::TrainingState state{.planned = config.epochs};
  const detail::StateStore store(file, config, train, validation);
  store.load(state, learner);
  resumed_epochs_ = state.epochs.size();
  publish(state);
  TrainedModel model = prepare_model(train, validation, config, executor);
  const EvaluationQueries queries = detail::validation_sample(validation, config);
  const EvaluationOptions measuring = detail::validation_options(config, executor);
  const TimeBudget budget(config.time_budget_seconds, state.seconds);
  const bool blend = config.blend && !queries.empty();
  bool stopped = false;
  while (!stopped && state.goes_on(config.patience)) {
    const auto epoch_start = Clock::now();
    EpochReport report{.epoch = state.epochs.size() + 1, .epochs = state.planned};
    const auto loss = learner.train_epoch(report.epoch, report.epochs, progress.step);
    stopped = !loss;
    if (stopped) break;
    report.loss = *loss;
    report.seconds = seconds_since(epoch_start);

    learner.copy_weights(*state.spare_encoder(learner));
    model.encoder = state.spare;
    detail::validate(report, model, queries, measuring);
    state.add(report);
    state.planned = fitting_epochs(config, report, seconds_since(epoch_start), blend, budget);
    state.seconds = budget.spent();
    store.save(state, learner);
    publish(state);
    stopped = progress.epoch && !progress.epoch(epochs_.back());
  }
  if (!state.best) throw Error(ErrorCode::cancelled, "training: stopped before the first epoch ended");
  model.encoder = std::move(state.best);
  if (!queries.empty() && !stopped) {
    ranker_ = finish(model, config, queries, measuring, epochs_[best_epoch_ - 1].ndcg_10, budget, progress);
  }
  model.notes["trainer"] = config.to_json();
  model.notes["best_epoch"] = std::to_string(best_epoch_);
  return model;
}

void Trainer::publish(const detail::TrainingState& state) {
  epochs_ = state.epochs;
  best_epoch_ = state.best_epoch;
  train_seconds_ = 0;
  for (const EpochReport& report : epochs_) train_seconds_ += report.seconds;
}

}  // namespace attune::inline v0_1
