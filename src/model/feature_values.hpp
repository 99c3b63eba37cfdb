// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a field of a record says to a feature. Each throws Error(invalid_data), "feature "year": expected ..., found
// ...", for a value that is none of the feature's kind.

#include <charconv>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "attune/data/feature_table.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {

// The first value of a field; null: none.
const FieldValue* find_field(std::span<const FieldValue> record, std::string_view field) noexcept;

std::optional<double> number_of(const FieldValue& value, const FeatureSpec& feature);  // nullopt: missing
std::optional<double> time_of(const FieldValue& value, const FeatureSpec& feature);    // milliseconds
std::string_view text_of(const FieldValue& value, const FeatureSpec& feature);         // "": missing
// `width` 0: whatever it has.
std::span<const float> vector_of(const FieldValue& value, const FeatureSpec& feature, std::size_t width);
// Shortest decimal digits.
std::string digits_of(double number);

// Calls visit(value) for everything that a record says in the fields of a category or text.
template <class Visit>
void for_each_value(std::span<const FieldValue> record, const FeatureSpec& feature, Visit&& visit) {
  for (const std::string& field : feature.fields()) {
    for (const FieldValue& value : record) {
      if (value.field() == field) visit(value);
    }
  }
}

// Calls visit(name) for the names that a record has in a category.
template <class Visit>
void for_each_name_of(std::span<const FieldValue> record, const FeatureSpec& feature, Visit&& visit) {
  for_each_value(record, feature, [&](const FieldValue& value) {
    if (value.type() == FieldType::number) {
      if (const auto number = number_of(value, feature)) visit(digits_of(*number));
    } else {
      for_each_name(text_of(value, feature), visit, feature.separator);
    }
  });
}

[[noreturn]] void refuse(const FeatureSpec& feature, const std::string& expected, const std::string& found);

}  // namespace attune::inline v0_1::detail
