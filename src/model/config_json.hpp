// SPDX-License-Identifier: Apache-2.0
#pragma once

// Configurations as JSON objects, in both directions: every field is named once, by a function that visits them.

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "attune/model/config.hpp"
#include "attune/model/count_models.hpp"
#include "data/json_object.hpp"

namespace attune::inline v0_1::detail {

template <class Enum>
using Names = std::vector<std::pair<std::string_view, Enum>>;

inline const Names<Activation>& names_of(Activation) {
  static const Names<Activation> names{{"relu", Activation::relu},
                                       {"gelu", Activation::gelu},
                                       {"silu", Activation::silu},
                                       {"tanh", Activation::tanh},
                                       {"sigmoid", Activation::sigmoid}};
  return names;
}
inline const Names<BlockKind>& names_of(BlockKind) {
  static const Names<BlockKind> names{{"sasrec", BlockKind::sasrec}, {"hstu", BlockKind::hstu}};
  return names;
}
inline const Names<NormPlacement>& names_of(NormPlacement) {
  static const Names<NormPlacement> names{
      {"pre", NormPlacement::pre}, {"post", NormPlacement::post}, {"query", NormPlacement::query}};
  return names;
}
inline const Names<PositionOrigin>& names_of(PositionOrigin) {
  static const Names<PositionOrigin> names{{"oldest", PositionOrigin::oldest}, {"newest", PositionOrigin::newest}};
  return names;
}
inline const Names<Padding>& names_of(Padding) {
  static const Names<Padding> names{{"none", Padding::none}, {"zeros", Padding::zeros}, {"learned", Padding::learned}};
  return names;
}
inline const Names<AttentionMask>& names_of(AttentionMask) {
  static const Names<AttentionMask> names{{"causal", AttentionMask::causal},
                                          {"bidirectional", AttentionMask::bidirectional}};
  return names;
}
inline const Names<ScoreKind>& names_of(ScoreKind) {
  static const Names<ScoreKind> names{{"cosine", ScoreKind::cosine}, {"dot", ScoreKind::dot}};
  return names;
}

inline const Names<CountKind>& names_of(CountKind) {
  static const Names<CountKind> names = [] {
    Names<CountKind> all;
    for (const CountKind kind : {CountKind::popularity, CountKind::markov, CountKind::item_knn, CountKind::ease,
                                 CountKind::ials, CountKind::repeat}) {
      all.emplace_back(to_string(kind), kind);
    }
    return all;
  }();
  return names;
}

// Every field once: visit(name, value) for a number, a flag or a name; visit.group(name, fields) for an object.
template <class Config, class Visit>
void visit_encoder(Config& config, Visit&& visit) {
  visit("block", config.block);
  visit("embedding_dim", config.embedding_dim);
  visit("num_blocks", config.num_blocks);
  visit("num_heads", config.num_heads);
  visit("inner_dim", config.inner_dim);
  visit("max_sequence_length", config.max_sequence_length);
  visit("hop", config.hop);
  visit("mask", config.mask);
  visit("mask_token", config.mask_token);
  visit("absolute_positions", config.absolute_positions);
  visit("position_origin", config.position_origin);
  visit("padding", config.padding);
  visit("activation", config.activation);
  visit("norm_placement", config.norm_placement);
  visit("relative_positions", config.relative_positions);
  visit("bias_per_head", config.bias_per_head);
  visit("time_buckets", config.time_buckets);
  visit("request_time", config.request_time);
  visit("attention_divisor", config.attention_divisor);
  visit("learned_norms", config.learned_norms);
  visit("feed_forward", config.feed_forward);
  visit("embedding_norm", config.embedding_norm);
  visit("final_norm", config.final_norm);
  visit("scale_items", config.scale_items);
  visit("layer_norm_epsilon", config.layer_norm_epsilon);
  visit("final_norm_epsilon", config.final_norm_epsilon);
  visit("dropout", config.dropout);
  visit("attention_dropout", config.attention_dropout);
  visit("separate_outputs", config.separate_outputs);
  visit("score", config.score);
  visit("temperature", config.temperature);
}

class ConfigWriter {
 public:
  explicit ConfigWriter(Json& object) : object_(object) {}
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
    ConfigWriter inner(object_[name] = Json::object());
    fields(inner);
  }

 private:
  Json& object_;
};

// Takes fields out of an object as they are visited: what is left was unknown.
class ConfigReader {
 public:
  ConfigReader(Json& object, std::string path) : object_(object), path_(std::move(path)) {}

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
    ConfigReader inner(*found, path_ + name + '.');
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
    } else if constexpr (std::is_same_v<Value, std::map<std::string, double>>) {
      if (!json.is_object()) refuse(name, "an object of numbers", json);
      Value numbers;
      for (const auto& [key, number] : json.items()) {
        if (!number.is_number()) refuse(name + std::string(".") + key, "a number", number);
        numbers[key] = number.template get<double>();
      }
      return numbers;
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
    throw Error(ErrorCode::invalid_config, path_ + name + ": expected " + expected + ", found " + text_of(found));
  }

  Json& object_;
  std::string path_;
};

}  // namespace attune::inline v0_1::detail
