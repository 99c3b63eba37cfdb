// SPDX-License-Identifier: Apache-2.0
// Presets, limits and the JSON form of TrainerConfig.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "attune/training/trainer.hpp"
#include "model/config_json.hpp"
#include "model/count_json.hpp"
#include "training/sequences.hpp"

namespace attune::inline v0_1 {

namespace {

using detail::ConfigReader;
using detail::ConfigWriter;
using detail::Json;
using detail::visit_encoder;
using detail::visit_options;

template <class Config, class Visit>
void visit_adam(Config& config, Visit&& visit) {
  visit("learning_rate", config.learning_rate);
  visit("beta1", config.beta1);
  visit("beta2", config.beta2);
  visit("epsilon", config.epsilon);
  visit("weight_decay", config.weight_decay);
}

template <class Config, class Visit>
void visit_trainer(Config& config, Visit&& visit) {
  visit.group("encoder", [&](auto&& inner) { visit_encoder(config.encoder, inner); });
  visit.group("adam", [&](auto&& inner) { visit_adam(config.adam, inner); });
  visit("epochs", config.epochs);
  visit("patience", config.patience);
  visit("batch_sequences", config.batch_sequences);
  visit("warmup_steps", config.warmup_steps);
  visit("final_learning_rate", config.final_learning_rate);
  visit("time_budget_seconds", config.time_budget_seconds);
  visit("max_validation_queries", config.max_validation_queries);
  visit("gradient_slots", config.gradient_slots);
  visit("seed", config.seed);
  visit("exclude_seen", config.exclude_seen);
  visit("blend", config.blend);
  visit("adapt", config.adapt);
  visit("counts", config.counts);
  visit("counts_alone", config.counts_alone);
  visit.group("popularity", [&](auto&& inner) { visit_options(config.popularity, inner); });
  visit.group("markov", [&](auto&& inner) { visit_options(config.markov, inner); });
  visit.group("item_knn", [&](auto&& inner) { visit_options(config.item_knn, inner); });
  visit.group("ease", [&](auto&& inner) { visit_options(config.ease, inner); });
  visit.group("ials", [&](auto&& inner) { visit_options(config.ials, inner); });
}

void require(bool holds, const char* field, const char* expected) {
  if (!holds) throw Error(ErrorCode::invalid_config, std::string("config: ") + field + " must be " + expected);
}

bool names_what_adapts(const Json& json) {
  const auto encoder = json.find("encoder");
  return json.contains("batch_sequences") ||
         (encoder != json.end() && (encoder->contains("dropout") || encoder->contains("attention_dropout")));
}

}  // namespace

TrainerConfig TrainerConfig::preset(const std::string& name) {
  TrainerConfig config;
  std::string known = "default, sasrec-small";
  for (const auto& [count_model, kind] : detail::names_of(CountKind{})) {
    known += ", " + std::string(count_model);
    if (name != count_model) continue;
    config.counts = kind;
    config.counts_alone = true;
    return config;
  }
  if (name != "sasrec-small" && name != "default") {
    throw Error(ErrorCode::invalid_argument, "preset: expected one of " + known + ", found " + name);
  }
  config.encoder.inner_dim = config.encoder.embedding_dim;
  config.adam.learning_rate = 3e-3;
  config.epochs = 40;
  config.final_learning_rate = 0.02;
  config.blend = name == "default";
  config.adapt = true;
  return config;
}

void TrainerConfig::apply_json(const std::string& text, const std::string& name_for_messages) {
  Json json = detail::parse_object(text, name_for_messages);
  TrainerConfig changed = *this;
  if (names_what_adapts(json)) changed.adapt = false;
  ConfigReader reader(json, name_for_messages + ": ");
  visit_trainer(changed, reader);
  reader.finish();
  changed.validate();
  *this = changed;
}

std::string TrainerConfig::to_json() const {
  Json json = Json::object();
  visit_trainer(*this, ConfigWriter(json));
  return json.dump();
}

TrainerConfig TrainerConfig::adapted_to(const Histories& train) const {
  constexpr double kPlenty = 150, kScarce = 30, kMostDropout = 0.5;
  constexpr std::size_t kSteps = 40, kLeastBatch = 16;
  TrainerConfig adapted = *this;
  if (!adapt || !train.item_ids) return adapted;
  const auto sequences = detail::training_sequences(train, encoder.max_sequence_length);
  std::size_t targets = 0;
  std::vector<bool> occurs(train.num_items(), false);
  for (const detail::TrainingSequence& sequence : sequences) {
    targets += sequence.length - 1;
    for (const ItemHandle item : train.of(sequence.user).items) occurs[item] = true;
  }
  if (targets == 0) return adapted;
  const auto items = static_cast<double>(std::count(occurs.begin(), occurs.end(), true));
  const double per_item = static_cast<double>(targets) / items;
  const double scarcity = std::clamp(std::log(kPlenty / per_item) / std::log(kPlenty / kScarce), 0.0, 1.0);
  adapted.encoder.dropout = std::max(encoder.dropout, kMostDropout * scarcity);
  adapted.encoder.attention_dropout = std::max(encoder.attention_dropout, kMostDropout * scarcity);
  adapted.batch_sequences = std::min(batch_sequences, std::max(kLeastBatch, (sequences.size() + kSteps - 1) / kSteps));
  return adapted;
}

// Comparisons are written so that NaN is refused.
void TrainerConfig::validate() const {
  encoder.validate();
  require(encoder.mask == AttentionMask::causal, "encoder.mask", "causal: training predicts every next event");
  require(adam.learning_rate > 0 && std::isfinite(adam.learning_rate), "adam.learning_rate", "positive and finite");
  require(adam.beta1 >= 0 && adam.beta1 < 1, "adam.beta1", "at least 0 and below 1");
  require(adam.beta2 > 0 && adam.beta2 < 1, "adam.beta2", "above 0 and below 1");
  require(adam.epsilon > 0 && std::isfinite(adam.epsilon), "adam.epsilon", "positive and finite");
  require(adam.weight_decay >= 0 && adam.weight_decay * adam.learning_rate < 1, "adam.weight_decay",
          "at least 0, and below 1 / learning_rate");
  require(epochs >= 1, "epochs", "at least 1");
  require(patience >= 1, "patience", "at least 1");
  require(batch_sequences >= 1, "batch_sequences", "at least 1");
  require(final_learning_rate >= 0 && final_learning_rate <= 1, "final_learning_rate", "0 to 1");
  require(time_budget_seconds >= 0, "time_budget_seconds", "at least 0");
  require(max_validation_queries >= 1, "max_validation_queries", "at least 1");
  require(gradient_slots >= 1 && gradient_slots <= 1024, "gradient_slots", "1 to 1024");
  popularity.validate();
  markov.validate();
  item_knn.validate();
  ease.validate();
  ials.validate();
}

CountOptions TrainerConfig::count_options() const {
  switch (counts) {
    case CountKind::popularity: return popularity;
    case CountKind::markov: return markov;
    case CountKind::item_knn: return item_knn;
    case CountKind::ease: return ease;
    case CountKind::ials: break;
  }
  IalsOptions seeded = ials;
  seeded.seed = seed;
  return seeded;
}

}  // namespace attune::inline v0_1
