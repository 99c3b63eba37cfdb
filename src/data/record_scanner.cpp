// SPDX-License-Identifier: Apache-2.0
#include "data/record_scanner.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <span>
#include <utility>

#include "attune/error.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {

namespace {

constexpr std::size_t kFirstBufferBytes = std::size_t{1} << 16;

constexpr bool is_line_end(char c) noexcept { return c == '\n' || c == '\r'; }
// At most 9 if it is one.
constexpr std::uint64_t digit_of(char c) noexcept {
  return static_cast<std::uint64_t>(static_cast<unsigned char>(c)) - '0';
}

bool is_blank(std::string_view record, bool tabs_are_blank) noexcept {
  return std::all_of(record.begin(), record.end(),
                     [&](char c) { return c == ' ' || is_line_end(c) || (tabs_are_blank && c == '\t'); });
}

}  // namespace

RecordScanner::RecordScanner(std::unique_ptr<ByteSource> source, std::string file)
    : source_(std::move(source)), file_(std::move(file)), buffer_(kFirstBufferBytes + 1) {
  begin_ = end_ = buffer_.data();
  fill();
  begin_ += start().size() - without_byte_order_mark(start()).size();
  if (begin_ == end_) throw Error(ErrorCode::invalid_data, file_ + ": expected lines of text, found an empty file");
  set_separator(separator_);
}

void RecordScanner::set_separator(std::string separator) {
  separator_ = std::move(separator);
  quotes_ = separator_ != "::" && !separator_.empty();
  merge_separators_ = separator_ == " ";
  byte_classes_.fill(ByteClass::plain);
  class_of('\n') = class_of('\r') = ByteClass::perhaps;
  if (separator_.empty()) return;
  class_of(separator_.front()) = separator_.size() == 1 ? ByteClass::separator : ByteClass::perhaps;
}

std::size_t RecordScanner::pass_blank_lines() {
  std::size_t passed = 0;
  for (;;) {
    const char* at = begin_;
    while (*at == ' ') ++at;
    if ((at == end_ || !sees_next(at)) && !source_ended_) {
      fill();
      continue;
    }
    if (at == end_ || !is_line_end(*at)) break;
    begin_ = behind_line_end(at);
    ++passed;
  }
  lines_ += passed;
  if (passed != 0 && !source_ended_) fill();
  return passed;
}

RecordScanner::Status RecordScanner::next(std::vector<std::string_view>& fields) {
  while (begin_ < end_ || !source_ended_) {
    const char* const first = begin_;
    const Scan result = scan(fields);
    if (result == Scan::needs_more) {
      fill();
      continue;
    }
    line_ = lines_ + 1;
    lines_ += 1 + inner_lines_;
    if (result == Scan::malformed) return Status::malformed;
    return fields.size() <= 1 && is_blank({first, begin_}, separator_.empty()) ? Status::blank_line : Status::record;
  }
  return Status::end;
}

bool RecordScanner::peek_plain(std::span<PlainField> fields) noexcept {
  constexpr std::ptrdiff_t kMostDigits = 18;  // that an int64 holds whatever they are
  if (merge_separators_) return false;
  const char* at = begin_;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const char* const first = at;
    std::uint64_t number = 0;
    for (std::uint64_t digit = 0; (digit = digit_of(*at)) <= 9; ++at) number = 10 * number + digit;
    const char* const behind_digits = at;
    if (class_of(*at) != ByteClass::separator && (*at != '\n' || at == end_)) {
      if (*at == '"' && at == first && quotes_) return false;
      at = field_end(at);
      if (at == nullptr) return false;
    }
    const bool last = i + 1 == fields.size();
    if (is_line_end(*at) != last) return false;
    const bool is_number = at == behind_digits && at != first && at - first <= kMostDigits;
    fields[i] = {{first, at}, is_number ? static_cast<std::int64_t>(number) : PlainField::kNotANumber};
    at += last ? 0 : separator_.size();
  }
  behind_plain_ = behind_line_end(at);
  return true;
}

void RecordScanner::take_plain() noexcept {
  assert(behind_plain_ > begin_);
  begin_ = behind_plain_;
  line_ = ++lines_;
}

// The record at begin_, which moves behind it; nothing but the fields changes if the buffer ends too early. Fields keep
// their places from record to record, so that the vector grows only once.
RecordScanner::Scan RecordScanner::scan(std::vector<std::string_view>& fields) {
  escaped_fields_.clear();
  inner_lines_ = 0;
  open_quote_line_ = 0;
  std::size_t count = 0;
  for (const char* at = begin_;;) {
    if (count == fields.size()) add_field(fields);
    const bool quoted = *at == '"' && quotes_;
    const char* const behind_quote = quoted ? scan_quoted(at, fields, count) : at;
    if (behind_quote == nullptr) return Scan::needs_more;
    const char* const end = field_end(behind_quote);
    if (end == nullptr) return Scan::needs_more;
    if (!quoted) {
      fields[count] = {at, end};
    } else if (end != behind_quote) {
      return skip_line(end);
    }
    if (quoted || end != at || !merge_separators_) ++count;
    if (is_line_end(*end)) {
      begin_ = behind_line_end(end);
      fields.resize(count);
      if (!escaped_fields_.empty()) unescape(fields);
      return Scan::record;
    }
    at = end + separator_.size();
  }
}

void RecordScanner::add_field(std::vector<std::string_view>& fields) const {
  if (fields.size() == kMaxFields) {
    throw Error(ErrorCode::limit_exceeded, file_ + ":" + std::to_string(lines_ + 1) + ": expected at most " +
                                               std::to_string(kMaxFields) + " fields, found more");
  }
  fields.emplace_back();
}

RecordScanner::Scan RecordScanner::skip_line(const char* at) noexcept {
  while (at != nullptr && !is_line_end(*at)) at = field_end(at + separator_.size());
  if (at == nullptr) return Scan::needs_more;
  begin_ = behind_line_end(at);
  return Scan::malformed;
}

const char* RecordScanner::confirm_field_end(const char* at) const noexcept {
  for (;; ++at) {
    while (class_of(*at) == ByteClass::plain) ++at;
    if (*at == '\n') return at < end_ || source_ended_ ? at : nullptr;
    if (*at == '\r') return sees_next(at) ? at : nullptr;
    const auto left = static_cast<std::size_t>(end_ - at);
    if (left < separator_.size() && !source_ended_) return nullptr;
    if (std::string_view(at, std::min(left, separator_.size())) == separator_) return at;
  }
}

const char* RecordScanner::scan_quoted(const char* at, std::vector<std::string_view>& fields, std::size_t index) {
  open_quote_line_ = lines_ + 1 + inner_lines_;
  const char* const first = ++at;
  bool escaped = false;
  for (;;) {
    while (*at != '"' && !is_line_end(*at)) ++at;
    if (at == end_ && source_ended_) {
      throw Error(ErrorCode::invalid_data, file_ + ":" + std::to_string(open_quote_line_) +
                                               ": expected a closing quote, found the end of the file");
    }
    if (at == end_ || !sees_next(at)) return nullptr;
    if (is_line_end(*at)) {
      at = behind_line_end(at);
      ++inner_lines_;
    } else if (at[1] == '"') {
      at += 2;
      escaped = true;
    } else {
      break;
    }
  }
  open_quote_line_ = 0;
  if (escaped) escaped_fields_.push_back(index);
  fields[index] = {first, at};
  return at + 1;
}

const char* RecordScanner::behind_line_end(const char* at) const noexcept {
  if (at == end_) return at;
  return at + (*at == '\r' && at + 1 < end_ && at[1] == '\n' ? 2 : 1);
}

// Two quotes inside a quoted field are one.
void RecordScanner::unescape(std::vector<std::string_view>& fields) noexcept {
  for (const std::size_t index : escaped_fields_) {
    std::string_view& field = fields[index];
    char* const first = buffer_.data() + (field.data() - buffer_.data());
    char* to = first;
    for (std::size_t i = 0; i < field.size(); ++i) {
      *to++ = field[i];
      if (field[i] == '"') ++i;
    }
    field = {first, to};
  }
}

// Moves what is left to the front of the buffer, twice as large if it is full, and reads behind it.
void RecordScanner::fill() {
  const auto left = static_cast<std::size_t>(end_ - begin_);
  if (left + 1 == buffer_.size()) {
    if (left >= kMaxRecordBytes) too_long();
    std::vector<char> larger(2 * left + 1);
    std::memcpy(larger.data(), begin_, left);
    buffer_.swap(larger);
  } else {
    std::memmove(buffer_.data(), begin_, left);
  }
  const std::size_t room = buffer_.size() - 1 - left;
  begin_ = buffer_.data();
  end_ = buffer_.data() + left;
  const std::size_t got = source_->read(std::as_writable_bytes(std::span(end_, room)));
  source_ended_ = got < room;
  bytes_ += got;
  end_ += got;
  *end_ = '\n';
}

void RecordScanner::too_long() const {
  std::string message = file_ + ":" + std::to_string(lines_ + 1) + ": expected a record of at most " +
                        std::to_string(kMaxRecordBytes >> 20) + " MiB, found a longer one";
  if (open_quote_line_ != 0) {
    message += "; the quote opened in line " + std::to_string(open_quote_line_) + " may lack its partner";
  }
  throw Error(ErrorCode::limit_exceeded, message);
}

}  // namespace attune::inline v0_1::detail
