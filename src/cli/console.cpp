// SPDX-License-Identifier: Apache-2.0
#include "cli/console.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "platform/terminal.hpp"

namespace attune::cli {
namespace {

constexpr std::size_t kBarWidth = 30;

// Characters on the screen: bytes of UTF-8 that do not continue a character.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u; }));
}

}  // namespace

Console::Console(const CommonOptions& options)
    : json_(options.json), quiet_(options.quiet), terminal_(platform::is_terminal(stderr)) {}

Console::~Console() { clear_bar(); }

void Console::object(const Json& result) {
  // Ids come from files in any encoding; what is not UTF-8 is shown with replacement characters.
  std::cout << result.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

std::ostream& Console::text() {
  clear_bar();
  return std::cout;
}

void Console::line(const std::string& message) {
  if (quiet_) return;
  clear_bar();
  std::cerr << message << '\n';
}

void Console::bar(const std::string& message, std::size_t done, std::size_t total) {
  if (quiet_ || !terminal_ || total == 0) return;
  const std::size_t filled = kBarWidth * std::min(done, total) / total;
  const std::string text = message + " [" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] " +
                           std::to_string(100 * std::min(done, total) / total) + '%';
  if (text == bar_) return;
  clear_bar();
  std::cerr << text << std::flush;
  bar_ = text;
}

void Console::clear_bar() {
  if (bar_.empty()) return;
  std::cerr << '\r' << std::string(width(bar_), ' ') << '\r' << std::flush;
  bar_.clear();
}

void print_table(std::ostream& out, const Rows& rows, std::string_view align) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  for (const auto& row : rows) {
    std::string text;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - width(row[i]), ' ');
      text += "  " + (align[std::min(i, align.size() - 1)] == 'l' ? row[i] + padding : padding + row[i]);
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out << text << '\n';
  }
}

std::string fixed(double number, int decimals) {
  char text[400];  // the largest double has 309 digits
  const auto end = std::to_chars(text, text + sizeof text, number, std::chars_format::fixed, decimals);
  return std::string(text, end.ptr);
}

std::string grouped(std::size_t number) {
  std::string text = std::to_string(number);
  for (std::size_t end = text.size(); end > 3;) text.insert(end -= 3, 1, ',');
  return text;
}

std::string plural(std::size_t number, const std::string& one, const std::string& many) {
  return grouped(number) + ' ' + (number == 1 ? one : many);
}

}  // namespace attune::cli
