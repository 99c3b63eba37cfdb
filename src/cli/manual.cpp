// SPDX-License-Identifier: Apache-2.0

// attune manual: the manual page, made from the declarations of the command line.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>
#include <vector>

#include "attune/version.hpp"
#include "cli/declarations.hpp"
#include "cli/input.hpp"
#include "cli/verbs.hpp"

namespace attune::cli {
namespace {

// Text that troff leaves alone. Every hyphen is one that can be copied into a shell.
std::string plain(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\': out += "\\e"; break;
      case '-': out += "\\-"; break;
      case '\'': out += "\\(aq"; break;
      case '\n': out += ' '; break;
      default: out += c;
    }
  }
  return out.starts_with('.') ? "\\&" + out : out;
}

std::string bold(const std::string& text) { return "\\fB" + plain(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + plain(text) + "\\fR"; }

std::string names_of(const std::set<CLI::Option*>& options) {
  std::vector<std::string> names;  // the set is in the order of addresses
  for (const CLI::Option* option : options) names.push_back(option->get_name());
  std::sort(names.begin(), names.end());
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + bold(name);
  return text;
}

// A paragraph of the page: names, type, what it does and what else holds for it.
std::string entry(const CLI::Option& option) {
  std::string out = ".TP\n";
  if (option.nonpositional()) {
    std::string names;
    for (const std::string& name : option.get_snames()) names += (names.empty() ? "" : ", ") + bold("-" + name);
    for (const std::string& name : option.get_lnames()) names += (names.empty() ? "" : ", ") + bold("--" + name);
    out += names + (option.get_items_expected_max() == 0 ? "" : " " + italic(option.get_type_name()));
  } else {
    out += italic(option.get_name());
  }
  std::string text = plain(option.get_description());
  if (!text.ends_with('.')) text += '.';
  if (option.get_required()) text += " Required.";
  if (!option.get_default_str().empty()) text += " Default: " + plain(option.get_default_str()) + ".";
  if (!option.get_needs().empty()) text += " Needs " + names_of(option.get_needs()) + ".";
  if (!option.get_excludes().empty()) text += " Not with " + names_of(option.get_excludes()) + ".";
  return out + "\n" + text + "\n";
}

// The verbs that do something, each with its options.
struct Verb {
  std::string name, description;
  std::map<std::string, std::string> entries;  // by the names of options
  std::vector<std::string> order;
};

void collect(const CLI::App& app, const std::string& name, std::vector<Verb>& verbs) {
  const auto parts = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* part : parts) collect(*part, name + ' ' + part->get_name(), verbs);
  if (!parts.empty()) return;
  Verb verb{name, app.get_description(), {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    verb.order.push_back(option->get_name());
    verb.entries[verb.order.back()] = entry(*option);
  }
  verbs.push_back(std::move(verb));
}

// The options that every verb has, as the first declares them.
std::vector<std::string> in_common(const std::vector<Verb>& verbs) {
  std::vector<std::string> common;
  for (const std::string& option : verbs.front().order) {
    const auto has = [&option](const Verb& verb) { return verb.entries.find(option) != verb.entries.end(); };
    if (std::all_of(verbs.begin(), verbs.end(), has)) common.push_back(option);
  }
  return common;
}

}  // namespace

std::string manual_page(const CLI::App& app) {
  std::vector<Verb> verbs;
  collect(app, app.get_name(), verbs);
  const std::vector<std::string> common = in_common(verbs);
  std::string page = ".TH ATTUNE 1 \"\" \"attune " + plain(version()) + "\" \"User Commands\"\n.SH NAME\nattune \\- " +
                     plain(app.get_description().substr(app.get_description().find(": ") + 2)) + "\n.SH SYNOPSIS\n" +
                     bold("attune") + " " + italic("verb") + " [" + italic("options") + "]\n.br\n" + bold("attune") +
                     " " + italic("verb") + " " + bold("--help") + "\n" +
                     R"(.SH DESCRIPTION
Results go to standard output, progress to standard error.
A file named \- is standard input, which can be one file alone.
An option given twice counts as given last.
.SH OPTIONS
.SS Of every verb
)";
  for (const std::string& option : common) page += verbs.front().entries.at(option);
  page += ".SS Without a verb\n";
  for (const CLI::Option* option : app.get_options()) page += entry(*option);
  page += ".SH VERBS\n";
  for (const Verb& verb : verbs) {
    page += ".SS " + plain(verb.name) + "\n" + plain(verb.description) + ".\n";
    for (const std::string& option : verb.order) {
      const bool shared = std::count(common.begin(), common.end(), option) != 0;
      if (!shared || verb.entries.at(option) != verbs.front().entries.at(option)) page += verb.entries.at(option);
    }
  }
  return page + R"(.SH EXIT STATUS
.TP
0
Done.
.TP
1
Failed; one line on standard error names file, line or field, what was expected and what was found.
.TP
2
Wrong usage.
.SH ENVIRONMENT
.TP
.B ATTUNE_SIMD
The instruction set to use, one that
.B attune doctor
shows as supported; without it, the best of them.
)";
}

void run(const ManualOptions& options, Console& console) {
  check_config(options.common);
  if (console.json()) return console.object({{"manual", options.page}});
  console.text() << options.page;
}

}  // namespace attune::cli
