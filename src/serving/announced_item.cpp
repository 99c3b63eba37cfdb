// SPDX-License-Identifier: Apache-2.0
#include "serving/announced_item.hpp"

#include <limits>

#include "attune/error.hpp"
#include "data/json_object.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::Json;

Json json_of(const FieldValue& field) {
  switch (field.type()) {
    case FieldType::category: return std::string(field.names());
    case FieldType::number: return field.number();  // null where it is NaN
    default: return Json(std::vector<float>(field.vector().begin(), field.vector().end()));
  }
}

Json time_of(Timestamp time) { return time == kNoTime ? Json() : Json(time); }

[[noreturn]] void refuse_item() {
  throw Error(ErrorCode::invalid_data, "an announced item: expected fields and times, found something else");
}

}  // namespace

std::string to_json(const Item& item) {
  Json json = Json::object();
  Json& fields = json["fields"] = Json::array();
  for (const FieldValue& field : item.fields) {
    fields.push_back(Json::array({std::string(field.field()), json_of(field)}));
  }
  if (item.available_from) json["from"] = time_of(*item.available_from);
  if (item.available_until) json["until"] = time_of(*item.available_until);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

AnnouncedItem::AnnouncedItem(const Id& id, std::string_view text) try {
  const Json json = detail::parse_object(text, "an announced item", ErrorCode::invalid_data);
  const Json& fields = json.at("fields");
  item_.id = id;
  texts_.reserve(2 * fields.size());
  vectors_.reserve(fields.size());
  for (const Json& field : fields) {
    const std::string_view name = texts_.emplace_back(field.at(0).get<std::string>());
    const Json& value = field.at(1);
    if (value.is_string()) {
      item_.fields.emplace_back(name, std::string_view(texts_.emplace_back(value.get<std::string>())));
    } else if (value.is_array()) {
      vectors_.push_back(value.get<std::vector<float>>());
      item_.fields.emplace_back(name, std::span<const float>(vectors_.back()));
    } else {
      item_.fields.emplace_back(name, value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>());
    }
  }
  const auto time = [&](const char* name) -> std::optional<Timestamp> {
    if (!json.contains(name)) return std::nullopt;
    return json.at(name).is_null() ? kNoTime : json.at(name).get<Timestamp>();
  };
  item_.available_from = time("from");
  item_.available_until = time("until");
} catch (const Json::exception&) {
  refuse_item();
}

}  // namespace attune::inline v0_1
