// SPDX-License-Identifier: Apache-2.0

// attune completion: scripts by which a shell completes verbs, options and their values. They are made from the
// declarations of the command line, so that they know what the tool knows.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>
#include <vector>

#include "cli/declarations.hpp"
#include "cli/input.hpp"
#include "cli/verbs.hpp"

namespace attune::cli {
namespace {

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

// One word of a shell, whatever the text has in it.
std::string in_quotes(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }

std::string on_one_line(const std::string& text) { return replaced(text, "\n", " "); }

std::string joined(const std::vector<std::string>& parts, const std::string& between) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : between) + part;
  return text;
}

// What may stand behind an option, or in the place of a positional. The name of the type tells: "on|off" lists words.
struct Value {
  enum class Kind { none, words, files, directories, text } kind;
  std::string type;

  explicit Value(const CLI::Option& option) : kind(Kind::text), type(option.get_type_name()) {
    if (option.get_items_expected_max() == 0) {
      kind = Kind::none;
    } else if (type.find('|') != std::string::npos) {
      kind = Kind::words;
    } else if (type == "FILE" || type == "PATH") {
      kind = Kind::files;
    } else if (type == "DIR") {
      kind = Kind::directories;
    }
  }
  std::string words() const { return kind == Kind::words ? replaced(type, "|", " ") : ""; }
};

// Without dashes: the long names, then the short ones.
std::vector<std::string> names(const CLI::Option& option) {
  std::vector<std::string> all;
  for (const std::string& name : option.get_lnames()) all.push_back("--" + name);
  for (const std::string& name : option.get_snames()) all.push_back("-" + name);
  return all;
}

std::vector<const CLI::App*> verbs_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<std::string> names_of_verbs(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : verbs_of(app)) names.push_back(verb->get_name());
  return names;
}

// The case of one verb: what it offers for the word at the cursor. `path` has a blank before each of its names, and is
// what the loop over the words before the cursor finds.
void bash_case(const CLI::App& app, const std::string& path, std::string& paths, std::string& cases) {
  std::vector<std::string> words = names_of_verbs(app);
  std::string after_option, positional;
  for (const CLI::Option* option : app.get_options()) {
    const Value value(*option);
    const std::string what = value.kind == Value::Kind::words         ? "words=" + in_quotes(value.words())
                             : value.kind == Value::Kind::files       ? "paths=-f"
                             : value.kind == Value::Kind::directories ? "paths=-d"
                                                                      : ":";
    if (!option->nonpositional()) {
      if (value.kind == Value::Kind::words) words.push_back(value.words());
      if (value.kind == Value::Kind::files || value.kind == Value::Kind::directories) positional = " " + what;
      continue;
    }
    words.push_back(names(*option).front());
    if (value.kind != Value::Kind::none) {
      after_option += "        " + joined(names(*option), " | ") + ") " + what + " ;;\n";
    }
  }
  cases += "    " + in_quotes(path) + ")\n      case $before in\n" + after_option +
           "        *) words=" + in_quotes(joined(words, " ")) + positional + " ;;\n      esac ;;\n";
  for (const CLI::App* verb : verbs_of(app)) {
    const std::string longer = path + ' ' + verb->get_name();
    paths += (paths.empty() ? "" : " | ") + in_quotes(longer);
    bash_case(*verb, longer, paths, cases);
  }
}

std::string bash(const CLI::App& app) {
  std::string paths, cases;
  bash_case(app, "", paths, cases);
  return R"(_attune() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb= words= paths= i
  # In --option=value bash takes '=' for a word of its own.
  if [[ $word == = ]]; then word=; elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD - 2]}; fi
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "$verb ${COMP_WORDS[i]}" in
      )" +
         paths + R"() verb+=" ${COMP_WORDS[i]}" ;;
    esac
  done
  case $verb in
)" + cases +
         R"(  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  if [[ -n $paths ]]; then
    compopt -o filenames 2> /dev/null
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen "$paths" -- "$word")
  fi
}
complete -F _attune attune
)";
}

std::string zsh_action(const Value& value) {
  const std::string message = ":" + replaced(value.type, ":", "\\:") + ":";
  switch (value.kind) {
    case Value::Kind::none: return "";
    case Value::Kind::words: return message + "(" + value.words() + ")";
    case Value::Kind::files: return message + "_files";
    case Value::Kind::directories: return message + "_files -/";
    case Value::Kind::text: return message + " ";
  }
  return "";
}

// A function for each verb, and before it those of its verbs.
void zsh_function(const CLI::App& app, const std::string& name, std::string& out) {
  const std::vector<const CLI::App*> verbs = verbs_of(app);
  for (const CLI::App* verb : verbs) zsh_function(*verb, name + '_' + verb->get_name(), out);
  out += name + "() {\n  local state\n  _arguments -C";
  std::size_t place = 0;
  for (const CLI::Option* option : app.get_options()) {
    const Value value(*option);
    if (!option->nonpositional()) {
      const std::string colon = option->get_required() ? "" : ":";
      out += " \\\n    " + in_quotes(std::to_string(++place) + colon + zsh_action(value));
      continue;
    }
    const std::string text = replaced(replaced(on_one_line(option->get_description()), "[", "\\["), "]", "\\]");
    const std::vector<std::string> all = names(*option);
    for (const std::string& one : all) {
      const std::string others = all.size() > 1 ? "(" + joined(all, " ") + ")" : "";
      const std::string glued = value.kind != Value::Kind::none && one.starts_with("--") ? "=" : "";
      out += " \\\n    " + in_quotes(others + one + glued + "[" + text + "]" + zsh_action(value));
    }
  }
  if (verbs.empty()) {
    out += "\n}\n";
    return;
  }
  out += " \\\n    '1: :->verb' '*:: :->rest'\n  case $state in\n    verb)\n      local -a verbs=(\n";
  for (const CLI::App* verb : verbs) {
    out += "        " + in_quotes(verb->get_name() + ":" + on_one_line(verb->get_description())) + "\n";
  }
  out += "      )\n      _describe verb verbs ;;\n    rest)\n      case $words[1] in\n        " +
         joined(names_of_verbs(app), "|") + ") " + name + "_$words[1] ;;\n      esac ;;\n  esac\n}\n";
}

std::string zsh(const CLI::App& app) {
  std::string functions;
  zsh_function(app, "_attune", functions);
  return functions +
         R"(if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _attune "$@"; else compdef _attune attune; fi
)";
}

// A line for each verb and option; `seen` is the condition that the verbs of `app` have been typed.
void fish_lines(const CLI::App& app, const std::string& seen, std::string& out) {
  const std::vector<std::string> names = names_of_verbs(app);
  std::string here = seen;
  if (!names.empty()) {
    here += (seen.empty() ? "" : "; and ") + ("not __fish_seen_subcommand_from " + joined(names, " "));
  }
  const std::string begin = "complete -c attune -n " + in_quotes(here);
  for (const CLI::App* verb : verbs_of(app)) {
    out += begin + " -a " + verb->get_name() + " -d " + in_quotes(on_one_line(verb->get_description())) + "\n";
  }
  for (const CLI::Option* option : app.get_options()) {
    const Value value(*option);
    out += begin;
    for (const std::string& name : option->get_lnames()) out += " -l " + name;
    for (const std::string& name : option->get_snames()) out += " -s " + name;
    if (option->nonpositional())
      out += " -d " + in_quotes(replaced(on_one_line(option->get_description()), "\\", "\\\\"));
    const std::string exclusively = option->nonpositional() ? " -x" : "";
    if (value.kind == Value::Kind::words) out += exclusively + " -a " + in_quotes(value.words());
    if (value.kind == Value::Kind::files) out += option->nonpositional() ? " -r -F" : " -F";
    if (value.kind == Value::Kind::directories) out += exclusively + " -a '(__fish_complete_directories)'";
    if (value.kind == Value::Kind::text) out += exclusively;
    out += "\n";
  }
  for (const CLI::App* verb : verbs_of(app)) {
    fish_lines(*verb, seen + (seen.empty() ? "" : "; and ") + "__fish_seen_subcommand_from " + verb->get_name(), out);
  }
}

std::string fish(const CLI::App& app) {
  std::string lines = "complete -c attune -f\n";
  fish_lines(app, "", lines);
  return lines;
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  const std::string heading = (shell == "zsh" ? "#compdef attune\n" : "") + ("# Completion of attune for " + shell) +
                              ", made by 'attune completion " + shell + "'.\n\n";
  return heading + (shell == "bash" ? bash(app) : shell == "zsh" ? zsh(app) : fish(app));
}

void run(const CompletionOptions& options, Console& console) {
  check_config(options.common);
  if (console.json()) return console.object({{"shell", options.shell}, {"script", options.script}});
  console.text() << options.script;
}

}  // namespace attune::cli
