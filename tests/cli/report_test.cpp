// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "cli/markup.hpp"
#include "cli/tool.hpp"

using attune::test::Run;
using attune::test::Sandbox;
using attune::test::well_formed;
namespace fs = std::filesystem;

namespace {

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// The ids of a page's sections.
std::vector<std::string> sections(const std::string& page) {
  std::vector<std::string> ids;
  const std::regex section("<section id=\"([a-z]+)\"");
  for (auto at = std::sregex_iterator(page.begin(), page.end(), section); at != std::sregex_iterator(); ++at) {
    ids.push_back((*at)[1]);
  }
  return ids;
}

// What every page keeps: markup that is closed, nothing from elsewhere, no script, text that is UTF-8.
void check_page(const std::string& page) {
  const std::string doctype = "<!doctype html>\n";
  REQUIRE(page.starts_with(doctype));
  CHECK(well_formed(page.substr(doctype.size())));
  for (const char* foreign :
       {"http:", "https:", "<script", "<link", "<img", "src=\"", "@import", "url(", "onerror=\""}) {
    INFO(foreign);
    CHECK_FALSE(holds(page, foreign));
  }
  CHECK_NOTHROW(nlohmann::json(page).dump());
  CHECK(holds(page, "prefers-color-scheme: dark"));
  CHECK(holds(page, "name=\"viewport\""));
  CHECK(count(page, "<svg") == count(page, "role=\"img\" aria-label=\""));
  CHECK(count(page, "<h1>") == 1);
  CHECK(count(page, "<table>") == count(page, "<thead>"));
  CHECK(count(page, "<caption>") + 1 == count(page, "<table>"));  // that of what was done follows its heading
  for (const std::string& id : sections(page)) CHECK(holds(page, "<a href=\"#" + id + "\">"));
}

// The events of a sandbox by users whose ids would be noticed.
std::string named_events(const Sandbox& sandbox) {
  sandbox.events();
  std::string events = sandbox.read("events.csv");
  for (std::size_t at = 0; (at = events.find("\nu", at)) != std::string::npos; ++at) {
    if (events[at + 2] != 's') events.insert(at + 1, "visitor-");
  }
  return sandbox.write("named.csv", events);
}

// Titles and genres as nobody wants them in a page.
std::string hostile_items(const Sandbox& sandbox) {
  std::ostringstream items;
  items << "item,title,genres\n";
  for (int i = 0; i < 20; ++i) {
    items << 'i' << i << ",\"<script>alert(" << i << ")</script> \"\"quoted\"\" & 'so' \xFF\xC3\x01 caf\xC3\xA9\",\""
          << (i % 3 == 0 ? "Drama|<img src=x onerror=\"\"alert(1)\"\">" : "War") << "\"\n";
  }
  return sandbox.write("items.csv", items.str());
}

std::string train(const Sandbox& sandbox, const std::string& more) {
  sandbox.write(
      "small.json",
      R"({"encoder": {"embedding_dim": 8, "num_blocks": 1, "num_heads": 1, "inner_dim": 16, "max_sequence_length": 20}})");
  return "train --interactions " + named_events(sandbox) +
         " --output model --config small.json --epochs 3 --threads 1 " + more;
}

}  // namespace

TEST_CASE("train writes a page with all that it knows, whatever the files hold", "[cli][report]") {
  const Sandbox sandbox;
  const Run run =
      sandbox.attune(train(sandbox, "--items " + hostile_items(sandbox) + " --report pages/report.html --json"));
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto result = run.json();
  CHECK(result["report"] == "pages/report.html");
  const std::string page = sandbox.read("pages/report.html");
  check_page(page);
  CHECK(sections(page) ==
        std::vector<std::string>{"done", "data", "learning", "metrics", "items", "hardest", "configuration"});
  CHECK(holds(page, "&lt;script&gt;alert(7)&lt;/script&gt; &quot;quoted&quot; &amp; &#39;so&#39; "));
  CHECK(holds(page, "\xEF\xBF\xBD"));  // for what is not UTF-8
  CHECK(holds(page, "&#65533; caf\xC3\xA9"));
  CHECK(holds(page, "&lt;img src=x onerror=&quot;alert(1)&quot;&gt; ("));
  CHECK_FALSE(holds(page, "visitor"));
  CHECK(fs::directory_iterator(sandbox.path("pages"))->path().filename() == "report.html");

  CHECK(holds(page, "attune train --interactions named.csv --output model"));
  for (const char* fact : {"instruction set", "threads", "UTC", "version", "30.0 h in the median",
                           "there are 360 sessions, of 1.0 events each", "best epoch", "Case 1: rank ",
                           "encoder.embedding_dim", "attune - popularity", "95 % interval", "% of the variance"}) {
    INFO(fact);
    CHECK(holds(page, fact));
  }
  std::ostringstream ndcg;
  ndcg.precision(4);
  ndcg << std::fixed << result["metrics"]["ndcg@10"].get<double>();
  CHECK(holds(page, ">ndcg@10</th><td class=\"number\">" + ndcg.str() + "</td>"));
  CHECK(count(page, "<circle class=\"c") == 20);  // the map
}

TEST_CASE("A report that cannot be written is refused before anything is read", "[cli][report]") {
  const Sandbox sandbox;
  fs::create_directory(sandbox.path("folder"));
  sandbox.write("old.csv", "old");
  const auto refused = [&](const std::string& report, int status, const std::string& reason) {
    const Run run =
        sandbox.attune("train --interactions missing.csv --items old.csv --output model --report " + report);
    INFO(run.err);
    CHECK(run.status == status);
    CHECK(holds(run.err, reason));
    CHECK(run.out.empty());
    CHECK_FALSE(fs::exists(sandbox.path("model")));
    CHECK(sandbox.read("old.csv") == "old");
  };
  refused("folder", 1, "Is a directory");
  refused("old.csv/report.html", 1, "Not a directory");
  refused("/dev/null", 1, "Not a regular file");
  refused("-", 2, "--report: expected a file");
  refused("folder/../old.csv", 2, "--report: expected a file of its own, found that of --items");
  refused("missing.csv", 2, "found that of --interactions");
  refused("model/", 2, "found that of --output");
  const Run twice =
      sandbox.attune("evaluate --model model --interactions e.csv --items - --report page.html", "item\n");
  CHECK(twice.status == 2);
  CHECK(holds(twice.err, "--items: expected a file, found standard input"));
  const Run secret = sandbox.attune("train --interactions e.csv --output m --privacy-epsilon 4 --report page.html");
  CHECK(secret.status == 2);
}

TEST_CASE("evaluate writes a page, and leaves the old one where it fails", "[cli][report]") {
  const Sandbox sandbox;
  REQUIRE(sandbox.attune(train(sandbox, "--preset sasrec-small")).status == 0);
  sandbox.write("page.html", "old");
  const std::string evaluate = "evaluate --model model --interactions named.csv --report page.html ";
  CHECK(sandbox.attune(evaluate + "--split none").status == 1);
  CHECK(sandbox.read("page.html") == "old");

  const std::string genres = "item,genres\ni1,Drama\ni2,War\n";
  const Run run = sandbox.attune(evaluate + "--baselines --against model --segments --cutoffs 3,7 --items " +
                                 sandbox.write("genres.csv", genres) + " --provider genres");
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(holds(run.out, "report written to page.html"));
  const std::string page = sandbox.read("page.html");
  check_page(page);
  CHECK(sections(page) ==
        std::vector<std::string>{"done", "data", "metrics", "segments", "items", "hardest", "configuration"});
  CHECK_FALSE(holds(page, "visitor"));
  for (const char* fact : {"At cutoff 3", "attune - against", "attune - markov", ">warm</", ">gap</",
                           "Share of the attention", "<dt>diversity</dt>", "epochs", ">ndcg</th>"}) {
    INFO(fact);
    CHECK(holds(page, fact));
  }
  CHECK(holds(page, "<circle class=\"c8\""));  // items of no category
}

TEST_CASE("A page leaves out what there is nothing to show of", "[cli][report]") {
  const Sandbox sandbox;
  std::string events = "user,item\n";
  for (int user = 0; user < 9; ++user) {
    for (int step = 0; step < 4; ++step)
      events += "u" + std::to_string(user) + ",i" + std::to_string(user + step) + '\n';
  }
  sandbox.write("untimed.csv", events);
  const std::string train =
      "train --interactions untimed.csv --output model --preset markov --report page.html --json ";
  REQUIRE(sandbox.attune(train).status == 0);
  const std::string page = sandbox.read("page.html");
  check_page(page);
  CHECK(sections(page) == std::vector<std::string>{"done", "data", "metrics", "hardest", "configuration"});
  CHECK_FALSE(holds(page, "session"));
  CHECK(holds(page, "note: no times, so leave-one-out"));

  REQUIRE(sandbox.attune(train + "--split none").status == 0);
  const std::string bare = sandbox.read("page.html");
  check_page(bare);
  CHECK(sections(bare) == std::vector<std::string>{"done", "data", "metrics", "configuration"});
  CHECK(holds(bare, "There were no queries to measure with."));
  CHECK_FALSE(sandbox.attune("train --interactions untimed.csv --output model --preset markov --json")
                  .json()
                  .contains("report"));
}

TEST_CASE("tune writes a page with its trials", "[cli][report]") {
  const Sandbox sandbox;
  sandbox.write("space.json", R"({"adam": {"learning_rate": {"log_uniform": [1e-3, 3e-2]}},
    "encoder": {"embedding_dim": 8, "num_blocks": 1, "num_heads": 1, "inner_dim": 16, "max_sequence_length": 20}})");
  const Run run = sandbox.attune("tune --interactions " + named_events(sandbox) +
                                 " --space space.json --trials 3 --epochs 3 --threads 1 --output search "
                                 "--report search/page.html --json");
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.json()["report"] == "search/page.html");
  const std::string page = sandbox.read("search/page.html");
  check_page(page);
  CHECK(sections(page) == std::vector<std::string>{"done", "data", "trials", "configuration"});
  CHECK(holds(page, "<th scope=\"col\" class=\"number\">adam.learning_rate</th>"));
  CHECK(holds(page, "attune train --interactions named.csv --preset default --config search/best.json --output model"));
  CHECK(count(page, "<polyline") == 4);  // three trials and the long tail
  CHECK_FALSE(holds(page, "visitor"));
}
