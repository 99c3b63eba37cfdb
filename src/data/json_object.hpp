// SPDX-License-Identifier: Apache-2.0
#pragma once

// JSON that comes from outside. Whatever is parsed, by the library or the tool, passes through here.

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "attune/error.hpp"

namespace attune::inline v0_1::detail {

// Copying and printing a value recurse once per level: one that is nested deep enough would exhaust the stack.
inline constexpr int kMaxJsonDepth = 32;

// One object, nested at most kMaxJsonDepth levels, in which no key stands twice; throws Error(code) for anything else.
template <class Json>
Json parse_object(std::string_view text, const std::string& name, ErrorCode code = ErrorCode::invalid_config) {
  using Event = typename Json::parse_event_t;
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, Event event, Json& parsed) {
    if ((event == Event::object_start || event == Event::array_start) && depth >= kMaxJsonDepth) {
      throw Error(code, name + ": expected at most " + std::to_string(kMaxJsonDepth) + " levels of objects and arrays");
    }
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key) {
      const auto& key = parsed.template get_ref<const std::string&>();
      if (!keys.back().insert(key).second) throw Error(code, name + ": field " + key + " stands there twice");
    }
    return true;
  };
  try {
    Json json = Json::parse(text, check);
    if (!json.is_object()) throw Error(code, name + ": expected a JSON object");
    return json;
  } catch (const typename Json::exception& error) {
    throw Error(code, name + ": expected a JSON object; " + error.what());
  }
}

// The library's own JSON keeps the order of fields. Reading and printing it are compiled once: each costs a unit
// seconds.
using Json = nlohmann::ordered_json;
Json parse_object(std::string_view text, const std::string& name, ErrorCode code = ErrorCode::invalid_config);
std::string text_of(const Json& json);  // on one line

}  // namespace attune::inline v0_1::detail
