// SPDX-License-Identifier: Apache-2.0
// Presets, limits and the JSON form of TrainerConfig.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "attune/training/trainer.hpp"
#include "model/config_json.hpp"
#include "model/count_json.hpp"
#include "training/sequences.hpp"
#include "training/trainer_json.hpp"

namespace attune::inline v0_1 {

// Found by the type of their argument, so they stand beside it.

static const detail::Names<LossKind>& names_of(LossKind) {
  static const detail::Names<LossKind> names{{"softmax", LossKind::softmax},
                                             {"sampled_softmax", LossKind::sampled_softmax},
                                             {"bce", LossKind::bce},
                                             {"gbce", LossKind::gbce}};
  return names;
}
static const detail::Names<Schedule>& names_of(Schedule) {
  static const detail::Names<Schedule> names{
      {"constant", Schedule::constant}, {"linear", Schedule::linear}, {"cosine", Schedule::cosine}};
  return names;
}
static const detail::Names<Windows>& names_of(Windows) {
  static const detail::Names<Windows> names{{"newest", Windows::newest}, {"all", Windows::all}};
  return names;
}

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
void visit_objective(Config& config, Visit&& visit) {
  visit("loss", config.loss);
  visit("label_smoothing", config.label_smoothing);
  visit("negatives", config.negatives);
  visit("shared_negatives", config.shared_negatives);
  visit("sampling_power", config.sampling_power);
  visit("log_q", config.log_q);
  visit("calibration", config.calibration);
}

template <class Config, class Visit>
void visit_distillation(Config& config, Visit&& visit) {
  visit("weight", config.weight);
  visit("targets", config.targets);
  visit("temperature", config.temperature);
}

template <class Config, class Visit>
void visit_trainer(Config& config, Visit&& visit) {
  visit.group("encoder", [&](auto&& inner) { visit_encoder(config.encoder, inner); });
  visit.group("objective", [&](auto&& inner) { visit_objective(config.objective, inner); });
  visit.group("distillation", [&](auto&& inner) { visit_distillation(config.distillation, inner); });
  visit.group("adam", [&](auto&& inner) { visit_adam(config.adam, inner); });
  visit("epochs", config.epochs);
  visit("patience", config.patience);
  visit("batch_sequences", config.batch_sequences);
  visit("warmup_steps", config.warmup_steps);
  visit("schedule", config.schedule);
  visit("final_learning_rate", config.final_learning_rate);
  visit("average", config.average);
  visit("windows", config.windows);
  visit("overlap", config.overlap);
  visit("mask_probability", config.mask_probability);
  visit("item_dropout", config.item_dropout);
  visit("event_weights", config.event_weights);
  visit("value_weights", config.value_weights);
  visit("mixed_precision", config.mixed_precision);
  visit("time_budget_seconds", config.time_budget_seconds);
  visit("max_validation_queries", config.max_validation_queries);
  visit("gradient_slots", config.gradient_slots);
  visit("seed", config.seed);
  visit("exclude_seen", config.exclude_seen);
  visit("blend", config.blend);
  visit("compare_counts", config.compare_counts);
  visit("calibrate", config.calibrate);
  visit("rerank", config.rerank);
  visit("rerank_candidates", config.rerank_candidates);
  visit("refit", config.refit);
  visit("adapt", config.adapt);
  visit("counts", config.counts);
  visit("counts_alone", config.counts_alone);
  visit.group("popularity", [&](auto&& inner) { visit_options(config.popularity, inner); });
  visit.group("markov", [&](auto&& inner) { visit_options(config.markov, inner); });
  visit.group("item_knn", [&](auto&& inner) { visit_options(config.item_knn, inner); });
  visit.group("ease", [&](auto&& inner) { visit_options(config.ease, inner); });
  visit.group("ials", [&](auto&& inner) { visit_options(config.ials, inner); });
  visit.group("repeat", [&](auto&& inner) { visit_options(config.repeat, inner); });
}

void require(bool holds, const char* field, const char* expected) {
  if (!holds) throw Error(ErrorCode::invalid_config, std::string("config: ") + field + " must be " + expected);
}

void check_distillation(const TrainerConfig& config) {
  const DistillationOptions& options = config.distillation;
  require(options.weight >= 0 && options.weight <= 1, "distillation.weight", "0 to 1");
  require(options.targets >= 1 && options.targets <= 4096, "distillation.targets", "1 to 4096");
  require(options.temperature > 0 && std::isfinite(options.temperature), "distillation.temperature",
          "positive and finite");
  if (!config.teacher) return;
  require(!config.counts_alone, "counts_alone", "false, as there is a teacher: counts have nothing to learn from it");
  require(config.objective.loss == LossKind::softmax, "objective.loss", "softmax, as there is a teacher");
  require(!config.encoder.mask_token, "encoder.mask_token", "false, as there is a teacher: it says what comes next");
  require(config.teacher->causal(), "teacher", "causal: it says what comes next");
  require(config.teacher->config().trainable(), "teacher", "an encoder that training knows");
}

bool names_what_adapts(const Json& json) {
  const auto encoder = json.find("encoder");
  return json.contains("batch_sequences") ||
         (encoder != json.end() && (encoder->contains("dropout") || encoder->contains("attention_dropout")));
}

}  // namespace

TrainerConfig TrainerConfig::preset(const std::string& name) {
  TrainerConfig config;
  std::string known = "default, sasrec-small, hstu-small, hstu-large, bert4rec";
  for (const auto& [count_model, kind] : detail::names_of(CountKind{})) {
    known += ", " + std::string(count_model);
    if (name != count_model) continue;
    config.counts = kind;
    config.counts_alone = true;
    config.refit = true;
    return config;
  }
  EncoderConfig& encoder = config.encoder;
  encoder.inner_dim = encoder.embedding_dim;
  config.adam.learning_rate = 3e-3;
  config.epochs = 40;
  config.final_learning_rate = 0.02;
  config.blend = true;
  config.calibrate = true;
  config.adapt = true;
  config.compare_counts = config.refit = config.rerank = name != "sasrec-small" && name != "bert4rec";
  if (name == "bert4rec") {
    encoder.mask = AttentionMask::bidirectional;
    encoder.mask_token = true;
  } else if (name == "hstu-small" || name == "hstu-large") {
    const bool large = name == "hstu-large";
    encoder.block = BlockKind::hstu;
    encoder.embedding_dim = large ? 64 : 50;
    encoder.num_blocks = large ? 8 : 2;
    encoder.feed_forward = true;
    encoder.inner_dim = 2 * encoder.embedding_dim;
    encoder.activation = Activation::silu;
    encoder.absolute_positions = false;
    encoder.final_norm = false;
    encoder.scale_items = true;
    encoder.layer_norm_epsilon = 1e-6;
    config.windows = Windows::all;
    config.average = 0.995;
  } else if (name != "sasrec-small" && name != "default") {
    throw Error(ErrorCode::invalid_argument, "preset: expected one of " + known + ", found " + name);
  }
  return config;
}

void TrainerConfig::apply_json(const std::string& text, const std::string& name_for_messages) {
  TrainerConfig changed = *this;
  detail::apply_fields(changed, detail::parse_object(text, name_for_messages), name_for_messages + ": ");
  changed.validate();
  *this = changed;
}

void detail::apply_fields(TrainerConfig& config, Json json, const std::string& prefix) {
  if (names_what_adapts(json)) config.adapt = false;
  ConfigReader reader(json, prefix);
  visit_trainer(config, reader);
  reader.finish();
}

std::string TrainerConfig::to_json() const {
  Json json = Json::object();
  visit_trainer(*this, ConfigWriter(json));
  return detail::text_of(json);
}

TrainerConfig TrainerConfig::adapted_to(const Histories& train) const {
  constexpr double kPlenty = 150, kScarce = 30, kMostDropout = 0.5;
  constexpr std::size_t kSteps = 40, kLeastBatch = 16;
  TrainerConfig adapted = *this;
  if (!adapt || !train.item_ids) return adapted;
  const std::size_t window = encoder.max_sequence_length;
  const auto sequences = windows == Windows::newest
                             ? detail::training_sequences(train, window)
                             : detail::training_windows(train, window, std::min(overlap, window - 1), seed, 1);
  std::size_t targets = 0;
  for (const detail::TrainingSequence& sequence : sequences) targets += sequence.length - 1 - sequence.context;
  if (targets == 0) return adapted;
  const auto trained = detail::trained_items(sequences, train);
  const auto items = static_cast<double>(std::count(trained.begin(), trained.end(), true));
  const double per_item = static_cast<double>(targets) / items;
  const double scarcity = std::clamp(std::log(kPlenty / per_item) / std::log(kPlenty / kScarce), 0.0, 1.0);
  double raised = kMostDropout * scarcity;
  if (raised < detail::Dropout::kLeastRate) raised = 0.0;
  adapted.encoder.dropout = std::max(encoder.dropout, raised);
  adapted.encoder.attention_dropout = std::max(encoder.attention_dropout, raised);
  adapted.batch_sequences = std::min(batch_sequences, std::max(kLeastBatch, (sequences.size() + kSteps - 1) / kSteps));
  return adapted;
}

// Comparisons are written so that NaN is refused.
void TrainerConfig::validate() const {
  encoder.validate();
  require(encoder.mask == AttentionMask::causal || encoder.mask_token, "encoder.mask",
          "causal, or have encoder.mask_token: training predicts every next event, or those that are hidden");
  require(encoder.block != BlockKind::custom, "encoder.block", "sasrec or hstu");
  require(encoder.trainable(), "encoder",
          "one that training knows, without norm_placement query, position_origin newest, padding, separate_outputs");
  objective.validate();
  check_distillation(*this);
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
  require(average >= 0 && average < 1, "average", "0 or more and below 1");
  require(overlap < encoder.max_sequence_length, "overlap", "below encoder.max_sequence_length");
  require(mask_probability > 0 && mask_probability < 1, "mask_probability", "above 0 and below 1");
  require(item_dropout >= 0 && item_dropout < 1, "item_dropout", "0 or more and below 1");
  for (const auto& [kind, weight] : event_weights) {
    require(weight >= 0 && std::isfinite(weight), "event_weights", "at least 0 and finite");
  }
  require(time_budget_seconds >= 0, "time_budget_seconds", "at least 0");
  require(max_validation_queries >= 1, "max_validation_queries", "at least 1");
  require(rerank_candidates >= 1, "rerank_candidates", "at least 1");
  require(gradient_slots >= 1 && gradient_slots <= 1024, "gradient_slots", "1 to 1024");
  popularity.validate();
  markov.validate();
  item_knn.validate();
  ease.validate();
  ials.validate();
  repeat.validate();
}

CountOptions TrainerConfig::count_options() const {
  switch (counts) {
    case CountKind::popularity: return popularity;
    case CountKind::markov: return markov;
    case CountKind::item_knn: return item_knn;
    case CountKind::ease: return ease;
    case CountKind::repeat: return repeat;
    case CountKind::ials: break;
  }
  IalsOptions seeded = ials;
  seeded.seed = seed;
  return seeded;
}

}  // namespace attune::inline v0_1
