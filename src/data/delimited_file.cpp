// SPDX-License-Identifier: Apache-2.0
#include "data/delimited_file.hpp"

#include <algorithm>
#include <utility>

#include "attune/error.hpp"
#include "data/separator.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {

using Status = RecordScanner::Status;

DelimitedFile::DelimitedFile(const std::filesystem::path& path, const ReadOptions& options)
    : scanner_(open_byte_source(path), display_name(path)), columns_(options.columns) {
  if (options.separator.find_first_of("\"\r\n") != std::string::npos) {
    throw Error(ErrorCode::invalid_argument, "separator: expected text without quotes and line breaks");
  }
  scanner_.set_separator(options.separator.empty() ? find_separator(scanner_.start(), scanner_.whole(), columns_.size())
                                                   : options.separator);
  if (columns_.empty() || options.skip_header) {
    read_header();
  } else {
    may_repeat_columns_ = true;
  }
}

std::size_t DelimitedFile::column(std::string_view name) const noexcept {
  const auto found = std::find_if(columns_.begin(), columns_.end(),
                                  [&](const std::string& column) { return equals_ignoring_case(column, name); });
  return found == columns_.end() ? DelimitedReader::npos : static_cast<std::size_t>(found - columns_.begin());
}

Status DelimitedFile::next(std::vector<std::string_view>& fields) {
  const Status status = next_record(fields);
  if (!std::exchange(may_repeat_columns_, false) || status != Status::record ||
      !std::equal(fields.begin(), fields.end(), columns_.begin(), columns_.end(), equals_ignoring_case)) {
    return status;
  }
  header_lines_ = scanner_.lines() - blank_lines_;
  return next_record(fields);
}

std::string DelimitedFile::place() const { return scanner_.file() + ":" + std::to_string(scanner_.line()) + ": "; }

Status DelimitedFile::next_record(std::vector<std::string_view>& fields) {
  Status status = scanner_.next(fields);
  for (; status == Status::blank_line; status = scanner_.next(fields)) ++blank_lines_;
  return status;
}

void DelimitedFile::read_header() {
  std::vector<std::string_view> fields;
  const Status status = next_record(fields);
  if (status == Status::end) {
    throw Error(ErrorCode::invalid_data, scanner_.file() + ": expected a line of column names, found only blank lines");
  }
  if (status == Status::malformed) {
    throw Error(ErrorCode::invalid_data, place() + "expected a separator behind a closing quote, found other text");
  }
  header_lines_ = scanner_.lines() - blank_lines_;
  if (!columns_.empty()) return;
  for (const std::string_view field : fields) columns_.emplace_back(without_outer_blanks(field));
}

}  // namespace attune::inline v0_1::detail
