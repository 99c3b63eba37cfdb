// SPDX-License-Identifier: Apache-2.0

// What the tool writes about itself: the manual page, and what completes command lines.

#include <algorithm>
#include <map>
#include <regex>
#include <sstream>

#include "catch.hpp"
#include "cli/tool.hpp"

using attune::test::Run;
using attune::test::Sandbox;

namespace {

using Words = std::vector<std::string>;

bool contains(const Words& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// The first words of the lines of a help that begin as `pattern` says.
Words found_in(const std::string& help, const std::string& pattern) {
  Words words;
  const std::regex line("(^|\n)  " + pattern);
  for (std::sregex_iterator at(help.begin(), help.end(), line), end; at != end; ++at) words.push_back((*at)[2]);
  return words;
}

// Every verb that does something, with its long options, as the helps list them.
std::map<std::string, Words> options_of_verbs(const Sandbox& sandbox) {
  const auto list_verbs = [](const std::string& help) {
    const std::size_t at = help.find("Subcommands:");
    return at == std::string::npos ? Words{} : found_in(help.substr(at), "([a-z]+) ");
  };
  std::map<std::string, Words> options;
  for (const std::string& verb : list_verbs(sandbox.attune("--help").out)) {
    const std::string help = sandbox.attune(verb + " --help").out;
    const Words parts = list_verbs(help);
    if (parts.empty()) options[verb] = found_in(help, "(?:-[a-z],)?(--[a-z-]+)");
    for (const std::string& part : parts) {
      options[verb + ' ' + part] =
          found_in(sandbox.attune(verb + ' ' + part + " --help").out, "(?:-[a-z],)?(--[a-z-]+)");
    }
  }
  return options;
}

// What bash offers for the last of these words.
Words offered(const Sandbox& sandbox, const std::string& words) {
  sandbox.write("complete.bash",
                "source attune.bash\nCOMP_WORDS=(attune \"$@\")\nCOMP_CWORD=$#\n_attune\n"
                "for word in \"${COMPREPLY[@]}\"; do echo \"$word\"; done\n");
  const Run run = sandbox.shell("bash --noprofile --norc complete.bash " + words);
  INFO(words << '\n' << run.err);
  CHECK(run.status == 0);
  CHECK(run.err.empty());
  Words lines;
  std::istringstream out(run.out);
  for (std::string line; std::getline(out, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE("bash completes every verb and every option of it", "[cli][documents]") {
  const Sandbox sandbox;
  sandbox.write("attune.bash", sandbox.attune("completion bash").out);
  const auto verbs = options_of_verbs(sandbox);
  CHECK(verbs.size() > 20);
  const Words first = offered(sandbox, "''");
  for (const auto& [verb, options] : verbs) {
    CHECK(contains(first, verb.substr(0, verb.find(' '))));
    CHECK(options.size() > 5);
    const Words all = offered(sandbox, verb + " --");
    for (const std::string& option : options) {
      INFO(verb << ' ' << option);
      CHECK(contains(all, option));
    }
  }
  CHECK(offered(sandbox, "tr") == Words{"train"});
  CHECK(offered(sandbox, "--v") == Words{"--version"});
  CHECK(offered(sandbox, "privacy e") == Words{"epsilon"});
  CHECK(offered(sandbox, "train --quiet --privacy-u") == Words{"--privacy-unit"});
  CHECK(offered(sandbox, "train --output tune --trial").empty());  // a model of the name of a verb
  CHECK(offered(sandbox, "fly --").size() == offered(sandbox, "--").size());
}

TEST_CASE("bash completes values by what an option takes", "[cli][documents]") {
  const Sandbox sandbox;
  sandbox.write("attune.bash", sandbox.attune("completion bash").out);
  sandbox.write("all events.csv", "");
  REQUIRE(sandbox.shell("mkdir 'all models'").status == 0);
  CHECK(offered(sandbox, "recommend --seen ''") == Words{"filter", "keep"});
  CHECK(offered(sandbox, "recommend --seen = k") == Words{"keep"});  // as bash divides --seen=k
  CHECK(offered(sandbox, "completion f") == Words{"fish"});
  CHECK(offered(sandbox, "train --interactions = all").size() == 2);
  CHECK(contains(offered(sandbox, "train --interactions all"), "all events.csv"));
  CHECK(offered(sandbox, "train --output all") == Words{"all models"});
  CHECK(contains(offered(sandbox, "convert all"), "all events.csv"));
  CHECK(offered(sandbox, "train --epochs ''").empty());
  CHECK(offered(sandbox, "recommend -k ''").empty());
}

TEST_CASE("The scripts for zsh and fish know every verb and option, and are read where these shells are",
          "[cli][documents]") {
  const Sandbox sandbox;
  const auto verbs = options_of_verbs(sandbox);
  for (const std::string shell : {"zsh", "fish"}) {
    const std::string script = sandbox.attune("completion " + shell).out;
    sandbox.write("script", script);
    for (const auto& [verb, options] : verbs) {
      const std::string last = verb.substr(verb.find(' ') + 1);
      INFO(shell << ' ' << verb);
      CHECK(script.find(shell == "zsh" ? "'" + last + ":" : "-a " + last + " -d") != std::string::npos);
      for (const std::string& option : options) {
        INFO(option);
        CHECK(script.find(shell == "zsh" ? option : "-l " + option.substr(2)) != std::string::npos);
      }
    }
    if (sandbox.shell("command -v " + shell).status == 0) {
      const Run run = sandbox.shell(shell + " -n script");
      INFO(run.err);
      CHECK(run.status == 0);
    }
  }
  CHECK(sandbox.attune("completion zsh --json").json()["script"] == sandbox.attune("completion zsh").out);
  CHECK(sandbox.attune("completion tcsh").status == 2);
}

TEST_CASE("The manual page has every verb and option, and nothing that troff warns of", "[cli][documents]") {
  const Sandbox sandbox;
  const std::string page = sandbox.attune("manual").out;
  const std::string copied = std::regex_replace(page, std::regex(R"(\\-)"), "-");
  for (const auto& [verb, options] : options_of_verbs(sandbox)) {
    INFO(verb);
    CHECK(copied.find(".SS attune " + verb + "\n") != std::string::npos);
    for (const std::string& option : options) {
      INFO(option);
      CHECK(copied.find("\\fB" + option + "\\fR") != std::string::npos);
    }
  }
  sandbox.write("attune.1", page);
  for (const std::string checker : {"groff -man -Tutf8 -ww -z", "mandoc -T lint -W error"}) {
    if (sandbox.shell("command -v " + checker.substr(0, checker.find(' '))).status != 0) continue;
    const Run run = sandbox.shell(checker + " attune.1");
    CHECK(run.status == 0);
    CHECK(run.out + run.err == "");
  }
  CHECK(sandbox.attune("manual --json").json()["manual"] == page);
}
