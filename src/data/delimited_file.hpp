// SPDX-License-Identifier: Apache-2.0
#pragma once

// A delimited file opened: separator found out, names of the columns known, counts of lines kept.

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/reader.hpp"
#include "data/record_scanner.hpp"

namespace attune::inline v0_1::detail {

class DelimitedFile {
 public:
  DelimitedFile(const std::filesystem::path& path, const ReadOptions& options);

  const std::vector<std::string>& columns() const noexcept { return columns_; }
  // The first column of that name, upper and lower case alike, or DelimitedReader::npos.
  std::size_t column(std::string_view name) const noexcept;

  // Status::record, malformed or end: blank lines and the header are passed and counted.
  RecordScanner::Status next(std::vector<std::string_view>& fields);
  // As RecordScanner has them. Neither shows a header.
  bool peek_plain(std::span<PlainField> fields) noexcept { return !may_repeat_columns_ && scanner_.peek_plain(fields); }
  void take_plain() noexcept { scanner_.take_plain(); }

  const RecordScanner& scanner() const noexcept { return scanner_; }
  std::size_t header_lines() const noexcept { return header_lines_; }
  std::size_t blank_lines() const noexcept { return blank_lines_; }

  // "FILE:LINE: " of the last record.
  std::string place() const;

 private:
  RecordScanner::Status next_record(std::vector<std::string_view>& fields);
  void read_header();

  RecordScanner scanner_;
  std::vector<std::string> columns_;
  std::size_t header_lines_ = 0, blank_lines_ = 0;
  bool may_repeat_columns_ = false;  // the next record may be a header that says what is known
};

}  // namespace attune::inline v0_1::detail
