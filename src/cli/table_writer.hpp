// SPDX-License-Identifier: Apache-2.0
#pragma once

// Records as lines: CSV, TSV, JSON lines, RecBole's atomic files. What is written so is read again as it was.

#include <cstddef>
#include <functional>
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
  // Of the columns of what is read, in atomic files with the types that they have there. Those without a name are left
  // out where that is meant. Throws Error(invalid_data) where it is not, and for names that the form has no place for:
  // two that are the same, others than UTF-8. `file` is what is written, for messages.
  TableLines(TableForm::Kind form, const LoadReport& read, bool leaves_out_unnamed, const std::string& file);

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

// Writes the records of a table, in parts of some 64 KiB, after `change` (which may be none) has replaced what it wants
// of their fields. How many there were; what cannot be read or written is refused.
std::size_t write_table(DelimitedReader& reader, const TableLines& table,
                        const std::function<void(std::vector<std::string_view>& fields)>& change,
                        const std::function<void(std::string_view text)>& write);

}  // namespace attune::cli
