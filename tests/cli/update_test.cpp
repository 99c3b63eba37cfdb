// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <sstream>

#include "catch.hpp"
#include "cli/tool.hpp"

using attune::test::contents;
using attune::test::Run;
using attune::test::Sandbox;

namespace {

// Later events of the same users, of ten users that are new, and with five items that are.
std::string later_events(const Sandbox& sandbox) {
  std::ostringstream text;
  text << "user,item,rating,timestamp\n";
  for (int user = 20; user < 40; ++user) {
    for (int step = 12; step < 22; ++step) {
      const int item = (7 * user + step * (1 + user % 3)) % 25, rating = 1 + (user + step) % 5;
      text << 'u' << user << ",i" << item << ',' << rating << ',' << 1700000000 + 3600 * (30 * step + user) << '\n';
    }
  }
  return sandbox.write("later.csv", text.str());
}

Run update(const Sandbox& sandbox, const std::string& more = "") {
  return sandbox.attune("update --model model --interactions " + later_events(sandbox) + " --output next --threads 1 " +
                        more);
}

void check_failure(const Run& run, int status, const std::string& named) {
  INFO(run.err);
  CHECK(run.status == status);
  CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
  CHECK(run.err.find(named) != std::string::npos);
}

}  // namespace

TEST_CASE("An update reports what is new, and measures the model beside the one before", "[cli][update]") {
  const Sandbox sandbox;
  REQUIRE(sandbox.train("--preset default").status == 0);
  const auto before = contents(sandbox.path("model"));
  const Run run = update(sandbox, "--epochs 2 --json");
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto report = run.json();
  CHECK(report["load"]["interactions"] == 200);
  CHECK(report["update"]["new_events"] == 200);
  CHECK(report["update"]["known_events"] == 0);
  CHECK(report["update"]["new_users"] == 10);
  CHECK(report["update"]["new_items"] == 5);
  REQUIRE(report["epochs"].size() == 2);
  CHECK(report["epochs"][0]["loss"].is_number());
  CHECK(report["epochs"][0]["validation"].is_null());
  CHECK(report["best_epoch"] == 2);
  CHECK(report["protocol"]["queries"] == 20);
  CHECK(report["protocol"]["items"] == 25);
  CHECK(report["metrics"]["ndcg@10"].is_number());
  CHECK(report["baselines"]["before"]["ndcg@10"].is_number());
  CHECK(report["known_users"]["queries"] < 20);
  CHECK(report["known_users"]["before"]["ndcg@10"].is_number());
  CHECK(contents(sandbox.path("model")) == before);

  const auto inspected = sandbox.attune("inspect next --json").json();
  CHECK(inspected["notes"]["updated_from"] == sandbox.attune("inspect model --json").json()["model"]["version"]);
  CHECK(sandbox.attune("recommend --model next --user u35 --json").json()["source"] == "model");
  CHECK(sandbox.attune("score --model next --history i3 --json").json()["scores"].size() == 25);
}

TEST_CASE("Events of one time are one query of an update where they are a basket", "[cli][update]") {
  const Sandbox sandbox;
  sandbox.train();
  std::ostringstream text;
  text << "user,item,timestamp\n";
  for (int event = 0; event < 40; ++event) {
    text << 'u' << event / 4 << ",i" << event % 20 << ',' << 1800000000 + 100000 * (event / 2) << '\n';
  }
  sandbox.write("baskets.csv", text.str());
  const auto queries = [&](const std::string& more) {
    const std::string update = "update --model model --interactions baskets.csv --output next --split temporal:0.5 ";
    return sandbox.attune(update + more + " --json").json()["protocol"]["queries"];
  };
  CHECK(queries("") == 20);
  CHECK(queries("--basket") == 10);
}

TEST_CASE("An update may replace its own model, as a whole", "[cli][update]") {
  const Sandbox sandbox;
  sandbox.train();
  later_events(sandbox);
  const std::string same = "update --model model --interactions later.csv --output model --epochs 1 ";
  CHECK(sandbox.attune(same + "--split none").out.find("200 new events") != std::string::npos);
  const auto once = contents(sandbox.path("model"));
  const Run again = sandbox.attune(same + "--json");
  CHECK(again.json()["update"]["new_events"] == 0);
  CHECK(again.json()["update"]["known_events"] == 200);
  CHECK(again.json()["metrics"].empty());
  CHECK(contents(sandbox.path("model")) == once);
}

TEST_CASE("A count model is updated by counting", "[cli][update]") {
  const Sandbox sandbox;
  sandbox.attune("train --interactions " + sandbox.events() + " --output model --preset markov");
  const auto report = update(sandbox, "--json").json();
  CHECK(report["epochs"].empty());
  CHECK(report["metrics"]["ndcg@10"] > report["baselines"]["before"]["ndcg@10"]);
  CHECK(sandbox.attune("recommend --model next --history i23 --json").json()["source"] == "counts");
}

TEST_CASE("An update that cannot be made leaves everything as it was", "[cli][update]") {
  const Sandbox sandbox;
  sandbox.train();
  const auto before = contents(sandbox.path("model"));
  check_failure(update(sandbox, "--split leave-one-out"), 2, "--split: expected temporal:F or none");
  check_failure(sandbox.attune("update --quiet --model none --interactions later.csv --output next"), 1, "none");
  sandbox.write("untimed.csv", "user,item\nu1,i2\n");
  check_failure(sandbox.attune("update --quiet --json --model model --interactions untimed.csv --output next"), 1,
                "times");
  sandbox.write("notes.txt", "mine");
  check_failure(sandbox.attune("update --quiet --model model --interactions later.csv --output ."), 1, "not replaced");
  CHECK(contents(sandbox.path("model")) == before);
  CHECK(!std::filesystem::exists(sandbox.path("next")));
}
