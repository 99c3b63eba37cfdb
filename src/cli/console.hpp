// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where the tool writes: results to standard output, progress to standard error. With --json the result is one object;
// otherwise text for people. Progress is a bar on a terminal, plain lines otherwise, nothing with --quiet.

#include <cstddef>
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cli/arguments.hpp"

namespace attune::cli {

using Json = nlohmann::ordered_json;

class Console {
 public:
  explicit Console(const CommonOptions& options);
  ~Console();

  bool json() const noexcept { return json_; }
  // The result, in its two forms: with --json the object, else what a verb prints to text().
  void object(const Json& result);
  std::ostream& text();

  // A line of progress that stays.
  void line(const std::string& message);
  // The bar, drawn over the one before, and only on a terminal.
  void bar(const std::string& message, std::size_t done, std::size_t total);

 private:
  void clear_bar();
  bool json_, quiet_, terminal_;
  std::string bar_;  // as drawn now
};

// Of a table: its cells.
using Rows = std::vector<std::vector<std::string>>;
// Rows of cells under each other. `align` has 'l' or 'r' for each column; its last letter holds for those behind.
void print_table(std::ostream& out, const Rows& rows, std::string_view align = "lr");

std::string fixed(double number, int decimals);                                           // "0.1235"
std::string grouped(std::size_t number);                                                  // "1,234,567"
std::string plural(std::size_t number, const std::string& one, const std::string& many);  // "1 user", "2,345 users"

}  // namespace attune::cli
