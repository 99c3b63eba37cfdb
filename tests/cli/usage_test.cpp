// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "cli/tool.hpp"

using attune::test::Run;
using attune::test::Sandbox;

namespace {

// One line that names the tool, and one that says where to look.
void check_usage_error(const Run& run, const std::string& named) {
  INFO(run.err);
  CHECK(run.status == 2);
  CHECK(run.out.empty());
  CHECK(run.err.rfind("attune: ", 0) == 0);
  CHECK(run.err.find(named) != std::string::npos);
}

}  // namespace

TEST_CASE("Wrong usage ends with status 2 and names what is wrong", "[cli][usage]") {
  const Sandbox sandbox;
  check_usage_error(sandbox.attune(""), "verb");
  check_usage_error(sandbox.attune("fly"), "fly");
  check_usage_error(sandbox.attune("doctor --colour"), "--colour");
  check_usage_error(sandbox.attune("train --output model"), "--interactions");
  check_usage_error(sandbox.attune("train --interactions events.csv"), "--output");
  check_usage_error(sandbox.attune("tune --interactions events.csv --output search"), "--space");
  check_usage_error(sandbox.attune("tune --interactions events.csv --space space.json"), "--output");
  check_usage_error(sandbox.attune("compress model"), "--output");
  check_usage_error(sandbox.attune("compress --output small"), "model");
  check_usage_error(sandbox.attune("prepare --output folder"), "--interactions");
  check_usage_error(sandbox.attune("prepare --interactions events.csv"), "--output");
  check_usage_error(sandbox.attune("convert events.csv"), "output");
  check_usage_error(sandbox.attune("convert events.csv events.parquet"), "events.parquet");
  check_usage_error(sandbox.attune("convert events.csv events.gz"), "events.gz");
  check_usage_error(sandbox.attune("convert events.csv events.tsv --encoding utf-16"), "--encoding");
  check_usage_error(sandbox.attune("convert - events.tsv --config -"), "input");
  check_usage_error(sandbox.attune("embed --items items.csv --text title"), "--model");
  check_usage_error(sandbox.attune("embed --model bert --text title"), "--items");
  check_usage_error(sandbox.attune("embed --model bert --items items.csv"), "--text");
  check_usage_error(sandbox.attune("embed --model bert --items i.csv --text title --pooling max"), "--pooling");
  check_usage_error(sandbox.attune("embed --model bert --items - --text title --config -"), "--items");
  check_usage_error(sandbox.attune("evaluate --interactions events.csv"), "--model");
  check_usage_error(sandbox.attune("recommend --model model"), "--user, --history or --profile");
  check_usage_error(sandbox.attune("recommend --model model --user u1 --history i1"), "--user");
  check_usage_error(sandbox.attune("recommend --model model --user u1 -k -3"), "-k");
  check_usage_error(sandbox.attune("score --model model"), "--history");
  check_usage_error(sandbox.attune("train --interactions e.csv --output model --skip-header"), "--columns");
  check_usage_error(sandbox.attune("inspect"), "path");
  check_usage_error(sandbox.attune("metrics"), "file");
  check_usage_error(sandbox.attune("doctor --threads 0"), "--threads");
  check_usage_error(sandbox.attune("doctor --seed many"), "--seed");
}

TEST_CASE("Values of options are checked before anything is read", "[cli][usage]") {
  const Sandbox sandbox;
  const std::string train = "train --interactions missing.csv --output model ";
  check_usage_error(sandbox.attune(train + "--split sometimes"), "--split");
  check_usage_error(sandbox.attune(train + "--split temporal:1.5"), "--split");
  check_usage_error(sandbox.attune(train + "--split leave-one-out --basket"), "--basket");
  check_usage_error(sandbox.attune(train + "--split none --basket"), "--basket");
  check_usage_error(sandbox.attune(train + "--preset huge"), "sasrec-small");
  check_usage_error(sandbox.attune(train + "--preset ease --epochs 5"), "has no epochs");
  check_usage_error(sandbox.attune(train + "--preset ials --time-budget 5"), "has no epochs");
  check_usage_error(sandbox.attune(train + "--seen maybe"), "--seen");
  check_usage_error(sandbox.attune(train + "--request-time later"), "--request-time");
  check_usage_error(sandbox.attune(train + "--epochs 0"), "--epochs");
  check_usage_error(sandbox.attune(train + "--time-budget -1"), "--time-budget");
  const std::string tune = "tune --interactions missing.csv --space missing.json --output search ";
  check_usage_error(sandbox.attune(tune + "--split none"), "--split none");
  check_usage_error(sandbox.attune(tune + "--trials 0"), "--trials");
  check_usage_error(sandbox.attune(tune + "--eta 1"), "--eta");
  check_usage_error(sandbox.attune(tune + "--budget 0"), "--budget");
  check_usage_error(sandbox.attune(tune + "--first-rung 0"), "--first-rung");
  check_usage_error(sandbox.attune(tune + "--preset ease --epochs 5"), "has no epochs");
  check_usage_error(sandbox.attune("evaluate --model model --interactions e.csv --cutoffs 5,0"), "--cutoffs");
}

TEST_CASE("Every verb checks the file of options that it is given", "[cli][usage]") {
  const Sandbox sandbox;
  REQUIRE(sandbox.train().status == 0);
  sandbox.write("bad.json", R"({"epoch": 3})");
  sandbox.write("good.json", R"({"epochs": 3})");
  sandbox.write("texts.csv", "item,title\ni1,w5\n");
  sandbox.write("lists.json", R"({"cutoffs": [1], "recommended": [["a"]], "relevant": [["a"]],
    "train_item_count": {"a": 1}})");
  for (const std::string verb :
       {"evaluate --model model --interactions events.csv", "recommend --model model --user u1",
        "score --model model --history i1", "inspect model", "compress model --output small",
        "convert events.csv again.csv", "prepare --interactions events.csv --output prepared",
        "embed --model '" ATTUNE_TEST_DIR "/golden/bert_d16_l1_h1' --items texts.csv --text title",
        "metrics lists.json", "doctor", "completion fish", "manual"}) {
    INFO(verb);
    const Run bad = sandbox.attune(verb + " --config bad.json");
    CHECK(bad.status == 1);
    CHECK(bad.out.empty());
    CHECK(bad.err.find("bad.json: ") != std::string::npos);
    CHECK(sandbox.attune(verb + " --config good.json").status == 0);
  }
}

TEST_CASE("Options of versions to come are unknown and not ignored", "[cli][usage]") {
  const Sandbox sandbox;
  const std::string train = "train --interactions events.csv --output model ";
  for (const std::string option : {"--users", "--schema", "--plan"}) {
    check_usage_error(sandbox.attune(train + option + " x"), option);
  }
}

TEST_CASE("Help is an answer: standard output, status 0, every verb and option", "[cli][usage]") {
  const Sandbox sandbox;
  const Run all = sandbox.attune("--help");
  CHECK(all.status == 0);
  CHECK(all.err.empty());
  for (const std::string verb :
       {"train", "tune", "update", "compress", "convert", "prepare", "embed", "evaluate", "recommend", "score",
        "explain", "inspect", "metrics", "doctor", "completion", "manual"}) {
    CHECK(all.out.find(verb) != std::string::npos);
    const Run one = sandbox.attune(verb + " --help");
    CHECK(one.status == 0);
    for (const std::string option : {"--json", "--quiet", "--threads", "--seed", "--config"}) {
      INFO(verb << ' ' << option);
      CHECK(one.out.find(option) != std::string::npos);
    }
  }
  CHECK(sandbox.attune("--version").out ==
        "attune " + sandbox.attune("doctor --json").json()["version"].get<std::string>() + "\n");
}

TEST_CASE("The doctor names the version and the instruction sets, the active one among the supported",
          "[cli][doctor]") {
  const Sandbox sandbox;
  const auto report = sandbox.attune("doctor --json").json();
  CHECK(report["version"].is_string());
  for (const char* part : {"gzip", "xz", "sqlite", "sodium", "gmp"}) CHECK(report["parts"][part].is_boolean());
  const auto compiled = report["simd"]["compiled"].get<std::vector<std::string>>();
  const auto supported = report["simd"]["supported"].get<std::vector<std::string>>();
  const auto active = report["simd"]["active"].get<std::string>();
  CHECK(std::count(compiled.begin(), compiled.end(), "scalar") == 1);
  CHECK(std::count(supported.begin(), supported.end(), active) == 1);
  for (const std::string& level : supported) CHECK(std::count(compiled.begin(), compiled.end(), level) == 1);
  CHECK(sandbox.attune("doctor").out.find(active) != std::string::npos);
}

TEST_CASE("The doctor says why a forced level cannot be", "[cli][doctor]") {
  const Sandbox sandbox;
  ::setenv("ATTUNE_SIMD", "warp", 1);
  const Run run = sandbox.attune("doctor --json");
  ::unsetenv("ATTUNE_SIMD");
  CHECK(run.status == 1);
  CHECK(run.out.empty());
  CHECK(run.err.find("warp") != std::string::npos);
}
