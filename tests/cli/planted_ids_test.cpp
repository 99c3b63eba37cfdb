// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "catch.hpp"
#include "cli/tool.hpp"

using attune::test::Run;
using attune::test::Sandbox;

namespace {

const std::string kPlanted = "planted-user-7f3a";

// Events of users whose ids begin like that, in "planted.csv", and what is known of them in "users.csv".
void plant(const Sandbox& sandbox) {
  std::string events = "user,item,rating,timestamp\n", users = "user,age,group\n";
  for (int user = 0; user < 30; ++user) {
    const std::string name = kPlanted + std::to_string(user);
    users += name + ',' + std::to_string(20 + user) + (user % 2 == 0 ? ",a\n" : ",b\n");
    for (int step = 0; step < 12; ++step) {
      events += name + ",i" + std::to_string((7 * user + step * (1 + user % 3)) % 20) + ',' +
                std::to_string(1 + (user + step) % 5) + ',' + std::to_string(1700000000 + 3600 * (30 * step + user)) +
                '\n';
    }
  }
  sandbox.write("planted.csv", events);
  sandbox.write("users.csv", users);
  sandbox.write("schema.json", R"({"users": [{"name": "age", "type": "number"}]})");
  sandbox.write("small.json", R"({"encoder": {"embedding_dim": 8, "num_blocks": 1, "num_heads": 1, "inner_dim": 16}})");
  sandbox.write("space.json", R"({"adam": {"learning_rate": {"log_uniform": [1e-3, 1e-2]}}})");
}

// Runs the tool and looks for the users in all that it prints.
int status_of(const Sandbox& sandbox, const std::string& arguments, const std::string& input = "") {
  const Run run = sandbox.attune(arguments, input);
  INFO(arguments);
  INFO(run.err);
  INFO(run.out);
  CHECK(run.err.find(kPlanted) == std::string::npos);
  CHECK(run.out.find(kPlanted) == std::string::npos);
  return run.status;
}

}  // namespace

TEST_CASE("The tool prints no user while all goes well", "[cli][planted]") {
  const Sandbox sandbox;
  plant(sandbox);
  const std::string small = " --config small.json --threads 1 ", data = " --interactions planted.csv ";
  for (const std::string more : {"--epochs 2 --json", "--preset markov", "--privacy-epsilon 8 --split leave-one-out",
                                 "--epochs 1 --schema schema.json --users users.csv", "--epochs 2"}) {
    CHECK(status_of(sandbox, "train" + data + small + "--output model " + more) == 0);
  }
  const std::string user = " --user " + kPlanted + "3 ";
  CHECK(status_of(sandbox, "evaluate --model model --baselines --segments --users users.csv --group group" + data) ==
        0);
  CHECK(status_of(sandbox, "update --model model --output next --split none" + data) == 0);
  CHECK(status_of(sandbox, "tune --space space.json --output search --trials 2 --epochs 2" + small + data) == 0);
  CHECK(status_of(sandbox, "recommend --model model" + user) == 0);
  CHECK(status_of(sandbox, "recommend --model model --json --user " + kPlanted + "-nobody") == 0);
  CHECK(status_of(sandbox, "explain --model model --item i3" + user) == 0);
  CHECK(status_of(sandbox, "inspect model") == 0);
  CHECK(status_of(sandbox, "inspect model --json") == 0);
}

TEST_CASE("The tool says no user where something is wrong", "[cli][planted]") {
  const Sandbox sandbox;
  plant(sandbox);
  const std::string u = kPlanted, header = "user,item,rating,timestamp\n";
  const std::string good = header + u + ",i1,5,1700000000\n";
  std::vector<std::string> bad{u + ",i1\n" + u + ",i2\n",          "user,item,user\n" + u + ",i1," + u + "\n",
                               "user,item\n" + u + "\n",           "user,item\n\"" + u + "\"x,i1\n",
                               "user,item\n\"" + u + ",i1\n",      good + u + ",i1," + u + ",1700000000\n",
                               good + u + ",i1,5," + u + "\n",     good + u + ",,5,1700000000\n",
                               good + u + ",i1,5,1700000000000\n", good};
  REQUIRE(sandbox.train().status == 0);
  const std::string train = "train --interactions - --output other --config small.json --threads 1 --epochs 1 ";
  for (const std::string& input : bad) {
    CHECK(status_of(sandbox, train, input) == 1);
    CHECK(status_of(sandbox, train + "--skip-bad-lines --json", input) == 1);
    CHECK(status_of(sandbox, "evaluate --model model --interactions -", input) == 1);
    CHECK(status_of(sandbox, "update --model model --output next --interactions -", input) == (input == good ? 0 : 1));
  }
  sandbox.write("wrong.csv", "user,age,group\n" + u + "1," + u + "2,a\n");
  CHECK(status_of(sandbox,
                  "train --interactions planted.csv --output other --config small.json --epochs 1 --schema "
                  "schema.json --users wrong.csv") == 1);
  for (const std::string& arguments :
       {"recommend --model model --user " + u + " " + u, "recommend --model model --users=" + u,
        "recommend --model model -user " + u, "explain --model model --user " + u + " --history i1 --item i2",
        "recommend --model none --user " + u, "recommend --model model --user " + u + " -k x",
        "--user " + u + " recommend"}) {
    CHECK(status_of(sandbox, arguments) != 0);
  }
}
