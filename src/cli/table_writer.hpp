// SPDX-License-Identifier: Apache-2.0
#pragma once

// Records as lines: CSV, TSV, JSON lines, RecBole's atomic files. What is written so is read again as it was.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/reader.hpp"

namespace attune::cli {

struct TableForm {
  enum class Kind { csv, tsv, json_lines, atomic };
  Kind kind = Kind::csv;
  bool gzip = false;

  // By the name of a file: .csv, .tsv, .jsonl or .ndjson, .inter, .item or .user, and .gz behind it. Throws UsageError.
  static TableForm of(const std::string& file);
  std::string name() const;  // as LoadReport::form has it, or "csv", "tsv"
};

// Why a record cannot be written in a form; nothing is wrong where `reason` is empty.
struct Unwritable {
  std::string reason, expected_and_found;
};

class TableLines {
 public:
  // Columns without a name are left out. Throws Error(invalid_data) for names that the form has no place for: two that
  // are the same, others than UTF-8. `file` is for messages.
  TableLines(TableForm::Kind form, std::vector<std::string> columns, const std::string& file);

  std::string header() const;  // "" where the form has none
  // Appends a line to `lines`, or nothing. Preconditions: as many fields as columns.
  Unwritable append(const std::vector<std::string_view>& fields, std::string& lines) const;

 private:
  Unwritable append_object(const std::vector<std::string_view>& fields, std::string& lines) const;
  void append_delimited(const std::vector<std::string_view>& fields, std::string& lines) const;
  bool is_written(std::size_t column) const noexcept { return !columns_[column].empty(); }

  TableForm::Kind form_;
  std::vector<std::string> columns_, names_;  // as they were read, and as they are written
  std::vector<bool> numbers_;                 // those that are numbers by their name
  std::size_t written_ = 0;
};

}  // namespace attune::cli
