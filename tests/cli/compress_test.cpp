// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>

#include "catch.hpp"
#include "cli/tool.hpp"

using attune::test::contents;
using attune::test::Run;
using attune::test::Sandbox;

namespace {

void check_failure(const Run& run, const std::string& named) {
  INFO(run.err);
  CHECK(run.status == 1);
  CHECK(run.out.empty());
  CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
  CHECK(run.err.find(named) != std::string::npos);
}

}  // namespace

TEST_CASE("A model is compressed into another directory, and answers from there", "[cli][compress]") {
  const Sandbox sandbox;
  sandbox.train();
  const auto before = contents(sandbox.path("model"));
  const Run run = sandbox.attune("compress model --output small --json");
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto report = run.json();
  CHECK(report["model"] == "small");
  CHECK(report["weights_bytes"]["before"] == before.at("weights.safetensors").size());
  CHECK(report["weights_bytes"]["after"] == sandbox.read("small/weights.safetensors").size());
  CHECK(report["weights_bytes"]["after"] < report["weights_bytes"]["before"]);
  CHECK(report["model_bytes"]["after"] < report["model_bytes"]["before"]);
  CHECK(contents(sandbox.path("model")) == before);

  const auto old = sandbox.attune("inspect model --json").json();
  const auto inspected = sandbox.attune("inspect small --json").json();
  CHECK(old["model"]["weight_storage"] == "float32");
  CHECK(inspected["model"]["weight_storage"] == "int8");
  CHECK(inspected["notes"]["compressed_from"] == old["model"]["version"]);
  CHECK(inspected["model"]["version"] != old["model"]["version"]);
  CHECK(inspected["model"]["interactions"] == old["model"]["interactions"]);
  CHECK(sandbox.attune("recommend --model small --user u3 --json").json()["source"] == "model");
  CHECK(sandbox.attune("evaluate --model small --interactions events.csv --against model").status == 0);
  CHECK(sandbox.attune("compress model --output small").out.find("model written to small") != std::string::npos);
}

TEST_CASE("A compressed model stays as it is when compressed again, in place", "[cli][compress]") {
  const Sandbox sandbox;
  sandbox.train();
  REQUIRE(sandbox.attune("compress model --output model").status == 0);
  const auto once = contents(sandbox.path("model"));
  REQUIRE(sandbox.attune("compress model --output model").status == 0);
  CHECK(contents(sandbox.path("model")) == once);
}

TEST_CASE("What cannot be compressed leaves nothing behind", "[cli][compress]") {
  const Sandbox sandbox;
  sandbox.train();
  check_failure(sandbox.attune("compress missing --output small"), "missing");
  sandbox.attune("train --interactions events.csv --output counts --preset markov");
  check_failure(sandbox.attune("compress counts --output small"), "counts: expected an encoder, found none");
  CHECK_FALSE(std::filesystem::exists(sandbox.path("small")));
  std::filesystem::create_directory(sandbox.path("mine"));
  sandbox.write("mine/letter.txt", "dear reader");
  const auto mine = contents(sandbox.path("mine"));
  check_failure(sandbox.attune("compress model --output mine"), "\"mine\" is not replaced");
  CHECK(contents(sandbox.path("mine")) == mine);
}
