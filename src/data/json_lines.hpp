// SPDX-License-Identifier: Apache-2.0
#pragma once

// JSON lines: each an object, whose fields become those of a record. The first line names the columns.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attune/error.hpp"
#include "data/json_scanner.hpp"

namespace attune::inline v0_1::detail {

// Why a record cannot be divided into fields: as it is counted, and as it is said.
struct Malformed {
  std::string reason, expected_and_found;
};

// Whether a file that begins so holds objects (or an array of them, which JsonLines refuses): its first line begins
// with one and ends where one may, as far as that is seen; `whole` says that nothing follows.
bool begins_with_json(std::string_view start, bool whole) noexcept;

class JsonLines {
 public:
  // `columns` are other names for the fields of the first line, in its order; "" for one to pass, whatever is in it;
  // none to keep the names, without blanks around them. Throws Error(invalid_data) for a line that is no object, or one
  // with fields of the same name or another number of them. `place` is for messages.
  JsonLines(std::string_view first_line, std::vector<std::string> columns, const std::string& place);

  const std::vector<std::string>& columns() const noexcept { return columns_; }
  // A field for each column: text, a number as it is written, "true", "false"; empty for null and where the line lacks
  // it. Valid as long as the line, until the next call. Nothing but `fields` is said of a line that is malformed: no
  // object, an object or array in a field, a field that the first line lacks or that is there twice, other bytes than
  // UTF-8, too many objects and arrays in one another in a field to pass.
  std::optional<Malformed> divide(std::string_view line, std::vector<std::string_view>& fields);

 private:
  // Takes the value of a field whose name was read, or says what is wrong with it and leaves the value.
  std::optional<Malformed> take_field(JsonScanner& scanner, const std::string& name,
                                      std::vector<std::string_view>& fields);
  // What is wrong with a line that `error` was said of.
  Malformed problem_of(std::string_view line, const Error& error) const;
  // Fields tend to come in the order of the first line: `expected_` is looked at first.
  std::size_t column_of(const std::string& name) const;

  std::vector<std::string> names_, columns_;
  std::map<std::string, std::size_t> column_by_name_;
  std::vector<std::string> buffers_;  // of each column
  // Of the line at hand.
  std::vector<bool> seen_;
  std::size_t expected_ = 0;
};

}  // namespace attune::inline v0_1::detail
