// SPDX-License-Identifier: Apache-2.0
#pragma once

// JSON lines: each an object, whose fields become those of a record. The first line names the columns.

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

// Why a record cannot be divided into fields: as it is counted, and as it is said.
struct Malformed {
  std::string reason, expected_and_found;
};

// Whether a file that begins so holds objects (or an array of them, which JsonLines refuses).
bool begins_with_json(std::string_view start) noexcept;

class JsonLines {
 public:
  // `columns` are other names for the fields of the first line, in its order; "" for one to pass, whatever is in it;
  // none to keep the names. Throws Error(invalid_data) for a line that is no object, or one with fields of the same
  // name or another number of them. `place` is for messages.
  JsonLines(std::string_view first_line, std::vector<std::string> columns, const std::string& place);

  const std::vector<std::string>& columns() const noexcept { return columns_; }
  // A field for each column: text, a number as it is written, "true", "false"; empty for null and where the line lacks
  // it. Valid as long as the line, until the next call. Nothing but `fields` is said of a line that is malformed: no
  // object, an object or array in a field, a field that the first line lacks or that is there twice.
  std::optional<Malformed> divide(std::string_view line, std::vector<std::string_view>& fields);

 private:
  // Fields tend to come in the order of the first line: `expected` is looked at first.
  std::size_t column_of(const std::string& name, std::size_t expected) const;

  std::vector<std::string> names_, columns_;
  std::map<std::string, std::size_t> column_by_name_;
  std::vector<std::string> buffers_;  // of each column
  std::vector<bool> seen_;            // in the line at hand
};

}  // namespace attune::inline v0_1::detail
