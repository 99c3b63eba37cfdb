// SPDX-License-Identifier: Apache-2.0
#include "data/record_scanner.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <span>
#include <utility>

#include "attune/error.hpp"

namespace attune::inline v0_1::detail {

namespace {

constexpr std::size_t kFirstBufferBytes = std::size_t{1} << 18;

constexpr bool is_line_end(char c) noexcept { return c == '\n' || c == '\r'; }

bool is_blank(std::string_view record) noexcept {
  return std::all_of(record.begin(), record.end(), [](char c) { return c == ' ' || is_line_end(c); });
}

}  // namespace

RecordScanner::RecordScanner(std::unique_ptr<ByteSource> source, std::string file)
    : source_(std::move(source)), file_(std::move(file)), buffer_(kFirstBufferBytes + 1) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  begin_ = end_ = buffer_.data();
  fill();
  if (start().starts_with(kByteOrderMark)) begin_ += kByteOrderMark.size();
  if (begin_ == end_) throw Error(ErrorCode::invalid_data, file_ + ": expected lines of text, found an empty file");
  set_separator(separator_);
}

void RecordScanner::set_separator(std::string separator) {
  assert(!separator.empty());
  separator_ = std::move(separator);
  quotes_ = separator_ != "::";
  merge_separators_ = separator_ == " ";
  may_end_field_.fill(false);
  for (const char c : {'\n', '\r', separator_.front()}) may_end_field_[static_cast<unsigned char>(c)] = true;
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
    return fields.size() <= 1 && is_blank({first, begin_}) ? Status::blank_line : Status::record;
  }
  return Status::end;
}

// The record at begin_, which moves behind it; nothing but the fields changes if the buffer ends too early.
RecordScanner::Scan RecordScanner::scan(std::vector<std::string_view>& fields) {
  fields.clear();
  escaped_fields_.clear();
  inner_lines_ = 0;
  open_quote_line_ = 0;
  for (const char* at = begin_;;) {
    const char* end = nullptr;
    if (*at == '"' && quotes_) {
      const char* const behind_quote = scan_quoted(at, fields);
      if (behind_quote == nullptr) return Scan::needs_more;
      end = field_end(behind_quote);
      if (end != nullptr && end != behind_quote) return skip_line(end);
    } else {
      end = field_end(at);
      if (end != nullptr && !(merge_separators_ && end == at)) fields.emplace_back(at, end);
    }
    if (end == nullptr) return Scan::needs_more;
    if (is_line_end(*end)) {
      begin_ = behind_line_end(end);
      unescape(fields);
      return Scan::record;
    }
    if (fields.size() > kMaxFields) {
      throw Error(ErrorCode::limit_exceeded, file_ + ":" + std::to_string(lines_ + 1) + ": expected at most " +
                                                 std::to_string(kMaxFields) + " fields, found more");
    }
    at = end + separator_.size();
  }
}

RecordScanner::Scan RecordScanner::skip_line(const char* at) noexcept {
  while (at != nullptr && !is_line_end(*at)) at = field_end(at + separator_.size());
  if (at == nullptr) return Scan::needs_more;
  begin_ = behind_line_end(at);
  return Scan::malformed;
}

const char* RecordScanner::field_end(const char* at) const noexcept {
  for (;; ++at) {
    while (!may_end_field_[static_cast<unsigned char>(*at)]) ++at;
    if (*at == '\n') return at < end_ || source_ended_ ? at : nullptr;
    if (*at == '\r') return sees_next(at) ? at : nullptr;
    const auto left = static_cast<std::size_t>(end_ - at);
    if (separator_.size() == 1) return at;
    if (left < separator_.size() && !source_ended_) return nullptr;
    if (std::string_view(at, std::min(left, separator_.size())) == separator_) return at;
  }
}

const char* RecordScanner::scan_quoted(const char* at, std::vector<std::string_view>& fields) {
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
  if (escaped) escaped_fields_.push_back(fields.size());
  fields.emplace_back(first, at);
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
