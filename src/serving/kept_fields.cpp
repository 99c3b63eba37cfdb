// SPDX-License-Identifier: Apache-2.0
#include "serving/kept_fields.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "attune/error.hpp"
#include "data/json_object.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::Json;

bool missing(const FieldValue& value) noexcept {
  switch (value.type()) {
    case FieldType::number: return std::isnan(value.number());
    case FieldType::vector: return value.vector().empty();
    default: return value.names().empty();
  }
}

}  // namespace

bool reads(const Featurizer& featurizer, std::string_view field) noexcept {
  return std::ranges::any_of(featurizer.features(), [&](const FeatureSpec& feature) {
    if (feature.kind == FeatureKind::vector) return feature.name == field;
    return std::ranges::find(feature.fields(), field) != feature.fields().end();
  });
}

void KeptFields::set(std::span<const FieldValue> changes) {
  std::erase_if(fields_, [&](const Field& field) {
    return std::ranges::find(changes, field.name, &FieldValue::field) != changes.end();
  });
  for (const FieldValue& change : changes) {
    if (missing(change)) continue;
    Field field{std::string(change.field()), change.number()};
    if (change.type() == FieldType::category) field.value = std::string(change.names());
    if (change.type() == FieldType::vector) {
      field.value = std::vector<float>(change.vector().begin(), change.vector().end());
    }
    fields_.push_back(std::move(field));
  }
}

void KeptFields::add_missing(const KeptFields& other) {
  const std::size_t own = fields_.size();
  for (const Field& field : other.fields_) {
    const auto end = fields_.begin() + static_cast<std::ptrdiff_t>(own);
    if (std::find_if(fields_.begin(), end, [&](const Field& one) { return one.name == field.name; }) == end) {
      fields_.push_back(field);
    }
  }
}

std::vector<FieldValue> KeptFields::values() const {
  std::vector<FieldValue> values;
  for (const Field& field : fields_) {
    if (const auto* const text = std::get_if<std::string>(&field.value)) {
      values.emplace_back(field.name, *text);
    } else if (const auto* const number = std::get_if<double>(&field.value)) {
      values.emplace_back(field.name, *number);
    } else {
      values.emplace_back(field.name, std::span<const float>(std::get<std::vector<float>>(field.value)));
    }
  }
  return values;
}

std::size_t KeptFields::memory_bytes() const noexcept {
  std::size_t bytes = fields_.capacity() * sizeof(Field);
  for (const Field& field : fields_) {
    bytes += field.name.capacity();
    if (const auto* const text = std::get_if<std::string>(&field.value)) bytes += text->capacity();
    if (const auto* const vector = std::get_if<std::vector<float>>(&field.value)) {
      bytes += vector->capacity() * sizeof(float);
    }
  }
  return bytes;
}

std::string KeptFields::to_json() const {
  Json json = Json::array();
  for (const Field& field : fields_) {
    json.push_back(std::visit([&](const auto& value) { return Json::array({field.name, value}); }, field.value));
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

KeptFields KeptFields::parse(std::string_view json) {
  KeptFields kept;
  try {
    for (const Json& field : Json::parse(json)) {
      const Json& value = field.at(1);
      Field& next = kept.fields_.emplace_back(Field{field.at(0).get<std::string>(), 0.0});
      if (value.is_string()) {
        next.value = value.get<std::string>();
      } else if (value.is_number()) {
        next.value = value.get<double>();
      } else {
        next.value = value.get<std::vector<float>>();
      }
    }
  } catch (const Json::exception&) {
    throw Error(ErrorCode::corrupt_file, "the profile of a user: expected a list of fields and values");
  }
  return kept;
}

void ItemContents::set(ItemHandle item, std::span<const FieldValue> changes) {
  if (changes.empty()) return;
  KeptFields& fields = items_[item];
  fields.set(changes);
  if (fields.empty()) items_.erase(item);
}

std::vector<FieldValue> ItemContents::of(ItemHandle item) const {
  const auto known = items_.find(item);
  return known == items_.end() ? std::vector<FieldValue>() : known->second.values();
}

std::vector<ItemHandle> ItemContents::items() const {
  std::vector<ItemHandle> items;
  for (const auto& [item, fields] : items_) items.push_back(item);
  return items;
}

}  // namespace attune::inline v0_1
