// SPDX-License-Identifier: Apache-2.0
#pragma once

// As much JSON as the header of a safetensors file may hold: objects, strings and unsigned integers. Never recursive,
// so no nesting can exhaust a stack; whatever does not belong is an error at its byte.

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
  // Throws unless the text is UTF-8. `file` is for messages; both must outlive the scanner.
  JsonScanner(std::string_view text, const std::string& file);

  // Consumes the character after white space, or throws.
  void expect(char character);
  // Consumes the character after white space if it is next.
  bool accept(char character) noexcept;
  // Unescaped; Error(limit_exceeded) beyond so many bytes.
  std::string string(std::size_t most_bytes);
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
  void append_escaped(std::string& out);
  std::uint32_t four_hex_digits();
  std::string found() const;

  std::string_view text_;
  const std::string& file_;
  std::size_t position_ = 0;
};

bool is_utf8(std::string_view text) noexcept;
void append_utf8(std::string& out, std::uint32_t code_point);

}  // namespace attune::inline v0_1::detail
