// SPDX-License-Identifier: Apache-2.0
// Presets, limits and the JSON form of TrainerConfig.

#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "attune/training/trainer.hpp"

namespace attune::inline v0_1 {

namespace {

using Json = nlohmann::ordered_json;

template <class Enum>
using Names = std::vector<std::pair<std::string_view, Enum>>;

const Names<Activation>& names_of(Activation) {
  static const Names<Activation> names{
      {"relu", Activation::relu}, {"gelu", Activation::gelu}, {"silu", Activation::silu}};
  return names;
}
const Names<NormPlacement>& names_of(NormPlacement) {
  static const Names<NormPlacement> names{{"pre", NormPlacement::pre}, {"post", NormPlacement::post}};
  return names;
}
const Names<AttentionMask>& names_of(AttentionMask) {
  static const Names<AttentionMask> names{{"causal", AttentionMask::causal},
                                          {"bidirectional", AttentionMask::bidirectional}};
  return names;
}
const Names<ScoreKind>& names_of(ScoreKind) {
  static const Names<ScoreKind> names{{"cosine", ScoreKind::cosine}, {"dot", ScoreKind::dot}};
  return names;
}

// Every field once: visit(name, value) for a number, a flag or a name; visit.group(name, fields) for an object.
template <class Config, class Visit>
void visit_encoder(Config& config, Visit&& visit) {
  visit("embedding_dim", config.embedding_dim);
  visit("num_blocks", config.num_blocks);
  visit("num_heads", config.num_heads);
  visit("inner_dim", config.inner_dim);
  visit("max_sequence_length", config.max_sequence_length);
  visit("hop", config.hop);
  visit("activation", config.activation);
  visit("norm_placement", config.norm_placement);
  visit("mask", config.mask);
  visit("embedding_norm", config.embedding_norm);
  visit("final_norm", config.final_norm);
  visit("scale_items", config.scale_items);
  visit("layer_norm_epsilon", config.layer_norm_epsilon);
  visit("dropout", config.dropout);
  visit("attention_dropout", config.attention_dropout);
  visit("score", config.score);
  visit("temperature", config.temperature);
}

template <class Config, class Visit>
void visit_adam(Config& config, Visit&& visit) {
  visit("learning_rate", config.learning_rate);
  visit("beta1", config.beta1);
  visit("beta2", config.beta2);
  visit("epsilon", config.epsilon);
  visit("weight_decay", config.weight_decay);
}

template <class Config, class Visit>
void visit_markov(Config& config, Visit&& visit) {
  visit("steps", config.steps);
  visit("history", config.history);
  visit("decay", config.decay);
  visit("popularity_power", config.popularity_power);
  visit("smoothing", config.smoothing);
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
  visit.group("markov", [&](auto&& inner) { visit_markov(config.markov, inner); });
}

class Writer {
 public:
  explicit Writer(Json& object) : object_(object) {}
  template <class Value>
  void operator()(const char* name, const Value& value) {
    if constexpr (std::is_enum_v<Value>) {
      for (const auto& [text, known] : names_of(value)) {
        if (known == value) object_[name] = text;
      }
    } else {
      object_[name] = value;
    }
  }
  template <class Fields>
  void group(const char* name, Fields fields) {
    Writer inner(object_[name] = Json::object());
    fields(inner);
  }

 private:
  Json& object_;
};

// Takes fields out of an object as they are visited: what is left was unknown.
class Reader {
 public:
  Reader(Json& object, std::string path) : object_(object), path_(std::move(path)) {}

  template <class Value>
  void operator()(const char* name, Value& value) {
    const auto found = object_.find(name);
    if (found == object_.end()) return;
    value = read(name, *found, value);
    object_.erase(found);
  }
  template <class Fields>
  void group(const char* name, Fields fields) {
    const auto found = object_.find(name);
    if (found == object_.end()) return;
    if (!found->is_object()) refuse(name, "an object", *found);
    Reader inner(*found, path_ + name + '.');
    fields(inner);
    inner.finish();
    object_.erase(found);
  }
  void finish() const {
    if (!object_.empty()) {
      throw Error(ErrorCode::invalid_config, path_ + object_.begin().key() + ": no such field");
    }
  }

 private:
  template <class Value>
  Value read(const char* name, const Json& json, Value current) const {
    if constexpr (std::is_enum_v<Value>) {
      std::string allowed;
      for (const auto& [text, known] : names_of(current)) {
        if (json.is_string() && json.get_ref<const std::string&>() == text) return known;
        allowed += (allowed.empty() ? "" : ", ") + std::string(text);
      }
      refuse(name, "one of " + allowed, json);
    } else if constexpr (std::is_same_v<Value, bool>) {
      if (!json.is_boolean()) refuse(name, "true or false", json);
      return json.get<bool>();
    } else if constexpr (std::is_integral_v<Value>) {
      if (!json.is_number_unsigned()) refuse(name, "an integer of at least 0", json);
      return json.get<Value>();
    } else {
      if (!json.is_number()) refuse(name, "a number", json);
      return json.get<Value>();
    }
  }
  [[noreturn]] void refuse(const std::string& name, const std::string& expected, const Json& found) const {
    throw Error(ErrorCode::invalid_config, path_ + name + ": expected " + expected + ", found " + found.dump());
  }

  Json& object_;
  std::string path_;
};

// Parses one object in which no key stands twice.
Json parse_object(const std::string& text, const std::string& name) {
  std::vector<std::vector<std::string>> keys;
  const auto refuse_duplicates = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      for (const std::string& other : keys.back()) {
        if (other == key) throw Error(ErrorCode::invalid_config, name + ": field " + key + " stands there twice");
      }
      keys.back().push_back(key);
    }
    return true;
  };
  try {
    Json json = Json::parse(text, refuse_duplicates);
    if (!json.is_object()) throw Error(ErrorCode::invalid_config, name + ": expected a JSON object");
    return json;
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::invalid_config, name + ": " + error.what());
  }
}

void require(bool holds, const char* field, const char* expected) {
  if (!holds) throw Error(ErrorCode::invalid_config, std::string("config: ") + field + " must be " + expected);
}

}  // namespace

TrainerConfig TrainerConfig::preset(const std::string& name) {
  if (name != "sasrec-small" && name != "default") {
    throw Error(ErrorCode::invalid_argument, "preset: expected sasrec-small or default, found " + name);
  }
  TrainerConfig config;
  return config;
}

void TrainerConfig::apply_json(const std::string& text, const std::string& name_for_messages) {
  Json json = parse_object(text, name_for_messages);
  TrainerConfig changed = *this;
  Reader reader(json, name_for_messages + ": ");
  visit_trainer(changed, reader);
  reader.finish();
  changed.validate();
  *this = std::move(changed);
}

std::string TrainerConfig::to_json() const {
  Json json = Json::object();
  visit_trainer(*this, Writer(json));
  return json.dump();
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
  require(markov.steps >= 1, "markov.steps", "at least 1");
  require(markov.history >= 1, "markov.history", "at least 1");
  require(markov.decay > 0 && markov.decay <= 1, "markov.decay", "above 0 and at most 1");
  require(std::isfinite(markov.popularity_power), "markov.popularity_power", "finite");
  require(markov.smoothing >= 0 && std::isfinite(markov.smoothing), "markov.smoothing", "at least 0 and finite");
}

}  // namespace attune::inline v0_1
