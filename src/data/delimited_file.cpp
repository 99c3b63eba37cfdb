// SPDX-License-Identifier: Apache-2.0
#include "data/delimited_file.hpp"

#include <algorithm>
#include <utility>

#include "attune/error.hpp"
#include "data/separator.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {

using Status = RecordScanner::Status;

namespace {

constexpr const char* kBehindQuote = "expected a separator behind a closing quote, found other text";

std::unique_ptr<ByteSource> open_as_utf_8(const std::filesystem::path& path, Encoding encoding) {
  auto source = open_byte_source(path);
  return encoding == Encoding::latin_1 ? from_latin_1(std::move(source)) : std::move(source);
}

}  // namespace

DelimitedFile::DelimitedFile(const ReadOptions& options, const std::filesystem::path& path)
    : bad_value_(options.bad_value),
      scanner_(open_as_utf_8(path, options.encoding), display_name(path)),
      columns_(options.columns) {
  if (options.separator.find_first_of("\"\r\n") != std::string::npos) {
    throw Error(ErrorCode::invalid_argument, "separator: expected text without quotes and line breaks");
  }
  if (options.separator.empty() && begins_with_json(scanner_.start())) {
    read_first_object();
    return;
  }
  scanner_.set_separator(options.separator.empty() ? find_separator(scanner_.start(), scanner_.whole(), columns_.size())
                                                   : options.separator);
  may_repeat_columns_ = !columns_.empty() && !options.skip_header;
  if (!may_repeat_columns_) read_header();
  plain_lines_ = !may_repeat_columns_;
}

std::size_t DelimitedFile::column(std::string_view name) const noexcept {
  const auto found = std::find_if(columns_.begin(), columns_.end(),
                                  [&](const std::string& column) { return equals_ignoring_case(column, name); });
  return found == columns_.end() ? DelimitedReader::npos : static_cast<std::size_t>(found - columns_.begin());
}

bool DelimitedFile::next(std::vector<std::string_view>& fields) {
  for (;;) {
    const Status status = next_record(fields);
    if (status == Status::end) return false;
    if (std::exchange(may_repeat_columns_, false)) {
      plain_lines_ = true;
      if (status == Status::record && repeats_columns(fields)) {
        header_lines_ = scanner_.lines() - blank_lines_;
        continue;
      }
    }
    ++records_;
    std::optional<Malformed> malformed;
    if (status == Status::malformed) malformed = {"text behind a closing quote", kBehindQuote};
    if (json_) malformed = json_->divide(fields[0], fields);
    if (!malformed) return true;
    refuse(malformed->reason, malformed->expected_and_found);
  }
}

bool DelimitedFile::drop(const std::string& reason) {
  auto entry =
      std::find_if(dropped_.begin(), dropped_.end(), [&](const auto& known) { return known.reason == reason; });
  if (entry == dropped_.end()) entry = dropped_.insert(entry, {reason, 0, scanner_.line()});
  ++entry->lines;
  return false;
}

bool DelimitedFile::refuse(const std::string& reason, const std::string& expected_and_found) {
  if (bad_value_ == BadValue::error) throw Error(ErrorCode::invalid_data, place() + expected_and_found);
  return drop(reason);
}

std::string DelimitedFile::place() const { return scanner_.file() + ":" + std::to_string(scanner_.line()) + ": "; }

LoadReport DelimitedFile::report() const {
  LoadReport report;
  report.file = scanner_.file();
  report.form = form_;
  report.compression = scanner_.compression();
  report.separator = scanner_.separator();
  report.columns = columns_;
  report.bytes = scanner_.bytes();
  report.lines = scanner_.lines();
  report.header_lines = header_lines_;
  report.blank_lines = blank_lines_;
  report.records = records_;
  report.dropped = dropped_;
  return report;
}

Status DelimitedFile::next_record(std::vector<std::string_view>& fields) {
  if (first_object_) {
    fields.assign(1, *std::exchange(first_object_, std::nullopt));
    return Status::record;
  }
  Status status = scanner_.next(fields);
  for (; status == Status::blank_line; status = scanner_.next(fields)) ++blank_lines_;
  return status;
}

bool DelimitedFile::repeats_columns(const std::vector<std::string_view>& fields) const noexcept {
  return std::equal(fields.begin(), fields.end(), columns_.begin(), columns_.end(), equals_ignoring_case);
}

void DelimitedFile::read_header() {
  std::vector<std::string_view> fields;
  const Status status = next_record(fields);
  if (status == Status::end) {
    throw Error(ErrorCode::invalid_data, scanner_.file() + ": expected a line of column names, found only blank lines");
  }
  if (status == Status::malformed) throw Error(ErrorCode::invalid_data, place() + kBehindQuote);
  header_lines_ = scanner_.lines() - blank_lines_;
  if (!columns_.empty()) return;
  for (const std::string_view field : fields) columns_.emplace_back(without_outer_blanks(field));
  if (!is_atomic_header(columns_)) return;
  columns_ = columns_of_atomic_header(columns_, place());
  form_ = "atomic";
}

// Its names are those of the columns.
void DelimitedFile::read_first_object() {
  form_ = "json_lines";
  scanner_.set_separator("");
  std::vector<std::string_view> fields;
  next_record(fields);
  first_object_ = fields[0];
  json_.emplace(fields[0], std::move(columns_), place());
  columns_ = json_->columns();
}

}  // namespace attune::inline v0_1::detail
