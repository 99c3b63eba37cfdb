// SPDX-License-Identifier: Apache-2.0
#pragma once

// Text of files: as numbers, and in messages.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1::detail {

// Which some programs write in front of UTF-8.
inline std::string_view without_byte_order_mark(std::string_view text) noexcept {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  return text;
}

inline std::string_view without_outer_blanks(std::string_view text) noexcept {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

inline std::vector<std::string> without_outer_blanks(std::vector<std::string> texts) {
  for (std::string& text : texts) text = std::string(without_outer_blanks(std::string_view(text)));
  return texts;
}

// Calls visit(name) for the names of a field, which the separator stands between, without blanks around them; empty
// ones do not count.
template <class Visit>
void for_each_name(std::string_view names, Visit&& visit, std::string_view separator = "|") {
  for (std::size_t begin = 0, end; begin <= names.size(); begin = end + separator.size()) {
    end = std::min(names.find(separator, begin), names.size());
    if (const std::string_view name = without_outer_blanks(names.substr(begin, end - begin)); !name.empty())
      visit(name);
  }
}

// A number that is all of the text, but for blanks around it.
template <class Number>
std::optional<Number> parse_number(std::string_view text) noexcept {
  text = without_outer_blanks(text);
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || parsed != end) return std::nullopt;
  return number;
}

// The id that a field of a file says; none for text where ids are numbers.
inline Id id_of(std::string_view text, IdKind kind) noexcept {
  if (kind == IdKind::string) return text;
  const auto number = parse_number<std::int64_t>(text);
  return number ? Id(*number) : Id();
}

// In front of what a message says of a field.
inline std::string in_column(std::string_view name) { return "column '" + std::string(name) + "': "; }

// Text from a file as it may stand in a message: on one line, of bounded length, no character of UTF-8 cut in two.
inline std::string in_quotes(std::string_view text, char quote) {
  constexpr std::size_t kShown = 80;
  std::size_t end = std::min(text.size(), kShown);
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  std::string shown(1, quote);
  for (const char c : text.substr(0, end)) shown += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  if (end < text.size()) shown += "...";
  return shown + quote;
}

}  // namespace attune::inline v0_1::detail
