// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/private_training.hpp"

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "attune/error.hpp"
#include "model/count_options.hpp"
#include "privacy/private_counts.hpp"
#include "privacy/private_encoder.hpp"

namespace attune::inline v0_1 {
namespace {

const char* name_of(PrivacyUnit unit) { return unit == PrivacyUnit::user ? "user" : "event"; }

void validate(const PrivateCountsOptions& counts) {
  using detail::require_option;
  require_option(counts.steps >= 1 && counts.steps <= 1000, "counts.steps", "1 to 1000", std::to_string(counts.steps));
  require_option(counts.gap_power >= 0 && counts.gap_power <= 10, "counts.gap_power", "0 to 10",
                 std::to_string(counts.gap_power));
  require_option(counts.item_share > 0 && counts.item_share < 1, "counts.item_share", "above 0 and below 1",
                 std::to_string(counts.item_share));
  require_option(counts.reverse >= 0 && counts.reverse <= 1, "counts.reverse", "0 to 1",
                 std::to_string(counts.reverse));
  require_option(counts.shrinkage >= 0 && std::isfinite(counts.shrinkage), "counts.shrinkage", "at least 0",
                 std::to_string(counts.shrinkage));
  require_option(counts.history >= 1, "counts.history", "at least 1", std::to_string(counts.history));
  detail::require_decay(counts.decay, "counts.decay");
  require_option(counts.max_items >= 1 && counts.max_items <= 30'000, "counts.max_items", "1 to 30000",
                 std::to_string(counts.max_items));
}

void validate(const PrivateEncoderOptions& encoder) {
  using detail::require_option;
  encoder.encoder.validate();
  require_option(encoder.encoder.trainable(), "encoder", "one that training knows", "one that is only served");
  encoder.objective.validate();
  require_option(encoder.sampling_probability > 0 && encoder.sampling_probability <= 1, "encoder.sampling_probability",
                 "above 0 and at most 1", std::to_string(encoder.sampling_probability));
  require_option(encoder.clip > 0 && std::isfinite(encoder.clip), "encoder.clip", "positive and finite",
                 std::to_string(encoder.clip));
  require_option(encoder.budget_share > 0 && encoder.budget_share < 1, "encoder.budget_share", "above 0 and below 1",
                 std::to_string(encoder.budget_share));
  const ObjectiveConfig& objective = encoder.objective;
  if (objective.shared_negatives || objective.sampling_power != 0 || objective.log_q) {
    throw Error(ErrorCode::unsupported,
                "private training: negatives that users share, or that are drawn by counts, tell of others' events");
  }
}

GaussianMechanism counts_mechanism(const PrivateTrainingConfig& config) {
  const double budget = config.encoder.steps == 0 ? config.epsilon : config.epsilon * (1 - config.encoder.budget_share);
  const double least = calibrate_noise(budget, config.delta, 1, 1);
  if (config.noise_multiplier == 0) return {.noise_multiplier = least};
  if (config.noise_multiplier < least) {
    throw Error(ErrorCode::limit_exceeded, "noise_multiplier: expected at least " + std::to_string(least) +
                                               ", which the budget needs, found " +
                                               std::to_string(config.noise_multiplier));
  }
  return {.noise_multiplier = config.noise_multiplier};
}

// What will be published, before anything is.
PrivacyStatement plan(const PrivateTrainingConfig& config) {
  PrivacyStatement statement{.unit = config.unit, .delta = config.delta, .mechanisms = {counts_mechanism(config)}};
  if (const PrivateEncoderOptions& encoder = config.encoder; encoder.steps > 0) {
    const double noise = calibrate_noise(config.epsilon, config.delta, encoder.sampling_probability, encoder.steps,
                                         statement.mechanisms);
    statement.mechanisms.push_back({encoder.sampling_probability, noise, encoder.steps});
  }
  statement.epsilon = config.noise_seed ? std::numeric_limits<double>::infinity()
                                        : tight_epsilon(statement.mechanisms, config.delta).epsilon;
  return statement;
}

}  // namespace

void PrivateTrainingConfig::validate() const {
  using detail::require_option;
  require_option(epsilon > 0 && std::isfinite(epsilon), "epsilon", "positive and finite", std::to_string(epsilon));
  require_option(delta > 0 && delta < 1, "delta", "above 0 and below 1", std::to_string(delta));
  require_option(noise_multiplier >= 0 && std::isfinite(noise_multiplier), "noise_multiplier", "at least 0",
                 std::to_string(noise_multiplier));
  attune::validate(counts);
  if (encoder.steps == 0) return;
  attune::validate(encoder);
  if (unit == PrivacyUnit::event) {
    throw Error(ErrorCode::unsupported,
                "private training: an encoder keeps the privacy of users, not of single events");
  }
}

std::string PrivacyStatement::to_json() const {
  nlohmann::ordered_json json{{"unit", name_of(unit)}};
  json["epsilon"] = std::isfinite(epsilon) ? nlohmann::ordered_json(epsilon) : nlohmann::ordered_json("infinite");
  json["delta"] = delta;
  for (const GaussianMechanism& mechanism : mechanisms) {
    json["mechanisms"].push_back({{"sampling_probability", mechanism.sampling_probability},
                                  {"noise_multiplier", mechanism.noise_multiplier},
                                  {"steps", mechanism.steps}});
  }
  return json.dump();
}

TrainedModel train_privately(const Histories& train, const PrivateTrainingConfig& config, Executor* executor,
                             PrivacyStatement* statement) {
  config.validate();
  if (!train.item_ids || train.num_events() == 0) {
    throw Error(ErrorCode::invalid_data, "training histories: expected events and item ids, found none");
  }
  InlineExecutor calling_thread;
  Executor& threads = executor != nullptr ? *executor : calling_thread;
  const PrivacyStatement spent = plan(config);
  const detail::PrivateCounts counts = detail::private_counts(
      train, config.counts, config.unit, spent.mechanisms.front().noise_multiplier, config.noise_seed, threads);
  TrainedModel model;
  model.item_ids = train.item_ids;
  model.popularity = std::make_shared<const PopularityModel>(detail::counted(counts.items));
  model.counts = std::make_shared<const MarkovModel>(detail::markov_of(counts, config.counts));
  if (config.encoder.steps > 0) {
    model.encoder = detail::private_encoder(train, config, spent.mechanisms.back().noise_multiplier, counts, threads);
    model.blend_weight = config.encoder.blend_weight;
  }
  model.histories = std::make_shared<const Histories>(train);
  model.notes["privacy"] = spent.to_json();
  if (statement != nullptr) *statement = spent;
  return model;
}

}  // namespace attune::inline v0_1
