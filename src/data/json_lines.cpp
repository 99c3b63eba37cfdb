// SPDX-License-Identifier: Apache-2.0
#include "data/json_lines.hpp"

#include <algorithm>
#include <utility>

#include "attune/error.hpp"
#include "data/json_scanner.hpp"
#include "data/record_scanner.hpp"

namespace attune::inline v0_1::detail {

namespace {

constexpr int kMostLevels = 32;
constexpr const char* kName = "object";  // what messages call the text

std::vector<std::string> field_names(std::string_view line, const std::string& place) {
  std::vector<std::string> names;
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
  return names;
}

}  // namespace

bool begins_with_json(std::string_view start) noexcept {
  const auto behind_blanks = [&] { return start.substr(std::min(start.find_first_not_of(" \t\r\n"), start.size())); };
  start = behind_blanks();
  if (start.empty() || (start[0] != '{' && start[0] != '[')) return false;
  const bool array = start[0] == '[';
  start.remove_prefix(1);
  start = behind_blanks();
  return array ? start.starts_with('{') : start.starts_with('"') || start.starts_with('}');
}

JsonLines::JsonLines(std::string_view first_line, std::vector<std::string> columns, const std::string& place) try
    : names_(field_names(first_line, place)),
      columns_(columns.empty() ? names_ : std::move(columns)),
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
} catch (const Error& error) {
  if (error.code() == ErrorCode::limit_exceeded) throw;
  throw Error(ErrorCode::invalid_data, error.what());
}

std::optional<Malformed> JsonLines::divide(std::string_view line, std::vector<std::string_view>& fields) {
  fields.assign(columns_.size(), {});
  seen_.assign(columns_.size(), false);
  std::size_t expected = 0;
  try {
    JsonScanner scanner(line, "", kName);
    scanner.members(line.size(), [&](const std::string& name) {
      const std::size_t column = column_of(name, expected);
      if (column == columns_.size()) {
        throw Malformed{"unknown field", "expected the fields of the first line, found another one"};
      }
      const auto in_column = [&] { return "column '" + columns_[column] + "': "; };
      if (seen_[column]) throw Malformed{"repeated field", in_column() + "expected one field, found two"};
      seen_[column] = true;
      expected = column + 1;
      if (columns_[column].empty()) return scanner.skip(kMostLevels);
      if (const char first = scanner.peek(); first == '{' || first == '[') {
        throw Malformed{"nested value", in_column() + "expected text, a number, true, false or null, found an " +
                                            (first == '{' ? "object" : "array")};
      }
      fields[column] = scanner.scalar(buffers_[column]);
    });
    scanner.end();
  } catch (Malformed& malformed) {
    return std::move(malformed);
  } catch (const Error& error) {
    return Malformed{"not a JSON object", error.what()};
  }
  return std::nullopt;
}

std::size_t JsonLines::column_of(const std::string& name, std::size_t expected) const {
  if (expected < names_.size() && names_[expected] == name) return expected;
  const auto found = column_by_name_.find(name);
  return found == column_by_name_.end() ? names_.size() : found->second;
}

}  // namespace attune::inline v0_1::detail
