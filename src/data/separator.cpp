// SPDX-License-Identifier: Apache-2.0
#include "data/separator.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "data/text.hpp"

namespace attune::inline v0_1::detail {

namespace {

constexpr std::size_t kSampleLines = 10;

constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Records at the start of a file; line breaks inside quotes belong to them. The last one may be cut off, and counts
// only if it is the only one.
std::vector<std::string_view> sample_records(std::string_view start, bool whole_file) {
  std::vector<std::string_view> records;
  bool quoted = false;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < start.size() && records.size() < kSampleLines; ++i) {
    if (start[i] == '"') quoted = !quoted;
    if (quoted || (start[i] != '\n' && start[i] != '\r')) continue;
    const std::string_view record = start.substr(begin, i - begin);
    if (!without_outer_blanks(record).empty()) records.push_back(record);
    begin = i + 1;
  }
  const bool sample_is_full = records.size() == kSampleLines;
  if (begin < start.size() && !sample_is_full && (whole_file || records.empty())) {
    records.push_back(start.substr(begin));
  }
  return records;
}

std::vector<std::string_view> divide(std::string_view record, std::string_view separator) {
  std::vector<std::string_view> fields;
  bool quoted = false;
  std::size_t begin = 0;
  if (separator == " ") record = without_outer_blanks(record);
  for (std::size_t i = 0; i < record.size(); ++i) {
    if (record[i] == '"') quoted = !quoted;
    if (quoted || !record.substr(i).starts_with(separator)) continue;
    if (separator != " " || i > begin) fields.push_back(record.substr(begin, i - begin));
    begin = i + separator.size();
    i = begin - 1;
  }
  fields.push_back(record.substr(begin));
  return fields;
}

bool names_item(const std::vector<std::string_view>& fields) {
  return fields.size() > 1 && std::any_of(fields.begin(), fields.end(), [](std::string_view field) {
           field = without_outer_blanks(field);
           return equals_ignoring_case(field, "item") || equals_ignoring_case(field, "\"item\"");
         });
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string find_separator(std::string_view start, bool whole_file, std::size_t columns) {
  constexpr std::array<std::string_view, 6> kCandidates{"::", "\t", ",", ";", "|", " "};
  const std::vector<std::string_view> records = sample_records(start, whole_file);
  std::array<std::vector<std::vector<std::string_view>>, kCandidates.size()> divided;
  for (std::size_t i = 0; i < kCandidates.size(); ++i) {
    for (const std::string_view record : records) divided[i].push_back(divide(record, kCandidates[i]));
  }
  const auto first_with = [&](const auto& condition) -> std::string_view {
    for (std::size_t i = 0; i < kCandidates.size(); ++i) {
      if (!divided[i].empty() && condition(divided[i])) return kCandidates[i];
    }
    return {};
  };
  const auto all_have = [](const auto& fields, std::size_t count) {
    return std::all_of(fields.begin(), fields.end(), [&](const auto& record) { return record.size() == count; });
  };
  std::string_view found;
  if (columns > 1) found = first_with([&](const auto& fields) { return all_have(fields, columns); });
  if (found.empty() && columns == 0) found = first_with([](const auto& fields) { return names_item(fields[0]); });
  if (found.empty()) {
    found = first_with([&](const auto& fields) { return fields[0].size() > 1 && all_have(fields, fields[0].size()); });
  }
  if (found.empty()) found = first_with([](const auto& fields) { return fields[0].size() > 1; });
  return std::string(found.empty() ? "," : found);
}

}  // namespace attune::inline v0_1::detail
