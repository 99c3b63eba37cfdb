// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/explanation.hpp"

#include <algorithm>

#include "attune/error.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1 {

std::vector<Id> Explanation::reasons(std::size_t most) const {
  std::vector<Id> items;
  for (const Contribution& one : contributions) {
    if (items.size() == most) break;
    if (one.weight > 0 && one.margin > 0 && std::ranges::find(items, one.item) == items.end())
      items.push_back(one.item);
  }
  return items;
}

Because::Because(const BecauseForms& forms)
    : one_(compile("one", forms.one, 1)), two_(compile("two", forms.two, 2)), many_(compile("many", forms.many, 3)) {}

Because::Form Because::compile(const char* name, std::string_view text, std::size_t most_items) {
  const auto refuse = [&](const std::string& found) {
    throw Error(ErrorCode::invalid_argument, std::string("BecauseForms::") + name +
                                                 ": expected {item}, {more}, {{ or }}, at most " +
                                                 std::to_string(most_items) + " {item}, found " + found);
  };
  Form form;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '{' && text[i] != '}') {
      form.pieces.back() += text[i];
    } else if (text.substr(i, 2) == "{{" || text.substr(i, 2) == "}}") {
      form.pieces.back() += text[i++];
    } else {
      const bool is_item = text.substr(i, 6) == "{item}";
      if (!is_item && text.substr(i, 6) != "{more}") refuse(detail::in_quotes(text.substr(i), '"'));
      form.is_item.push_back(is_item);
      form.pieces.emplace_back();
      i += 5;
    }
  }
  const auto items = static_cast<std::size_t>(std::ranges::count(form.is_item, true));
  if (items > most_items) refuse(std::to_string(items) + " of {item}");
  return form;
}

std::string Because::operator()(std::span<const std::string_view> titles) const {
  if (titles.empty()) return {};
  const Form& form = titles.size() == 1 ? one_ : titles.size() == 2 ? two_ : many_;
  const auto named = static_cast<std::size_t>(std::ranges::count(form.is_item, true));
  std::string text = form.pieces[0];
  for (std::size_t i = 0, next = 0; i < form.is_item.size(); ++i) {
    text += form.is_item[i] ? std::string(titles[next++]) : std::to_string(titles.size() - named);
    text += form.pieces[i + 1];
  }
  return text;
}

}  // namespace attune::inline v0_1
