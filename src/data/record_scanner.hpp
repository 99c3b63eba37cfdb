// SPDX-License-Identifier: Apache-2.0
#pragma once

// Records out of bytes, in one pass and bounded memory: RFC 4180 quotes; LF, CRLF or CR end a line.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_source.hpp"

namespace attune::inline v0_1::detail {

// A field of a line without quotes.
struct PlainField {
  static constexpr std::int64_t kNotANumber = -1;
  std::string_view text;
  std::int64_t number;  // what the text says if it is one to 18 digits and nothing else
  bool is_number() const noexcept { return number != kNotANumber; }
};

class RecordScanner {
 public:
  enum class Status { record, blank_line, malformed, end };
  static constexpr std::size_t kMaxRecordBytes = std::size_t{16} << 20;
  static constexpr std::size_t kMaxFields = std::size_t{1} << 16;

  // Skips a byte order mark. Throws Error(invalid_data) for an empty file. `file` is its name in messages.
  RecordScanner(std::unique_ptr<ByteSource> source, std::string file);

  // The start of the file, or all of it if `whole`; valid until next().
  std::string_view start() const noexcept { return {begin_, static_cast<std::size_t>(end_ - begin_)}; }
  bool whole() const noexcept { return source_ended_; }

  // Passes blank lines before the first record, so that start() shows it. How many there were.
  std::size_t pass_blank_lines();
  // Before the first record. Quotes mean nothing beside "::"; several blanks separate like one; "": a line is one
  // field, and blank where it holds white space alone.
  void set_separator(std::string separator);
  const std::string& separator() const noexcept { return separator_; }

  // Unquoted fields, valid until the next call. malformed: text behind a closing quote; its line is skipped.
  // Throws Error: invalid_data (a quote left open, naming its line), limit_exceeded (a record of more than
  // kMaxRecordBytes or kMaxFields), and what the source throws.
  Status next(std::vector<std::string_view>& fields);
  // The quick way for the lines that most files consist of: whether the next record is a line of exactly these fields,
  // without quotes and whole in the buffer. It stays the next one until it is taken. False says nothing about it:
  // next() decides.
  bool peek_plain(std::span<PlainField> fields) noexcept;
  void take_plain() noexcept;
  std::size_t line() const noexcept { return line_; }    // where the last record begins, 1-based
  std::size_t lines() const noexcept { return lines_; }  // physical ones up to its end
  std::size_t bytes() const noexcept { return bytes_; }  // read so far
  std::size_t scanned_bytes() const noexcept { return bytes_ - start().size(); }
  std::uint64_t expected_bytes() const noexcept { return source_->expected_bytes(); }
  std::string_view compression() const noexcept { return source_->compression(); }
  const std::string& file() const noexcept { return file_; }

 private:
  enum class Scan { record, malformed, needs_more };
  enum class ByteClass : std::uint8_t { plain, separator, perhaps };  // perhaps the end of a field
  Scan scan(std::vector<std::string_view>& fields);
  Scan skip_line(const char* at) noexcept;
  // The separator or line end at or behind `at`; null if the buffer ends before that is known.
  const char* field_end(const char* at) const noexcept {
    while (class_of(*at) == ByteClass::plain) ++at;
    return class_of(*at) == ByteClass::separator ? at : confirm_field_end(at);
  }
  const char* confirm_field_end(const char* at) const noexcept;
  // From an opening quote to behind the closing one; null if the buffer ends before that is known.
  const char* scan_quoted(const char* at, std::vector<std::string_view>& fields, std::size_t index);
  void add_field(std::vector<std::string_view>& fields) const;
  const char* behind_line_end(const char* at) const noexcept;
  void unescape(std::vector<std::string_view>& fields) noexcept;
  ByteClass class_of(char c) const noexcept { return byte_classes_[static_cast<unsigned char>(c)]; }
  ByteClass& class_of(char c) noexcept { return byte_classes_[static_cast<unsigned char>(c)]; }
  // Whether the buffer holds the byte behind `at`, or nothing follows.
  bool sees_next(const char* at) const noexcept { return source_ended_ || at + 1 < end_; }
  void fill();
  [[noreturn]] void too_long() const;

  std::unique_ptr<ByteSource> source_;
  std::string file_;
  std::string separator_ = ",";
  std::array<ByteClass, 256> byte_classes_{};
  bool quotes_ = true, merge_separators_ = false;

  std::vector<char> buffer_;
  // What is not yet scanned; a line feed at *end_ stops every loop.
  const char* begin_ = nullptr;
  char* end_ = nullptr;
  bool source_ended_ = false;
  std::size_t line_ = 0, lines_ = 0, bytes_ = 0;
  const char* behind_plain_ = nullptr;  // where the line ends that peek_plain() saw

  // Of the record at begin_.
  std::size_t inner_lines_ = 0;      // line breaks inside quotes
  std::size_t open_quote_line_ = 0;  // 0: none is open
  std::vector<std::size_t> escaped_fields_;
};

}  // namespace attune::inline v0_1::detail
