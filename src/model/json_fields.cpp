// SPDX-License-Identifier: Apache-2.0
#include "model/json_fields.hpp"

#include <cstdint>

#include "data/json_object.hpp"
#include "data/text.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1::detail {
namespace {

std::string text_of(const std::filesystem::path& file) {
  constexpr std::uint64_t kMost = std::uint64_t{256} << 20;
  const std::vector<std::byte> bytes = platform::read_file(file, kMost);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

JsonFields JsonFields::read(const std::filesystem::path& file) {
  return {file.string(), parse_object<Json>(text_of(file), file.string())};
}

std::vector<JsonFields> JsonFields::read_list(const std::filesystem::path& file) {
  std::vector<JsonFields> list;
  if (!std::filesystem::exists(file)) return list;
  // parse_object checks objects alone.
  const JsonFields whole(file.string(), parse_object<Json>("{\"list\": " + text_of(file) + '}', file.string()));
  const Json* const found = whole.find("list");
  if (found == nullptr || !found->is_array()) whole.refuse("list", "a list of objects");
  for (const Json& entry : *found) {
    if (!entry.is_object()) whole.refuse("list", "a list of objects");
    list.push_back({file.string(), entry});
  }
  return list;
}

JsonFields JsonFields::read_if_there(const std::filesystem::path& file) {
  return std::filesystem::exists(file) ? read(file) : JsonFields(file.string(), Json::object());
}

const JsonFields::Json* JsonFields::find(const std::string& field) const {
  const auto found = object_.find(field);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

JsonFields JsonFields::inner(const std::string& field) const {
  const Json* const found = find(field);
  if (found != nullptr && !found->is_object()) refuse(field, "an object");
  return {name_ + ": " + field, found == nullptr ? Json::object() : *found};
}

std::optional<std::size_t> JsonFields::count(const std::string& field) const {
  const Json* const found = find(field);
  if (found == nullptr) return std::nullopt;
  if (!found->is_number_unsigned()) refuse(field, "a whole number, 0 or more");
  return found->get<std::size_t>();
}

std::optional<double> JsonFields::number(const std::string& field) const {
  const Json* const found = find(field);
  if (found == nullptr) return std::nullopt;
  if (!found->is_number()) refuse(field, "a number");
  return found->get<double>();
}

std::optional<bool> JsonFields::flag(const std::string& field) const {
  const Json* const found = find(field);
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) refuse(field, "true or false");
  return found->get<bool>();
}

std::optional<std::string> JsonFields::text(const std::string& field) const {
  const Json* const found = find(field);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) refuse(field, "text");
  return found->get<std::string>();
}

std::size_t JsonFields::required_count(const std::string& field) const {
  const std::optional<std::size_t> value = count(field);
  if (!value) refuse(field, "a whole number, 0 or more");
  return *value;
}

std::string JsonFields::complaint(const std::string& field, const std::string& expected) const {
  const Json* const found = find(field);
  const std::string shown =
      found == nullptr ? "none" : in_quotes(found->dump(-1, ' ', false, Json::error_handler_t::replace), '\'');
  return name_ + ": field " + field + ": expected " + expected + ", found " + shown;
}

void JsonFields::refuse(const std::string& field, const std::string& expected) const {
  throw Error(ErrorCode::invalid_config, complaint(field, expected));
}

void JsonFields::not_supported(const std::string& field, const std::string& expected) const {
  throw Error(ErrorCode::unsupported, complaint(field, expected));
}

void JsonFields::require_text(const std::string& field, const std::string& expected) const {
  if (text(field).value_or(expected) != expected) not_supported(field, expected);
}

}  // namespace attune::inline v0_1::detail
