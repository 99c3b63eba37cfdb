// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "catch.hpp"
#include "cli/tool.hpp"

using attune::test::contents;
using attune::test::Run;
using attune::test::Sandbox;
namespace fs = std::filesystem;

#if defined(ATTUNE_WITH_SODIUM)

namespace {

bool owner_only(const std::string& path) {
  using enum fs::perms;
  return (fs::status(path).permissions() & (group_all | others_all)) == none;
}

// 00 01 02 ... 1f
const std::string kKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

}  // namespace

TEST_CASE("privacy key makes a key for its user alone and never replaces one", "[cli][privacy]") {
  const Sandbox sandbox;
  const Run made = sandbox.attune("privacy key --output key");
  CHECK(made.status == 0);
  const std::string key = sandbox.read("key");
  CHECK(key.size() == 65);
  CHECK(owner_only(sandbox.path("key")));
  CHECK(made.out.find(key.substr(0, 8)) == std::string::npos);
  const Run again = sandbox.attune("privacy key --output key");
  CHECK(again.status == 1);
  CHECK(again.err.find("\"key\": File exists") != std::string::npos);
  CHECK(sandbox.read("key") == key);
}

TEST_CASE("privacy seal and unseal take files, standard input and models", "[cli][privacy]") {
  const Sandbox sandbox;
  sandbox.write("key", kKey);
  const std::string exported = R"({"user":"planted-user-7f3a","item":"i1"})";
  CHECK(sandbox.attune("privacy seal --key-file key --input - --output sealed", exported).status == 0);
  CHECK(sandbox.read("sealed").find("planted") == std::string::npos);
  const auto opened = sandbox.attune("privacy unseal --key-file key --input sealed --output opened --json").json();
  CHECK(opened["content"] == "file");
  CHECK(sandbox.read("opened") == exported);
  CHECK(owner_only(sandbox.path("opened")));

  REQUIRE(sandbox.train().status == 0);
  const auto sealed = sandbox.attune("privacy seal --key-file key --input model --output model.sealed --json").json();
  CHECK(sealed["content"] == "model");
  CHECK(sandbox.attune("privacy unseal --key-file key --input model.sealed --output again").status == 0);
  CHECK(contents(sandbox.path("again")) == contents(sandbox.path("model")));
  CHECK(sandbox.attune("recommend --model again --user u1").status == 0);
}

TEST_CASE("privacy unseal refuses what was changed and writes nothing", "[cli][privacy]") {
  const Sandbox sandbox;
  sandbox.write("key", kKey);
  sandbox.write("other", "f" + kKey.substr(1));
  sandbox.attune("privacy seal --key-file key --input key --output sealed");
  for (const std::string& wrong : {sandbox.read("sealed") + "x", sandbox.read("sealed").substr(0, 60)}) {
    sandbox.write("wrong", wrong);
    const Run run = sandbox.attune("privacy unseal --key-file key --input wrong --output opened");
    CHECK(run.status == 1);
    CHECK(run.err.find("\"wrong\": it was sealed with another key, or changed since") != std::string::npos);
  }
  CHECK(sandbox.attune("privacy unseal --key-file other --input sealed --output opened").status == 1);
  CHECK(sandbox.attune("privacy unseal --key-file sealed --input sealed --output opened").status == 1);
  CHECK(sandbox.attune("privacy unseal --key-file none --input sealed --output opened").status == 1);
  CHECK(sandbox.attune("privacy unseal --key-file key --input - --output opened").status == 2);
  CHECK(sandbox.attune("privacy unseal --input sealed --output opened").status == 2);
  CHECK(sandbox.attune("privacy seal --key-file key --input none --output opened").status == 1);
  CHECK_FALSE(fs::exists(sandbox.path("opened")));
  CHECK(contents(sandbox.path(".")).size() == 7);  // with those of the run
}

TEST_CASE("privacy pseudonymise replaces the users of a file and nothing else", "[cli][privacy]") {
  const Sandbox sandbox;
  sandbox.write("key", kKey);
  const std::string command = "privacy pseudonymise --key-file key --output out.csv --interactions ";
  sandbox.write("events.csv", "User,item,title,timestamp\nu42,i1,\"a, \"\"b\"\"\",5\n\nu42,i2,,6\n\"u\n7\",i1,c d,7\n");
  const auto report = sandbox.attune(command + "events.csv --json").json();
  CHECK(report["records"] == 3);
  CHECK(sandbox.read("out.csv") ==
        "User,item,title,timestamp\n"
        "677b25a3b42dda30832281ce6ef11dd9,i1,\"a, \"\"b\"\"\",5\n"
        "677b25a3b42dda30832281ce6ef11dd9,i2,,6\n"
        "c7094367d323f95ea7d0daa258d9299e,i1,c d,7\n");
  const std::string lines = "1::u42::5::\"q\"\n2::u42::4::r\n";
  CHECK(sandbox.attune(command + "- --columns ,user,rating,item", lines).status == 0);
  CHECK(sandbox.read("out.csv") ==
        "user,rating,item\n"
        "677b25a3b42dda30832281ce6ef11dd9,5,\"\"\"q\"\"\"\n"
        "677b25a3b42dda30832281ce6ef11dd9,4,r\n");
}

TEST_CASE("A model of pseudonyms answers for the pseudonym as the other one for the user", "[cli][privacy]") {
  const Sandbox sandbox;
  sandbox.write("key", kKey);
  REQUIRE(sandbox.train().status == 0);
  const auto known = sandbox.attune("recommend --model model --user u1 --json").json();
  sandbox.attune("privacy pseudonymise --key-file key --interactions events.csv --output pseudonymous.csv");
  const Run trained = sandbox.attune(
      "train --interactions pseudonymous.csv --output model --config small.json --epochs 2 --threads 1 --quiet");
  REQUIRE(trained.status == 0);
  const auto answer = sandbox.attune("recommend --model model --user 0b6c2f05a174a0e82f2ac751f14e3a20 --json").json();
  CHECK(answer["items"] == known["items"]);
  CHECK(answer["source"] == "model");
}

TEST_CASE("privacy pseudonymise stops at a line that it cannot read and leaves what was there", "[cli][privacy]") {
  const Sandbox sandbox;
  sandbox.write("key", kKey);
  sandbox.write("out.csv", "old");
  const std::string command = "privacy pseudonymise --key-file key --output out.csv --interactions -";
  const auto error = [&](const std::string& input) {
    const Run run = sandbox.attune(command, input);
    CHECK(run.status == 1);
    CHECK(run.err.find("planted") == std::string::npos);
    return run.err;
  };
  CHECK(error("user,item\nplanted-user-7f3a,i1,5\n").find(":2: expected 2 fields, found 3") != std::string::npos);
  CHECK(error("user,item\nplanted-user-7f3a,i1\n,i2\n").find(":3: column 'user': expected an id, found nothing") !=
        std::string::npos);
  CHECK(error("user,item\n\"planted-user-7f3a\"x,i1\n").find(":2: expected a separator") != std::string::npos);
  CHECK(error("user,item,USER\na,i1,planted-user-7f3a\n").find("expected one column 'user', found two") !=
        std::string::npos);
  CHECK(error("planted-user-7f3a,i1\n").find("expected a column 'user', found none") != std::string::npos);
  CHECK(sandbox.read("out.csv") == "old");
  CHECK(
      error(",user,item\n0,planted-user-7f3a,i1\n").find("expected a name for each column, found none for column 1") !=
      std::string::npos);
  CHECK(contents(sandbox.path(".")).size() == 5);
}

#else

TEST_CASE("Without libsodium the tool says what it lacks", "[cli][privacy]") {
  const Sandbox sandbox;
  const Run run = sandbox.attune("privacy key --output key");
  CHECK(run.status == 1);
  CHECK(run.err.find("built without libsodium") != std::string::npos);
}

#endif
