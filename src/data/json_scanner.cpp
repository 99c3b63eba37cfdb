// SPDX-License-Identifier: Apache-2.0
#include "data/json_scanner.hpp"

#include <algorithm>
#include <limits>

namespace attune::inline v0_1::detail {

JsonScanner::JsonScanner(std::string_view text, std::string place, std::string name)
    : text_(text), place_(std::move(place)), name_(std::move(name)) {
  if (!is_utf8(text)) fail_whole("the " + name_ + " is not UTF-8");
}

void JsonScanner::skip_white_space() noexcept {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
    ++position_;
  }
}

bool JsonScanner::accept(char character) noexcept {
  skip_white_space();
  if (position_ == text_.size() || text_[position_] != character) return false;
  ++position_;
  return true;
}

void JsonScanner::expect(char character) {
  if (!accept(character)) fail(std::string("expected '") + character + "', found " + found());
}

void JsonScanner::end() {
  skip_white_space();
  if (position_ != text_.size()) fail("expected the end of the " + name_ + ", found " + found());
}

char JsonScanner::next() {
  if (position_ == text_.size()) fail("the " + name_ + " ends inside a string");
  return text_[position_++];
}

char JsonScanner::peek() {
  skip_white_space();
  if (position_ == text_.size()) fail("expected a value, found " + found());
  return text_[position_];
}

std::string JsonScanner::string(std::size_t most_bytes) {
  std::string out;
  string(out, most_bytes);
  return out;
}

void JsonScanner::string(std::string& out, std::size_t most_bytes) {
  skip_white_space();
  if (position_ == text_.size() || text_[position_] != '"') fail("expected a string, found " + found());
  ++position_;
  out.clear();
  // Escapes are longer than what they stand for: this is room enough unless a quote is escaped.
  out.reserve(std::min(most_bytes, std::min(text_.find('"', position_), text_.size()) - position_));
  for (;;) {
    const char c = next();
    if (c == '"') return;
    if (static_cast<unsigned char>(c) < 0x20) fail("control character inside a string");
    if (c == '\\') {
      append_escaped(out);
    } else {
      out += c;
    }
    if (out.size() > most_bytes) {
      fail("name or text longer than " + std::to_string(most_bytes) + " bytes", ErrorCode::limit_exceeded);
    }
  }
}

void JsonScanner::append_escaped(std::string& out) {
  switch (next()) {
    case '"': out += '"'; return;
    case '\\': out += '\\'; return;
    case '/': out += '/'; return;
    case 'b': out += '\b'; return;
    case 'f': out += '\f'; return;
    case 'n': out += '\n'; return;
    case 'r': out += '\r'; return;
    case 't': out += '\t'; return;
    case 'u': break;
    default: fail("unknown escape inside a string");
  }
  std::uint32_t code_point = four_hex_digits();
  if (code_point >= 0xD800 && code_point < 0xE000) {
    if (code_point >= 0xDC00 || next() != '\\' || next() != 'u') fail("lone surrogate inside a string");
    const std::uint32_t low = four_hex_digits();
    if (low < 0xDC00 || low >= 0xE000) fail("lone surrogate inside a string");
    code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
  }
  append_utf8(out, code_point);
}

std::uint32_t JsonScanner::four_hex_digits() {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = next();
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) fail("expected four hexadecimal digits after \\u");
    value = value * 16 + static_cast<std::uint32_t>(digit);
  }
  return value;
}

std::uint64_t JsonScanner::number() {
  skip_white_space();
  const auto is_digit = [this] {
    return position_ < text_.size() && text_[position_] >= '0' && text_[position_] <= '9';
  };
  if (!is_digit()) fail("bad number: expected an unsigned integer, found " + found());
  const bool leading_zero = text_[position_] == '0';
  std::uint64_t value = 0;
  std::size_t digits = 0;
  for (; is_digit(); ++position_, ++digits) {
    const auto digit = static_cast<std::uint64_t>(text_[position_] - '0');
    if (value > (std::numeric_limits<std::uint64_t>::max() - digit) / 10) fail("bad number: beyond 64 bits");
    value = value * 10 + digit;
  }
  if (leading_zero && digits > 1) fail("bad number: leading zero");
  if (position_ < text_.size() && std::string_view(".eE").find(text_[position_]) != std::string_view::npos) {
    fail("bad number: expected an unsigned integer, found " + found());
  }
  return value;
}

std::string_view JsonScanner::scalar(std::string& buffer) {
  if (peek() == '"') {
    string(buffer, text_.size());
    return buffer;
  }
  const std::string_view rest = text_.substr(position_);
  const auto pass = [&](std::size_t size) {
    position_ += size;
    return rest.substr(0, size);
  };
  for (const std::string_view word : {"true", "false"}) {
    if (rest.starts_with(word)) return pass(word.size());
  }
  if (rest.starts_with("null")) return pass(4).substr(4);
  const std::size_t digits = json_number_size(rest);
  if (digits == 0) fail("expected text, a number, true, false or null, found " + found());
  return pass(digits);
}

void JsonScanner::skip(int most_levels) {
  const char first = peek();
  std::string buffer;
  if (first != '{' && first != '[') {
    scalar(buffer);
    return;
  }
  if (most_levels == 0) fail("too many objects and arrays in one another", ErrorCode::limit_exceeded);
  if (first == '{') return members(text_.size(), [&](const std::string&) { skip(most_levels - 1); });
  expect('[');
  if (accept(']')) return;
  do skip(most_levels - 1);
  while (accept(','));
  expect(']');
}

std::string JsonScanner::found() const {
  if (position_ == text_.size()) return "the end of the " + name_;
  const char c = text_[position_];
  if (c > 0x20 && c < 0x7F) return std::string("'") + c + "'";
  return "byte " + std::to_string(static_cast<unsigned char>(c));
}

void JsonScanner::fail(const std::string& what, ErrorCode code) const {
  throw Error(code, place_ + name_ + ", byte " + std::to_string(position_) + ": " + what);
}

void JsonScanner::fail_whole(const std::string& what, ErrorCode code) const { throw Error(code, place_ + what); }

std::size_t json_number_size(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return i < text.size() ? text[i] : '\0'; };
  const auto digits_from = [&](std::size_t i) {
    while (at(i) >= '0' && at(i) <= '9') ++i;
    return i;
  };
  const std::size_t first = at(0) == '-' ? 1 : 0;
  std::size_t end = at(first) == '0' ? first + 1 : digits_from(first);
  if (end == first) return 0;
  if (const std::size_t fraction = end + 1; at(end) == '.' && digits_from(fraction) > fraction) {
    end = digits_from(fraction);
  }
  if (at(end) != 'e' && at(end) != 'E') return end;
  const std::size_t exponent = end + (at(end + 1) == '+' || at(end + 1) == '-' ? 2 : 1);
  return digits_from(exponent) > exponent ? digits_from(exponent) : end;
}

// Table 3-7 of the Unicode standard: no overlong forms, no surrogates, nothing beyond U+10FFFF.
std::size_t utf8_size(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  std::size_t i = 0;
  while (i < text.size()) {
    const unsigned lead = byte(i);
    const std::size_t length = lead < 0x80   ? 1
                               : lead < 0xC2 ? 0
                               : lead < 0xE0 ? 2
                               : lead < 0xF0 ? 3
                               : lead < 0xF5 ? 4
                                             : 0;
    if (length == 0) return i;
    const unsigned lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (length > 1 && (byte(i + 1) < lowest || byte(i + 1) > highest)) return i;
    for (std::size_t tail = 2; tail < length; ++tail) {
      if (byte(i + tail) < 0x80 || byte(i + tail) > 0xBF) return i;
    }
    i += length;
  }
  return i;
}

void append_utf8(std::string& out, std::uint32_t code_point) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
  }
  put(0x80 | (code_point & 0x3F));
}

}  // namespace attune::inline v0_1::detail
