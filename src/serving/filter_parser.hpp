// SPDX-License-Identifier: Apache-2.0
#pragma once

// Compiles the text of a filter: recursive descent, one token ahead.
//
//   either = both { "or" both }        both = negation { "and" negation }
//   negation = { "not" } primary       primary = "(" either ")" | "has" "(" field ")" | field comparison

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "serving/filter.hpp"

namespace attune::inline v0_1::detail {

class FilterParser {
 public:
  FilterParser(Filter& filter, std::string_view text, std::span<const ItemField> fields, std::string_view rule)
      : filter_(filter), text_(text), fields_(fields), rule_(rule) {}
  void parse();

 private:
  enum class Token : std::uint8_t { end, word, number, quoted, symbol };

  void next();
  void read_quoted();
  void read_number();
  bool is_keyword(std::string_view keyword) const noexcept;
  bool is_symbol(std::string_view symbol) const noexcept { return token_ == Token::symbol && spelling_ == symbol; }
  bool skip_keyword(std::string_view keyword);
  bool skip_symbol(std::string_view symbol);
  void require_symbol(std::string_view symbol);

  void either();
  void both();
  void negation();
  void primary();
  void comparison();
  std::uint32_t field();
  void value(Filter::Step& step);
  void deeper();

  // Where the current token begins; what was found there.
  [[noreturn]] void fail(const std::string& expected) const;
  [[noreturn]] void fail(const std::string& expected, const std::string& found, std::size_t at) const;

  Filter& filter_;
  const std::string_view text_;
  const std::span<const ItemField> fields_;
  const std::string_view rule_;
  std::size_t at_ = 0, begin_ = 0, depth_ = 0;  // behind the current token, where it begins, how deep it stands
  Token token_ = Token::end;
  std::string_view spelling_;
  std::string quoted_;  // without escapes
  double number_ = 0;
};

}  // namespace attune::inline v0_1::detail
