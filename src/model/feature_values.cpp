// SPDX-License-Identifier: Apache-2.0
#include "model/feature_values.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr double kMostMilliseconds = 253'402'300'800'000;  // the end of the year 9999; as far before 1970

const char* name_of(FieldType type) noexcept {
  switch (type) {
    case FieldType::category: return "text";
    case FieldType::number: return "a number";
    case FieldType::vector: break;
  }
  return "a vector";
}

std::string in_double_quotes(std::string_view text) { return in_quotes(text, '"'); }

std::optional<double> finite(double number, const FeatureSpec& feature, const char* expected) {
  if (std::isnan(number)) return std::nullopt;
  if (std::isinf(number)) refuse(feature, expected, "an infinite one");
  return number;
}

}  // namespace

void refuse(const FeatureSpec& feature, const std::string& expected, const std::string& found) {
  throw Error(ErrorCode::invalid_data,
              "feature " + in_double_quotes(feature.name) + ": expected " + expected + ", found " + found);
}

const FieldValue* find_field(std::span<const FieldValue> record, std::string_view field) noexcept {
  const auto found = std::ranges::find(record, field, &FieldValue::field);
  return found == record.end() ? nullptr : &*found;
}

std::optional<double> number_of(const FieldValue& value, const FeatureSpec& feature) {
  constexpr const char* kExpected = "a finite number";
  if (value.type() == FieldType::number) return finite(value.number(), feature, kExpected);
  const std::string_view text = without_outer_blanks(text_of(value, feature));
  if (text.empty()) return std::nullopt;
  const auto number = parse_number<double>(text);
  if (!number || !std::isfinite(*number)) refuse(feature, kExpected, in_double_quotes(text));
  return number;
}

std::optional<double> time_of(const FieldValue& value, const FeatureSpec& feature) {
  constexpr const char* kExpected = "a time before the year 10000: ISO-8601, seconds or milliseconds since 1970";
  std::optional<double> time;
  if (value.type() == FieldType::number) {
    time = finite(value.number(), feature, kExpected);
  } else {
    const std::string_view text = without_outer_blanks(text_of(value, feature));
    if (text.empty()) return std::nullopt;
    Timestamp milliseconds = parse_iso8601(text);
    if (const auto whole = parse_number<std::int64_t>(text)) milliseconds = from_seconds_or_milliseconds(*whole);
    if (milliseconds == kNoTime) refuse(feature, kExpected, in_double_quotes(text));
    time = static_cast<double>(milliseconds);
  }
  if (time && std::abs(*time) >= kMostMilliseconds) refuse(feature, kExpected, digits_of(*time) + " milliseconds");
  return time;
}

std::string_view text_of(const FieldValue& value, const FeatureSpec& feature) {
  if (value.type() != FieldType::category) refuse(feature, "text", name_of(value.type()));
  return value.names();
}

std::span<const float> vector_of(const FieldValue& value, const FeatureSpec& feature, std::size_t width) {
  if (value.type() != FieldType::vector) {
    if (value.type() == FieldType::category && value.names().empty()) return {};
    refuse(feature, "a vector", name_of(value.type()));
  }
  const auto vector = value.vector();
  if (width != 0 && !vector.empty() && vector.size() != width) {
    refuse(feature, std::to_string(width) + " numbers", std::to_string(vector.size()));
  }
  const auto bad = std::ranges::find_if_not(vector, [](float number) { return std::isfinite(number); });
  if (bad != vector.end()) {
    refuse(feature, "finite numbers", "a NaN or infinite one in place " + std::to_string(bad - vector.begin()));
  }
  return vector;
}

std::string digits_of(double number) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  return {digits.data(), end};
}

}  // namespace attune::inline v0_1::detail
