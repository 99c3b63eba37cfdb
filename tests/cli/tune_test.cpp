// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "catch.hpp"
#include "cli/markup.hpp"
#include "cli/tool.hpp"

using attune::test::contents;
using attune::test::Run;
using attune::test::Sandbox;
using attune::test::well_formed;
namespace fs = std::filesystem;

namespace {

const std::string kSpace = R"({"adam": {"learning_rate": {"log_uniform": [1e-3, 3e-2]}},
  "encoder": {"dropout": {"uniform": [0, 0.5]}, "embedding_dim": 8, "num_blocks": {"choice": [1, 2]}, "num_heads": 1,
  "inner_dim": 16, "max_sequence_length": 20}, "batch_sequences": {"integer": [8, 32]}, "patience": 1000})";

std::string tune(const Sandbox& sandbox, const std::string& output, const std::string& more = "",
                 const std::string& space = kSpace) {
  sandbox.write("space.json", space);
  return "tune --interactions " + sandbox.events() + " --space space.json --trials 6 --epochs 9 --threads 1 --output " +
         output + ' ' + more;
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// All of a report but seconds and where things lie.
nlohmann::json answer_of(nlohmann::json report) {
  for (const char* name : {"load", "seconds", "resumed_rungs", "best_file", "plot_file", "train"}) report.erase(name);
  for (auto& trial : report["trials"]) {
    trial.erase("seconds");
    for (auto& epoch : trial["epochs"]) epoch.erase("seconds");
  }
  return report;
}

void check_failure(const Run& run, const std::string& reason) {
  INFO(run.err);
  CHECK(run.status == 1);
  CHECK(run.out.empty());
  CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
  CHECK(holds(run.err, reason));
}

}  // namespace

TEST_CASE("Tuning ends with a configuration that training takes, a table and a plot", "[cli][tune]") {
  const Sandbox sandbox;
  const Run run = sandbox.attune(tune(sandbox, "search", "--json"));
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto report = run.json();
  CHECK(report["rungs"] == std::vector<std::size_t>{1, 3, 9});
  CHECK(report["complete"] == true);
  CHECK(report["resumed_rungs"] == 0);
  CHECK(report["preset"] == "default");
  REQUIRE(report["trials"].size() == 6);
  double before = 1;
  for (const auto& trial : report["trials"]) {
    CHECK(trial["validation"]["ndcg@10"] <= before);
    before = trial["validation"]["ndcg@10"];
    CHECK(trial["parameters"].size() == 4);
    CHECK(trial["problem"].is_null());
    CHECK(trial["epochs"].size() == report["rungs"][trial["rungs"].get<std::size_t>() - 1]);
  }
  const auto& best = report["trials"][0];
  CHECK(report["best"] == best["trial"]);
  CHECK(report["config"]["adam"]["learning_rate"] == best["parameters"]["adam.learning_rate"]);
  CHECK(report["config"]["blend"] == true);
  CHECK(nlohmann::json::parse(sandbox.read("search/best.json")) == report["config"]);

  const auto trained =
      sandbox.attune("train --interactions events.csv --config search/best.json --output model --json");
  REQUIRE(trained.status == 0);
  const auto epochs = trained.json()["epochs"];
  REQUIRE(epochs.size() >= best["epochs"].size());
  for (std::size_t i = 0; i < best["epochs"].size(); ++i)
    CHECK(epochs[i]["validation"] == best["epochs"][i]["validation"]);

  const std::string plot = sandbox.read("search/tune.svg");
  CHECK(well_formed(plot));
  CHECK(count(plot, "<polyline") == 6);
  CHECK(count(plot, "<g class=\"best\">") == 1);
  CHECK(count(plot, "class=\"mark\"") == 3);
  CHECK(holds(plot, "prefers-color-scheme: dark"));
  CHECK(holds(plot, "validation NDCG@10</text>"));
  CHECK(holds(plot, ">trial " + std::to_string(best["trial"].get<int>()) + "</text>"));
}

TEST_CASE("The table of trials is in order and ends with the command that trains the best", "[cli][tune]") {
  const Sandbox sandbox;
  const Run run = sandbox.attune(tune(sandbox, "'my search'", "--split leave-one-out --min-rating 2 --seen keep"));
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(holds(run.out,
              "trial  adam.learning_rate  encoder.dropout  encoder.num_blocks  batch_sequences  epochs   hr@10"));
  CHECK(holds(run.out, "6 trials in "));
  const std::string command =
      "attune train --interactions events.csv --min-rating 2.0 --split leave-one-out --seen keep "
      "--preset default --config 'my search/best.json' --output model";
  REQUIRE(holds(run.out, command));
  CHECK(sandbox.attune(command.substr(7)).status == 0);
  CHECK(holds(run.err, "trial 1/6  epoch 1  validation hr@10 "));
}

TEST_CASE("A search that is killed anywhere goes on to the same answer", "[cli][tune]") {
  const Sandbox sandbox;
  const auto expected = answer_of(sandbox.attune(tune(sandbox, "whole", "--json")).json());
  const std::string plot = sandbox.read("whole/tune.svg"), config = sandbox.read("whole/best.json");
  std::size_t killed = 0;
  const auto kill_at = [&](const std::string& text, const std::string& more) {
    killed += sandbox.attune_killed_at(text, tune(sandbox, "search", more)).status == 128 + 9;
  };
  kill_at("reading", "--threads 1");
  kill_at("trial 2/6", "--resume");
  for (const char* text : {"trial 3/6", "trial 5/6", "epoch 3", "epoch 9"}) kill_at(text, "--resume --threads 2");
  CHECK(killed >= 4);
  const Run last = sandbox.attune(tune(sandbox, "search", "--resume --json --threads 2"));
  INFO(last.err);
  REQUIRE(last.status == 0);
  CHECK(last.json()["resumed_rungs"] >= 5);
  CHECK(answer_of(last.json()) == expected);
  CHECK(sandbox.read("search/tune.svg") == plot);
  CHECK(sandbox.read("search/best.json") == config);
  CHECK(contents(sandbox.path("search")).size() == 3);
  CHECK(answer_of(sandbox.attune(tune(sandbox, "search", "--resume --json")).json()) == expected);
}

TEST_CASE("The directory of another search is left as it is", "[cli][tune]") {
  const Sandbox sandbox;
  REQUIRE(sandbox.attune(tune(sandbox, "search", "--quiet")).status == 0);
  const auto before = contents(sandbox.path("search"));
  check_failure(sandbox.attune(tune(sandbox, "search", "--json --quiet")),
                "\"search\" holds a search already: resume it");
  const auto refused = [&](const std::string& more, const std::string& reason, const std::string& space = kSpace) {
    check_failure(sandbox.attune(tune(sandbox, "search", "--json --quiet --resume " + more, space)), reason);
  };
  refused("--min-rating 2", "search.jsonl\": the journal is of another search: histories.");
  refused("--seed 8", "config.seed: expected 1, found 8");
  refused("--epochs 12", "config.epochs: expected 9, found 12");
  refused("--preset hstu-small", "config.encoder.block");
  refused("", "space.", R"({"patience": {"integer": [2, 8]}})");
  CHECK(contents(sandbox.path("search")) == before);
  REQUIRE(sandbox.train().status == 0);
  check_failure(sandbox.attune(tune(sandbox, "model", "--json --quiet")), "expected an empty directory");
}

TEST_CASE("A space that cannot be searched is refused before the interactions are read", "[cli][tune]") {
  const Sandbox sandbox;
  const auto refused = [&](const std::string& space, const std::string& reason) {
    sandbox.write("bad.json", space);
    check_failure(sandbox.attune("tune --interactions missing.csv --space bad.json --output search"), reason);
  };
  refused("{}", "bad.json: ");
  refused(R"({"encoder": {"dropuot": {"uniform": [0, 1]}}})", "bad.json: encoder.dropuot: no such field");
  refused(R"({"encoder": {"num_blocks": {"choice": []}}})", "bad.json: encoder.num_blocks: expected a choice");
  refused(R"({"encoder": {"dropout": {"uniform": [0.5, 0.2]}}})", "bad.json: encoder.dropout: expected the low end");
  refused(R"({"adam": {"learning_rate": {"log_uniform": [0, 1]}}})", "bad.json: adam.learning_rate: expected a log");
  refused(R"({"encoder": {"num_heads": {"choice": [3, 7]}}})", "none of 2 configurations is valid");
  refused(R"({"ease": {"lambda": {"uniform": [1, 9]}}})", "ease.lambda: expected an option of the encoder");
  check_failure(sandbox.attune("tune --interactions missing.csv --space nowhere.json --output search"), "nowhere.json");
  CHECK(!fs::exists(sandbox.path("search")));
}

TEST_CASE("Trials that cannot be trained are reported and lose", "[cli][tune]") {
  const Sandbox sandbox;
  const std::string space = R"({"encoder": {"embedding_dim": 8, "inner_dim": 16, "num_heads": {"choice": [1, 3]}}})";
  const Run json = sandbox.attune(tune(sandbox, "search", "--json", space));
  REQUIRE(json.status == 0);
  const auto trials = json.json()["trials"];
  REQUIRE(trials.size() == 2);
  CHECK(trials[0]["parameters"]["encoder.num_heads"] == 1);
  CHECK(trials[1]["validation"].is_null());
  CHECK(holds(trials[1]["problem"].get<std::string>(), "num_heads"));
  const Run text = sandbox.attune(tune(sandbox, "search", "--resume", space));
  CHECK(holds(text.out, " lost: "));
  CHECK(holds(text.out, "a divisor of embedding_dim (8)"));
}

TEST_CASE("A budget that is too small for one rung fails, and what it left can be resumed", "[cli][tune]") {
  const Sandbox sandbox;
  check_failure(sandbox.attune(tune(sandbox, "search", "--quiet --json --budget 0.000001")),
                "the budget was too small");
  const Run run = sandbox.attune(tune(sandbox, "search", "--json --budget 10000 --resume"));
  REQUIRE(run.status == 0);
  CHECK(run.json()["complete"] == true);
}

TEST_CASE("Count models are tuned without epochs", "[cli][tune]") {
  const Sandbox sandbox;
  sandbox.write("counts.json", R"({"item_knn": {"neighbours": {"integer": [2, 20]}}})");
  const Run run = sandbox.attune("tune --interactions " + sandbox.events() +
                                 " --preset item-knn --space counts.json --trials 4 --output search --json");
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.json()["rungs"] == std::vector<std::size_t>{0});
  CHECK(run.json()["trials"].size() == 4);
  const std::string plot = sandbox.read("search/tune.svg");
  CHECK(well_formed(plot));
  CHECK(count(plot, "<circle") == 4);
  CHECK(sandbox.attune("train --interactions events.csv --config search/best.json --output model").status == 0);
}

TEST_CASE("The block of an encoder that is told the time is known before the search", "[cli][tune]") {
  const Sandbox sandbox;
  sandbox.write("blocks.json", R"({"encoder": {"block": {"choice": ["sasrec", "hstu"]}}})");
  const Run run =
      sandbox.attune("tune --interactions missing.csv --space blocks.json --output search --request-time on");
  CHECK(run.status == 2);
  CHECK(holds(run.err, "--request-time on: expected encoder.block from --preset or --config, found it in blocks.json"));
}
