// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reading what strangers send: every value is checked, and a name that means nothing is an error, so that a misspelt
// filter is not an answer without one.

#include <attune/types.hpp>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

using nlohmann::json;

// Becomes a reply of this status with the message.
struct Refusal : std::runtime_error {
  Refusal(int with_status, const std::string& message) : std::runtime_error(message), status(with_status) {}
  int status;
};

// `known`: names between blanks.
inline void require_known(const std::string& name, const std::string& known, const std::string& where) {
  if (name.find(' ') != name.npos || (' ' + known + ' ').find(' ' + name + ' ') == known.npos)
    throw Refusal(400, where + ": expected " + (known.empty() ? "nothing" : known) + ", found \"" + name + '"');
}

using Parameters = std::multimap<std::string, std::string>;

inline const std::string& required(const Parameters& parameters, const std::string& name) {
  const auto found = parameters.find(name);
  if (found == parameters.end() || found->second.empty()) throw Refusal(400, name + ": expected a value, found none");
  return found->second;
}

template <class Number>
Number number(const Parameters& parameters, const std::string& name, Number otherwise, Number least, Number most) {
  const auto found = parameters.find(name);
  if (found == parameters.end()) return otherwise;
  const std::string& text = found->second;
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= least && value <= most))
    throw Refusal(400, name + ": expected a number from " + json(least).dump() + " to " + json(most).dump());
  return value;
}

// An id of the kind that the model has. A view of the text.
inline attune::Id as_id(const std::string& text, attune::IdKind kind) {
  std::int64_t number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (kind == attune::IdKind::int64 && error == std::errc{} && end == last) return number;
  return text;
}

// A JSON object. Texts live as long as the value it is made from.
class Object {
 public:
  Object(json& value, const std::string& where, const std::string& known) : value_(value), where_(where) {
    if (!value.is_object()) throw Refusal(400, where + ": expected an object, found " + value.type_name());
    for (const auto& [name, member] : value.items()) require_known(name, known, where);
  }
  json* find(const char* name) const {
    const auto found = value_.find(name);
    return found == value_.end() ? nullptr : &*found;
  }
  // An integer counts as the text of its digits, which it is replaced by.
  const std::string& id(const char* name) const {
    json* const value = find(name);
    if (value != nullptr && value->is_number_integer()) *value = value->dump();
    require(value != nullptr && value->is_string() && *value != "", name, "a text or an integer");
    return value->get_ref<const std::string&>();
  }
  std::string_view text(const char* name) const {
    const json* const value = find(name);
    if (value == nullptr) return {};
    require(value->is_string(), name, "a text");
    return value->get_ref<const std::string&>();
  }
  // null is no time.
  attune::Timestamp time(const char* name, attune::Timestamp otherwise) const {
    const json* const value = find(name);
    if (value == nullptr) return otherwise;
    if (value->is_null()) return attune::kNoTime;
    require(value->is_number_integer() && *value >= 0 && attune::is_event_time(value->get<attune::Timestamp>()), name,
            "milliseconds since 1970");
    return value->get<attune::Timestamp>();
  }
  float number(const char* name, float otherwise) const {
    const json* const value = find(name);
    if (value == nullptr) return otherwise;
    require(value->is_number() && std::abs(value->get<double>()) <= std::numeric_limits<float>::max(), name,
            "a number");
    return value->get<float>();
  }
  void require(bool holds, const std::string& name, const std::string& expected) const {
    if (!holds) throw Refusal(400, where_ + ": expected " + expected + " as \"" + name + '"');
  }

 private:
  json& value_;
  std::string where_;
};

// One object, or an array of at most `most`.
inline std::span<json> one_or_many(json& body, std::size_t most) {
  if (!body.is_array()) return {&body, 1};
  if (body.empty()) throw Refusal(400, "body: expected an object or an array of them, found an empty array");
  if (body.size() > most)
    throw Refusal(
        413, "body: expected at most " + std::to_string(most) + " in an array, found " + std::to_string(body.size()));
  return body.get_ref<json::array_t&>();
}
