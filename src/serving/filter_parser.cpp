// SPDX-License-Identifier: Apache-2.0
#include "serving/filter_parser.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "attune/error.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {
namespace {

bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool begins_word(char c) noexcept { return (lower(c) >= 'a' && lower(c) <= 'z') || c == '_'; }
bool in_number(char c) noexcept { return is_digit(c) || c == '.' || c == '+' || c == '-' || lower(c) == 'e'; }

}  // namespace

void FilterParser::fail(const std::string& expected, const std::string& found, std::size_t at) const {
  throw Error(ErrorCode::invalid_argument, std::string(rule_) + ", column " + std::to_string(at + 1) + ": expected " +
                                               expected + ", found " + found);
}

void FilterParser::fail(const std::string& expected) const {
  fail(expected, token_ == Token::end ? "the end" : in_quotes(spelling_, '"'), begin_);
}

void FilterParser::next() {
  while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  begin_ = at_;
  if (at_ == text_.size()) {
    token_ = Token::end;
    spelling_ = {};
    return;
  }
  const char c = text_[at_];
  if (c == '"' || c == '\'') return read_quoted();
  if (is_digit(c) || c == '-' || c == '.') return read_number();
  if (begins_word(c)) {
    while (at_ < text_.size() && (begins_word(text_[at_]) || is_digit(text_[at_]))) ++at_;
    token_ = Token::word;
  } else {
    const std::string_view two = text_.substr(at_, 2);
    at_ += two == "!=" || two == "<=" || two == ">=" ? 2 : 1;
    token_ = Token::symbol;
  }
  spelling_ = text_.substr(begin_, at_ - begin_);
}

void FilterParser::read_quoted() {
  const char quote = text_[at_++];
  quoted_.clear();
  for (;; ++at_) {
    if (at_ == text_.size()) fail(std::string("a closing ") + quote, "the end", at_);
    if (text_[at_] == quote) break;
    if (text_[at_] == '\\') {
      if (++at_ == text_.size()) fail(std::string("a closing ") + quote, "the end", at_);
      const char escaped = text_[at_];
      if (escaped != '\\' && escaped != '"' && escaped != '\'') {
        fail("\\\\, \\\" or \\'", in_quotes(text_.substr(at_ - 1, 2), '"'), at_ - 1);
      }
    }
    quoted_ += text_[at_];
  }
  ++at_;
  token_ = Token::quoted;
  spelling_ = text_.substr(begin_, at_ - begin_);
}

void FilterParser::read_number() {
  while (at_ < text_.size() && in_number(text_[at_])) ++at_;
  token_ = Token::number;
  spelling_ = text_.substr(begin_, at_ - begin_);
  const std::optional<double> number = parse_number<double>(spelling_);
  if (!number || !std::isfinite(*number)) fail("a number");
  number_ = *number;
}

bool FilterParser::is_keyword(std::string_view keyword) const noexcept {
  return token_ == Token::word &&
         std::ranges::equal(spelling_, keyword, [](char found, char wanted) { return lower(found) == wanted; });
}

bool FilterParser::skip_keyword(std::string_view keyword) {
  if (!is_keyword(keyword)) return false;
  next();
  return true;
}

bool FilterParser::skip_symbol(std::string_view symbol) {
  if (!is_symbol(symbol)) return false;
  next();
  return true;
}

void FilterParser::require_symbol(std::string_view symbol) {
  if (!skip_symbol(symbol)) fail(in_quotes(symbol, '"'));
}

void FilterParser::parse() {
  if (text_.size() > Filter::kMostBytes) {
    fail("at most " + std::to_string(Filter::kMostBytes) + " bytes", std::to_string(text_.size()), 0);
  }
  next();
  either();
  if (token_ != Token::end) fail("\"and\", \"or\" or the end");
}

void FilterParser::either() {
  both();
  while (skip_keyword("or")) {
    both();
    filter_.steps_.push_back({Filter::Kind::either});
  }
}

void FilterParser::both() {
  negation();
  while (skip_keyword("and")) {
    negation();
    filter_.steps_.push_back({Filter::Kind::both});
  }
}

void FilterParser::negation() {
  bool negated = false;
  while (skip_keyword("not")) negated = !negated;
  primary();
  if (negated) filter_.steps_.push_back({Filter::Kind::negation});
}

void FilterParser::primary() {
  if (is_symbol("(")) {
    if (++depth_ > Filter::kDeepest) {
      fail("at most " + std::to_string(Filter::kDeepest) + " open parentheses", "one more", begin_);
    }
    next();
    either();
    require_symbol(")");
    --depth_;
    return;
  }
  if (skip_keyword("has")) {
    require_symbol("(");
    filter_.steps_.push_back({Filter::Kind::present, field()});
    return require_symbol(")");
  }
  comparison();
}

std::uint32_t FilterParser::field() {
  const auto known = std::ranges::find(fields_, spelling_, &ItemField::name);
  if (token_ != Token::word || known == fields_.end()) {
    fail("a field of RecommenderOptions::item_fields (" + list_of(fields_) + ")");
  }
  next();
  return static_cast<std::uint32_t>(known - fields_.begin());
}

void FilterParser::comparison() {
  Filter::Step step{Filter::Kind::equal, field()};
  const bool category = fields_[step.field].type == FieldType::category;
  step.first = static_cast<std::uint32_t>(category ? filter_.names_.size() : filter_.numbers_.size());
  if (skip_keyword("in")) {
    require_symbol("(");
    do value(step);
    while (skip_symbol(","));
    require_symbol(")");
  } else {
    using Named = std::pair<std::string_view, Filter::Kind>;
    const std::array<Named, 6> operators{Named{"=", Filter::Kind::equal}, Named{"!=", Filter::Kind::not_equal},
                                         Named{"<", Filter::Kind::less},  Named{"<=", Filter::Kind::at_most},
                                         Named{">", Filter::Kind::more},  Named{">=", Filter::Kind::at_least}};
    const auto known = std::ranges::find_if(operators, [&](const Named& one) { return is_symbol(one.first); });
    if (category && (known == operators.end() || known - operators.begin() > 1)) {
      fail("=, != or \"in\" behind the category " + fields_[step.field].name);
    }
    if (known == operators.end()) fail("=, !=, <, <=, >, >= or \"in\"");
    step.kind = known->second;
    next();
    value(step);
  }
  filter_.steps_.push_back(step);
}

void FilterParser::value(Filter::Step& step) {
  const ItemField& field = fields_[step.field];
  if (field.type == FieldType::category) {
    const std::string_view name = without_outer_blanks(quoted_);
    if (token_ != Token::quoted || name.empty() || name.find('|') != name.npos) {
      fail("one name in quotes for the category " + field.name);
    }
    filter_.names_.emplace_back(name);
    filter_.name_fields_.push_back(step.field);
  } else {
    if (token_ != Token::number) fail("a number for the field " + field.name);
    filter_.numbers_.push_back(number_);
  }
  ++step.count;
  next();
}

}  // namespace attune::inline v0_1::detail
