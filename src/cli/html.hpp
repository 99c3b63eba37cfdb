// SPDX-License-Identifier: Apache-2.0
#pragma once

// A page of HTML that stands alone: no script, nothing from the network, light or dark, readable on a phone and on
// paper. Its markup is closed everywhere, as in XML.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cli/console.hpp"

namespace attune::cli {

// Text between tags or in an attribute: what is special there is written out, what is not UTF-8 or no character of a
// document is shown as a replacement character.
std::string escaped(std::string_view text);

class HtmlPage {
 public:
  // What follows, up to the next one. `id` is what links name it by.
  void section(const std::string& id, const std::string& title);

  // All of these take text, and escape it.
  void heading(const std::string& title);  // of a part of the section
  void paragraph(const std::string& text);
  void list(const std::vector<std::string>& items);
  // The first row names the columns, the first cell of each other row the row. Columns from `numbers` on are numbers.
  void table(const std::string& caption, const Rows& rows, std::size_t numbers = 1);
  // Words and what they mean.
  void definitions(const Rows& rows);

  // `svg` is markup. A wide one takes the whole line.
  void figure(const std::string& svg, const std::string& caption, bool wide = false);
  // Names of colours, which are classes of `style` in text().
  void legend(const Rows& class_and_name);

  void append(HtmlPage other);  // its sections

  // The page. `style`: rules of CSS beside its own.
  std::string text(const std::string& title, const std::string& style) const;

 private:
  struct Section {
    std::string id, title, body;
  };
  void element(const char* name, const std::string& text);

  std::vector<Section> sections_;
};

}  // namespace attune::cli
