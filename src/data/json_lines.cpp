// SPDX-License-Identifier: Apache-2.0
#include "data/json_lines.hpp"

#include <algorithm>
#include <utility>

#include "data/record_scanner.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {

namespace {

constexpr int kMostLevels = 32;
constexpr const char* kName = "object";  // what messages call the text
constexpr const char* kWhiteSpace = " \t\r\n";
constexpr const char* kNotUtf8 = "expected UTF-8, found other bytes (--encoding)";

std::string_view behind_white_space(std::string_view text) noexcept {
  return text.substr(std::min(text.find_first_not_of(kWhiteSpace), text.size()));
}

std::vector<std::string> field_names(std::string_view line, const std::string& place) {
  if (!is_utf8(line)) throw Error(ErrorCode::invalid_data, place + kNotUtf8);
  std::vector<std::string> names;
  try {
    JsonScanner scanner(line, place, kName);
    scanner.members(line.size(), [&](std::string name) {
      if (names.size() == RecordScanner::kMaxFields) {
        throw Error(ErrorCode::limit_exceeded,
                    place + "expected at most " + std::to_string(RecordScanner::kMaxFields) + " fields, found more");
      }
      names.push_back(std::move(name));
      scanner.skip(kMostLevels);
    });
    scanner.end();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::limit_exceeded) throw;
    throw Error(ErrorCode::invalid_data,
                std::string(error.what()) + "; where this is no JSON, name what separates its fields (--separator)");
  }
  return names;
}

}  // namespace

bool begins_with_json(std::string_view start, bool whole) noexcept {
  start = behind_white_space(start);
  if (!start.starts_with('{') && !start.starts_with('[')) return false;
  const bool array = start[0] == '[';
  const std::string_view inside = behind_white_space(start.substr(1));
  if (!(array ? inside.starts_with('{') : inside.starts_with('"') || inside.starts_with('}'))) return false;
  const std::size_t line_end = start.find_first_of("\r\n");
  if (line_end == std::string_view::npos && !whole) return true;
  std::string_view line = start.substr(0, line_end);
  line = line.substr(0, line.find_last_not_of(kWhiteSpace) + 1);
  const bool goes_on = line == "{" || line == "[" || line == "[{";
  return goes_on || line.ends_with('}') || (array && (line.ends_with(']') || line.ends_with("},")));
}

JsonLines::JsonLines(std::string_view first_line, std::vector<std::string> columns, const std::string& place)
    : names_(field_names(first_line, place)),
      columns_(columns.empty() ? without_outer_blanks(names_) : std::move(columns)),
      buffers_(names_.size()),
      seen_(names_.size()) {
  if (columns_.size() != names_.size()) {
    throw Error(ErrorCode::invalid_data, place + "expected " + std::to_string(columns_.size()) +
                                             " fields, one for each column, found " + std::to_string(names_.size()));
  }
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (column_by_name_.emplace(names_[i], i).second) continue;
    throw Error(ErrorCode::invalid_data, place + "expected fields of different names, found the name of field " +
                                             std::to_string(i + 1) + " twice");
  }
}

std::optional<Malformed> JsonLines::divide(std::string_view line, std::vector<std::string_view>& fields) {
  fields.assign(columns_.size(), {});
  seen_.assign(columns_.size(), false);
  expected_ = 0;
  std::optional<Malformed> problem;  // the first one
  try {
    JsonScanner scanner(line, "", kName);
    scanner.members(line.size(), [&](const std::string& name) {
      if (!problem) problem = take_field(scanner, name, fields);
      if (problem) scanner.skip(kMostLevels);
    });
    scanner.end();
  } catch (const Error& error) {
    if (!problem) problem = problem_of(line, error);
  }
  return problem;
}

std::optional<Malformed> JsonLines::take_field(JsonScanner& scanner, const std::string& name,
                                               std::vector<std::string_view>& fields) {
  const std::size_t column = column_of(name);
  std::optional<Malformed> problem;
  if (column == columns_.size()) {
    problem = {"unknown field", "expected the fields of the first line, found another one"};
  } else if (seen_[column]) {
    problem = {"repeated field", in_column(columns_[column]) + "expected one field, found two"};
  } else if (const char first = scanner.peek(); !columns_[column].empty() && (first == '{' || first == '[')) {
    problem = {"nested value", in_column(columns_[column]) + "expected text, a number, true, false or null, found an " +
                                   (first == '{' ? "object" : "array")};
  } else if (!columns_[column].empty()) {
    fields[column] = scanner.scalar(buffers_[column]);
  } else {
    scanner.skip(kMostLevels);
  }
  if (problem) return problem;
  seen_[column] = true;
  expected_ = column + 1;
  return std::nullopt;
}

Malformed JsonLines::problem_of(std::string_view line, const Error& error) const {
  if (error.code() == ErrorCode::limit_exceeded) {
    return {"nested too deep",
            "expected at most " + std::to_string(kMostLevels) + " objects and arrays in one another, found more"};
  }
  const std::size_t good = utf8_size(line);
  if (good == line.size()) return {"not a JSON object", error.what()};
  std::string where;  // the field that is read when the good part ends
  try {
    JsonScanner scanner(line.substr(0, good), "", kName);
    scanner.members(line.size(), [&](const std::string& name) {
      const std::size_t column = column_of(name);
      if (column != columns_.size() && !columns_[column].empty()) where = in_column(columns_[column]);
      scanner.skip(kMostLevels);
      where.clear();
    });
  } catch (const Error&) {  // it ends too early for an object
  }
  return {"not UTF-8", where + kNotUtf8};
}

std::size_t JsonLines::column_of(const std::string& name) const {
  if (expected_ < names_.size() && names_[expected_] == name) return expected_;
  const auto found = column_by_name_.find(name);
  return found == column_by_name_.end() ? names_.size() : found->second;
}

}  // namespace attune::inline v0_1::detail
