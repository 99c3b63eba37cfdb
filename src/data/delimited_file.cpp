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

std::unique_ptr<ByteSource> open_as_utf_8(const std::filesystem::path& path, std::optional<Encoding> asked) {
  auto source = open_byte_source(path);
  const std::string start = peek(source, 4);  // a byte order mark and what is behind it
  const std::string_view behind_mark = without_byte_order_mark(start);
  const bool marked = behind_mark.size() < start.size();
  const Encoding known = marked ? Encoding::utf_8 : known_encoding(path, behind_mark);
  if (asked.value_or(known) != Encoding::latin_1) return source;
  if (!marked) return from_latin_1(std::move(source));
  throw Error(ErrorCode::invalid_data, display_name(path) + ": expected Latin-1, found the byte order mark of UTF-8");
}

void require_types(const std::vector<std::string>& types, const std::string& place) {
  const auto missing = std::find(types.begin(), types.end(), "");
  if (missing == types.end()) return;
  throw Error(ErrorCode::invalid_data, place + "expected a colon and the type token, token_seq, float or float_seq " +
                                           "behind each name, found another end of name " +
                                           std::to_string(missing - types.begin() + 1));
}

}  // namespace

DelimitedFile::DelimitedFile(const std::filesystem::path& path, const ReadOptions& options)
    : bad_value_(options.bad_value),
      scanner_(open_as_utf_8(path, options.encoding), display_name(path)),
      columns_(without_outer_blanks(options.columns)) {
  if (options.separator.find_first_of("\"\r\n") != std::string::npos) {
    throw Error(ErrorCode::invalid_argument, "separator: expected text without quotes and line breaks");
  }
  blank_lines_ = scanner_.pass_blank_lines();
  if (options.separator.empty() && begins_with_json(scanner_.start(), scanner_.whole())) {
    if (options.skip_header) {
      throw Error(ErrorCode::invalid_data, scanner_.file() + ": expected a header line to skip, found JSON lines");
    }
    read_first_object();
    return;
  }
  if (columns_.empty()) columns_ = known_columns(path, scanner_.start());
  scanner_.set_separator(options.separator.empty() ? find_separator(scanner_.start(), scanner_.whole(), columns_.size())
                                                   : options.separator);
  const bool replaces_header = options.skip_header && !options.columns.empty();
  columns_.empty() || replaces_header ? read_header() : look_for_header();
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
    ++records_;
    std::optional<Malformed> malformed;
    if (status == Status::malformed) malformed = {"text behind a closing quote", kBehindQuote};
    if (json_) malformed = json_->divide(fields[0], fields);
    if (!malformed) return true;
    refuse(malformed->reason, malformed->expected_and_found);
  }
}

bool DelimitedFile::is_whole(const std::vector<std::string_view>& fields) {
  const std::size_t expected = columns_.size(), found = fields.size();
  if (found == expected) return true;
  return refuse(found < expected ? "too few fields" : "too many fields",
                "expected " + std::to_string(expected) + " fields, found " + std::to_string(found));
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
  if (types_.size() == columns_.size()) report.types = types_;
  report.bytes = scanner_.bytes();
  report.lines = scanner_.lines();
  report.header_lines = header_lines_;
  report.blank_lines = blank_lines_;
  report.records = records_;
  report.dropped = dropped_;
  return report;
}

Status DelimitedFile::next_record(std::vector<std::string_view>& fields) {
  if (held_) {
    fields = held_fields_;
    return *std::exchange(held_, std::nullopt);
  }
  Status status = scanner_.next(fields);
  for (; status == Status::blank_line; status = scanner_.next(fields)) ++blank_lines_;
  return status;
}

bool DelimitedFile::repeats_columns(const std::vector<std::string_view>& fields) const noexcept {
  return std::equal(fields.begin(), fields.end(), columns_.begin(), columns_.end(), equals_ignoring_case);
}

void DelimitedFile::look_for_header() {
  const Status status = next_record(held_fields_);
  if (status == Status::record && (repeats_columns(held_fields_) || is_atomic_header(held_fields_))) {
    take_header(held_fields_);
  } else {
    held_ = status;
  }
}

void DelimitedFile::read_header() {
  std::vector<std::string_view> fields;
  const Status status = next_record(fields);
  if (status == Status::end) {
    throw Error(ErrorCode::invalid_data, scanner_.file() + ": expected a line of column names, found only blank lines");
  }
  if (status == Status::malformed) throw Error(ErrorCode::invalid_data, place() + kBehindQuote);
  take_header(fields);
}

void DelimitedFile::take_header(const std::vector<std::string_view>& fields) {
  header_lines_ = scanner_.lines() - blank_lines_;
  if (is_atomic_header(fields)) {
    AtomicHeader header = divide_atomic_header(fields);
    form_ = "atomic";
    types_ = std::move(header.types);
    if (columns_.empty()) {
      require_types(types_, place());
      columns_ = std::move(header.columns);
    }
  }
  if (!columns_.empty()) return;
  for (const std::string_view field : fields) columns_.emplace_back(without_outer_blanks(field));
}

// Its names are those of the columns.
void DelimitedFile::read_first_object() {
  form_ = "json_lines";
  scanner_.set_separator("");
  held_ = next_record(held_fields_);
  json_.emplace(held_fields_[0], std::move(columns_), place());
  columns_ = json_->columns();
}

}  // namespace attune::inline v0_1::detail
