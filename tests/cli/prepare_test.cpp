// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "catch.hpp"
#include "cli/tool.hpp"
#include "data/compression.hpp"

using attune::test::contents;
using attune::test::Run;
using attune::test::Sandbox;
namespace fs = std::filesystem;

namespace {

const std::string kSmall =
    " --epochs 2 --threads 1 --config small.json --json --quiet "
    "--interactions ";

// A sandbox with events in one file and the same in two, and a configuration of a small model.
void lay_out(const Sandbox& sandbox) {
  sandbox.events();
  const std::string events = sandbox.read("events.csv");
  sandbox.write("small.json", R"({"encoder": {"embedding_dim": 8, "num_blocks": 1, "num_heads": 1, "inner_dim": 16}})");
  const std::string header = events.substr(0, events.find('\n') + 1);
  const std::size_t middle = events.find('\n', events.size() / 2) + 1;
  sandbox.write("1.csv", events.substr(0, middle));
  sandbox.write("2.csv.gz", attune::test::gzip(header + events.substr(middle)));
}

void prepare(const Sandbox& sandbox, const std::string& more = "") {
  const Run run = sandbox.attune("prepare --interactions 1.csv 2.csv.gz --output prepared --memory 4kb --json " + more);
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.json()["files"].size() == 2);
  CHECK(run.json()["runs"] > 1);
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("A model of a prepared folder is the model of the file, byte for byte", "[cli][prepare]") {
  const Sandbox sandbox;
  lay_out(sandbox);
  prepare(sandbox, "--shards 3");
  for (const std::string split : {"temporal:0.8", "leave-one-out", "none"}) {
    INFO(split);
    const Run of_file = sandbox.attune("train --output a --split " + split + kSmall + "events.csv");
    const Run of_folder = sandbox.attune("train --output b --split " + split + kSmall + "prepared");
    INFO(of_file.err << of_folder.err);
    REQUIRE(of_file.status == 0);
    REQUIRE(of_folder.status == 0);
    CHECK(contents(sandbox.path("a")) == contents(sandbox.path("b")));
    CHECK(of_file.json()["metrics"] == of_folder.json()["metrics"]);
    CHECK(of_file.json()["load"]["interactions"] == of_folder.json()["load"]["interactions"]);
    CHECK(of_file.json()["load"]["first_time"] == of_folder.json()["load"]["first_time"]);
    CHECK(of_folder.json()["load"]["form"] == "prepared");
    if (split == "none") continue;
    const std::string evaluate = "evaluate --model b --json --interactions ";
    auto by_file = sandbox.attune(evaluate + "events.csv").json(),
         by_folder = sandbox.attune(evaluate + "prepared").json();
    CHECK(by_file["metrics"] == by_folder["metrics"]);
    CHECK(by_file["protocol"] == by_folder["protocol"]);
  }
}

TEST_CASE("A prepared folder brings its minimum rating, and refuses another", "[cli][prepare]") {
  const Sandbox sandbox;
  lay_out(sandbox);
  std::string rated = "user,item,rating\n";
  for (int i = 0; i < 200; ++i) {
    rated += 'u' + std::to_string(i % 20) + ",i" + std::to_string(i * 7 % 13) + ',' + std::to_string(i % 5) + '\n';
  }
  sandbox.write("rated.csv", rated);
  REQUIRE(sandbox.attune("prepare --interactions rated.csv --output prepared --min-rating 2").status == 0);
  REQUIRE(sandbox.attune("train --output a --min-rating 2" + kSmall + "rated.csv").status == 0);
  for (const std::string same : {"", " --min-rating 2"}) {
    const Run run = sandbox.attune("train --output b" + same + kSmall + "prepared");
    INFO(run.err);
    REQUIRE(run.status == 0);
    CHECK(contents(sandbox.path("a")) == contents(sandbox.path("b")));
  }
  const Run other = sandbox.attune("train --output b --min-rating 3" + kSmall + "prepared");
  CHECK(other.status == 1);
  CHECK(contains(other.err, "prepared: expected interactions of the minimum rating 3.0, found those of 2.0"));
  for (const std::string option :
       {"--k-core 2", "--columns user,item", "--separator ,", "--encoding utf-8", "--skip-bad-lines"}) {
    const Run refused = sandbox.attune("train --output b " + option + kSmall + "prepared");
    CHECK(refused.status == 2);
    CHECK(contains(refused.err,
                   option.substr(0, option.find(' ')) + ": expected a file of interactions, found prepared"));
  }
}

TEST_CASE("prepare that fails or is killed leaves nothing that reads as whole", "[cli][prepare]") {
  const Sandbox sandbox;
  lay_out(sandbox);
  prepare(sandbox);
  const auto before = contents(sandbox.path("prepared"));
  sandbox.write("bad.csv", "user,item,timestamp\nu1,i1\n");
  const Run bad = sandbox.attune("prepare --interactions 1.csv bad.csv --output prepared");
  CHECK(bad.status == 1);
  CHECK(contains(bad.err, "bad.csv:2: "));
  CHECK(contents(sandbox.path("prepared")) == before);
  // It waits for somebody to write into the pipe.
  REQUIRE(sandbox.shell("mkfifo pipe").status == 0);
  const Run killed =
      sandbox.attune_killed_at("reading pipe", "prepare --memory 1kb --interactions 1.csv pipe --output other");
  CHECK(killed.status == 128 + 9);
  CHECK_FALSE(fs::exists(sandbox.path("other")));
  CHECK(sandbox.attune("prepare --interactions 1.csv --output other").status == 0);
  const Run full = sandbox.shell("trap '' XFSZ; ulimit -f 1; '" ATTUNE_TOOL
                                 "' prepare --interactions 1.csv 2.csv.gz --output prepared");
  CHECK(full.status == 1);
  CHECK(contains(full.err, "cannot write"));
  CHECK(contents(sandbox.path("prepared")) == before);
  for (const auto& entry : fs::directory_iterator(sandbox.path("."))) {
    CHECK_FALSE(contains(entry.path().filename().string(), ".saving-"));
  }
}

TEST_CASE("What is no prepared folder is refused by its name", "[cli][prepare]") {
  const Sandbox sandbox;
  lay_out(sandbox);
  prepare(sandbox);
  fs::create_directory(sandbox.path("empty"));
  const Run none = sandbox.attune("train --output model --interactions empty");
  CHECK(none.status == 1);
  CHECK(contains(none.err, "\"empty\": expected a folder that prepare wrote, found one without prepared.json"));
  fs::remove(sandbox.path("prepared/items.bin"));
  const Run missing = sandbox.attune("train --output model --interactions prepared");
  CHECK(missing.status == 1);
  CHECK(contains(missing.err, "items.bin"));
  CHECK(sandbox.attune("prepare --output x --interactions - -").status == 2);
  CHECK(sandbox.attune("prepare --output x --interactions 1.csv --memory much").status == 2);
  CHECK(sandbox.attune("prepare --output x --interactions 1.csv --shards 0").status == 2);
}
