// SPDX-License-Identifier: Apache-2.0
#pragma once

// JSON from left to right, where the caller knows what may come next: no nesting can exhaust a stack. Whatever does not
// belong is an error at its byte.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "attune/error.hpp"
#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

class JsonScanner {
 public:
  // Throws unless the text is UTF-8, which must outlive the scanner. For messages: `place` stands before them and
  // `name` is what they call the text.
  JsonScanner(std::string_view text, std::string place, std::string name);

  // Consumes the character after white space, or throws.
  void expect(char character);
  // Consumes the character after white space if it is next.
  bool accept(char character) noexcept;
  // The next character after white space, which stays; throws at the end.
  char peek();
  // Unescaped; Error(limit_exceeded) beyond so many bytes.
  std::string string(std::size_t most_bytes);
  // Text, a number as it is written, true or false; nothing for null. Valid as long as the text of the scanner and
  // `buffer`, which holds what is unescaped. Throws for an object or array.
  std::string_view scalar(std::string& buffer);
  // Passes a value with at most `most_levels` of objects and arrays in one another.
  void skip(int most_levels);
  // Digits only: no sign, fraction, exponent or leading zero, at most 2^64 - 1.
  std::uint64_t number();
  // Throws unless only white space is left.
  void end();

  // An object: `member(key)` is called after each colon and consumes the value. Telling keys apart is its business.
  template <class Member>
  void members(std::size_t most_key_bytes, Member member) {
    expect('{');
    if (accept('}')) return;
    do {
      std::string key = string(most_key_bytes);
      expect(':');
      member(std::move(key));
    } while (accept(','));
    expect('}');
  }

  // At the current byte; about the text as a whole.
  [[noreturn]] void fail(const std::string& what, ErrorCode code = ErrorCode::corrupt_file) const;
  [[noreturn]] void fail_whole(const std::string& what, ErrorCode code = ErrorCode::corrupt_file) const;

 private:
  void skip_white_space() noexcept;
  // Throws at the end of the text.
  char next();
  void string(std::string& out, std::size_t most_bytes);
  void append_escaped(std::string& out);
  std::uint32_t four_hex_digits();
  std::string found() const;

  std::string_view text_;
  std::string place_, name_;
  std::size_t position_ = 0;
};

// How many bytes at the start of a text are a number of JSON; 0 where it does not begin with one.
std::size_t json_number_size(std::string_view text) noexcept;
// How many bytes at the start of a text are whole characters of UTF-8.
std::size_t utf8_size(std::string_view text) noexcept;
inline bool is_utf8(std::string_view text) noexcept { return utf8_size(text) == text.size(); }
void append_utf8(std::string& out, std::uint32_t code_point);

}  // namespace attune::inline v0_1::detail
