// SPDX-License-Identifier: Apache-2.0
#pragma once

// A file of records opened: form and separator found out, names of the columns known, every line accounted for.

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/reader.hpp"
#include "data/json_lines.hpp"
#include "data/known_tables.hpp"
#include "data/record_scanner.hpp"

namespace attune::inline v0_1::detail {

class DelimitedFile {
 public:
  DelimitedFile(const std::filesystem::path& path, const ReadOptions& options);

  const std::vector<std::string>& columns() const noexcept { return columns_; }
  // The first column of that name, upper and lower case alike, or DelimitedReader::npos.
  std::size_t column(std::string_view name) const noexcept;

  // False at the end. Blank lines and the header are passed and counted, malformed records refused.
  bool next(std::vector<std::string_view>& fields);
  // As RecordScanner has them. Neither shows a header.
  bool peek_plain(std::span<PlainField> fields) noexcept { return !json_ && !held_ && scanner_.peek_plain(fields); }
  void take_plain() noexcept {
    scanner_.take_plain();
    ++records_;
  }

  // Whether a record has a field for each column; else refuses it.
  bool is_whole(const std::vector<std::string_view>& fields);
  // Counts the last record as dropped; false.
  bool drop(const std::string& reason);
  // Under BadValue::error throws Error(invalid_data), else drops; false.
  bool refuse(const std::string& reason, const std::string& expected_and_found);

  const RecordScanner& scanner() const noexcept { return scanner_; }
  std::size_t records() const noexcept { return records_; }
  const std::vector<LoadReport::Dropped>& dropped() const noexcept { return dropped_; }
  // "FILE:LINE: " of the last record.
  std::string place() const;
  // What is known of the file so far: up to `records`, and `dropped`.
  LoadReport report() const;

 private:
  RecordScanner::Status next_record(std::vector<std::string_view>& fields);
  // Whether a record says nothing but the names that are known.
  bool repeats_columns(const std::vector<std::string_view>& fields) const noexcept;
  // Holds the first record unless it is a header beside the names that are known.
  void look_for_header();
  void read_header();
  // A line that names columns: their names where none are known yet.
  void take_header(const std::vector<std::string_view>& fields);
  void read_first_object();

  BadValue bad_value_;
  RecordScanner scanner_;
  std::vector<std::string> columns_, types_;  // types as an atomic file has them, of the columns in its header
  std::string_view form_ = "delimited";
  std::optional<JsonLines> json_;
  std::optional<RecordScanner::Status> held_;  // of the first record, where it was looked at and is still to come
  std::vector<std::string_view> held_fields_;
  std::size_t header_lines_ = 0, blank_lines_ = 0, records_ = 0;
  std::vector<LoadReport::Dropped> dropped_;
};

}  // namespace attune::inline v0_1::detail
