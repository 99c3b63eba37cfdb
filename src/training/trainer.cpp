// SPDX-License-Identifier: Apache-2.0
#include "attune/training/trainer.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "attune/error.hpp"
#include "training/learner.hpp"

namespace attune::inline v0_1 {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// At most `limit` queries, evenly spaced.
EvaluationQueries sample(const EvaluationQueries& queries, std::size_t limit) {
  if (queries.size() <= limit) return queries;
  EvaluationQueries chosen{queries.histories, {}};
  for (std::size_t i = 0; i < limit; ++i) chosen.queries.push_back(queries.queries[i * queries.size() / limit]);
  return chosen;
}

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

// The heaviest weight whose validation NDCG@10 comes within one hundredth of the best: counts age more slowly than an
// encoder, and what is served is newer than what validates. 0 where no weight beats the encoder alone.
double choose_blend_weight(TrainedModel model, const EvaluationQueries& queries, const EvaluationOptions& measuring,
                           double encoder_ndcg) {
  constexpr std::array kWeights{0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0};
  std::array<double, kWeights.size()> ndcg;
  for (std::size_t i = 0; i < kWeights.size(); ++i) {
    model.blend_weight = kWeights[i];
    ndcg[i] = evaluate(model, queries, measuring).ndcg_at(10);
  }
  const double best = *std::max_element(ndcg.begin(), ndcg.end());
  double weight = 0;
  for (std::size_t i = 0; i < kWeights.size(); ++i) {
    if (best > encoder_ndcg && ndcg[i] >= 0.99 * best) weight = kWeights[i];
  }
  return weight;
}

}  // namespace

Trainer::Trainer(TrainerConfig config, Executor* executor) : config_(std::move(config)), executor_(executor) {
  config_.validate();
}

TrainedModel Trainer::fit(const Histories& train, const EvaluationQueries& validation, const Progress& progress) {
  epochs_.clear();
  best_epoch_ = 0;
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
  TrainedModel model = prepare_model(train, validation, config, executor);
  const EvaluationQueries queries = sample(validation, config.max_validation_queries);
  const EvaluationOptions measuring{
      .cutoffs = {10}, .exclude_seen = config.exclude_seen, .bootstrap = 0, .executor = &executor};

  const auto start = Clock::now();
  std::shared_ptr<SasrecEncoder> candidate, best;
  std::size_t planned = config.epochs;
  double best_ndcg = 0;
  for (std::size_t epoch = 1; epoch <= planned; ++epoch) {
    const auto epoch_start = Clock::now();
    const auto loss = learner.train_epoch(epoch, planned, progress.step);
    if (!loss) break;
    EpochReport report{.epoch = epoch, .epochs = planned, .seconds = seconds_since(epoch_start), .loss = *loss};
    train_seconds_ += report.seconds;

    if (!candidate) candidate = std::make_shared<SasrecEncoder>(learner.encoder_config(), train.num_items());
    learner.copy_weights(*candidate, model.popularity->counts());
    model.encoder = candidate;
    if (!queries.empty()) {
      const Report measured = evaluate(model, queries, measuring);
      report.validated = true;
      report.hit_rate_10 = measured.hit_rate_at(10);
      report.ndcg_10 = measured.ndcg_at(10);
    }
    report.best = !best || !report.validated || report.ndcg_10 > best_ndcg;
    if (report.best) {
      best_epoch_ = epoch;
      best_ndcg = report.ndcg_10;
      std::swap(candidate, best);
    }
    epochs_.push_back(report);
    if (progress.epoch && !progress.epoch(report)) break;
    if (epoch - best_epoch_ >= config.patience) break;
    if (config.time_budget_seconds > 0) {
      const double left = std::max(0.0, config.time_budget_seconds - seconds_since(start));
      const double fitting = std::min(static_cast<double>(config.epochs), left / seconds_since(epoch_start));
      planned = std::min(config.epochs, epoch + static_cast<std::size_t>(fitting));
    }
  }
  if (!best) throw Error(ErrorCode::cancelled, "training: stopped before the first epoch ended");
  model.encoder = std::move(best);
  if (config.blend && !queries.empty()) {
    model.blend_weight = choose_blend_weight(model, queries, measuring, best_ndcg);
  }
  model.notes["trainer"] = config.to_json();
  model.notes["best_epoch"] = std::to_string(best_epoch_);
  return model;
}

}  // namespace attune::inline v0_1
