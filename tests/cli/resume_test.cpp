// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>

#include "catch.hpp"
#include "cli/tool.hpp"

using attune::test::contents;
using attune::test::Run;
using attune::test::Sandbox;

namespace {

// Sampled losses make item rows wait for their steps; averaged weights are a second copy of everything.
const std::string kOptions = R"({"encoder": {"embedding_dim": 8, "num_blocks": 1, "num_heads": 1, "inner_dim": 16,
  "max_sequence_length": 20}, "objective": {"loss": "sampled_softmax", "negatives": 3, "shared_negatives": true},
  "windows": "all", "average": 0.99, "patience": 1000})";

std::string train(const Sandbox& sandbox, const std::string& output, const std::string& more = "") {
  sandbox.write("options.json", kOptions);
  return "train --interactions " + sandbox.events() + " --config options.json --epochs 60 --threads 1 --output " +
         output + ' ' + more;
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("Training that is killed within an epoch goes on to the same model", "[cli][resume]") {
  const Sandbox sandbox;
  const auto expected = sandbox.attune(train(sandbox, "whole", "--json")).json();

  const Run killed = sandbox.attune_killed_at("epoch  2/60", train(sandbox, "model"));
  INFO(killed.err);
  REQUIRE(killed.status == 128 + 9);
  CHECK(std::filesystem::exists(sandbox.path("model.training")));
  CHECK(!std::filesystem::exists(sandbox.path("model")));
  const Run again = sandbox.attune_killed_at("epoch 20/60", train(sandbox, "model", "--resume --threads 2"));
  REQUIRE(again.status == 128 + 9);
  CHECK(!holds(again.err, "epoch  1/60"));

  const Run last = sandbox.attune(train(sandbox, "model", "--resume --json --threads 2"));
  INFO(last.err);
  REQUIRE(last.status == 0);
  const auto report = last.json();
  CHECK(report["resumed_epochs"] >= 20);
  CHECK(report["resumed_epochs"] < 60);
  CHECK(contents(sandbox.path("model")) == contents(sandbox.path("whole")));
  CHECK(report["metrics"] == expected["metrics"]);
  CHECK(report["best_epoch"] == expected["best_epoch"]);
  CHECK(report["blend_weight"] == expected["blend_weight"]);
  REQUIRE(report["epochs"].size() == expected["epochs"].size());
  for (std::size_t i = 0; i < report["epochs"].size(); ++i) {
    CHECK(report["epochs"][i]["loss"] == expected["epochs"][i]["loss"]);
    CHECK(report["epochs"][i]["validation"] == expected["epochs"][i]["validation"]);
  }
  CHECK(!std::filesystem::exists(sandbox.path("model.training")));
}

TEST_CASE("Resuming without an interrupted training starts from the beginning and says so", "[cli][resume]") {
  const Sandbox sandbox;
  const Run run = sandbox.train("--resume --json");
  CHECK(run.status == 0);
  CHECK(holds(run.err, "found no interrupted training in " + sandbox.path("model.training")));
  CHECK(run.json()["resumed_epochs"] == 0);
}

TEST_CASE("Training anew says that it will replace an interrupted training, and does", "[cli][resume]") {
  const Sandbox sandbox;
  REQUIRE(sandbox.attune_killed_at("epoch  2/60", train(sandbox, "model")).status == 128 + 9);
  const Run run = sandbox.attune(train(sandbox, "model/", "--epochs 1 --json"));
  CHECK(run.status == 0);
  CHECK(holds(run.err, "starting anew"));
  CHECK(holds(run.err, "--resume would continue"));
  CHECK(run.json()["resumed_epochs"] == 0);
  CHECK(!std::filesystem::exists(sandbox.path("model.training")));
}

TEST_CASE("Another training or a damaged state is refused, and left as it is", "[cli][resume]") {
  const Sandbox sandbox;
  REQUIRE(sandbox.attune_killed_at("epoch  2/60", train(sandbox, "model")).status == 128 + 9);
  const std::string state = sandbox.read("model.training");
  const auto refused = [&](const std::string& more, const std::string& reason) {
    const Run run = sandbox.attune(train(sandbox, "model", "--resume --quiet " + more));
    INFO(run.err);
    CHECK(run.status == 1);
    CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
    CHECK(holds(run.err, sandbox.path("model.training")));
    CHECK(holds(run.err, reason));
  };
  refused("--seed 9", "config.seed: expected 1, found 9");
  refused("--min-rating 2", "histories.");
  refused("--split temporal:0.8", "histories.");
  CHECK(sandbox.read("model.training") == state);
  sandbox.write("model.training", state.substr(0, state.size() / 2));
  refused("", "expected checksum");
}
