// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "cli/tool.hpp"

using attune::test::Run;
using attune::test::Sandbox;

TEST_CASE("privacy epsilon tells what noise is worth", "[cli][privacy]") {
  const Sandbox sandbox;
  const std::string mechanism = "--sampling-probability 0.01 --noise-multiplier 0.8 --steps 10000 --delta 1e-5 --json ";
  const auto tight = sandbox.attune("privacy epsilon " + mechanism).json();
  CHECK(tight["epsilon"].get<double>() == Approx(10.0537).epsilon(1e-3));
  CHECK(tight["order"].is_null());
  const auto renyi = sandbox.attune("privacy epsilon " + mechanism + "--accountant renyi").json();
  CHECK(renyi["epsilon"].get<double>() == Approx(10.935373444641163).epsilon(1e-10));
  CHECK(renyi["order"] == 3.0);
  const auto other = sandbox.attune("privacy epsilon " + mechanism + "--order 4").json();
  CHECK(other["epsilon"] > renyi["epsilon"]);
  CHECK(other["order"] == 4.0);
  const auto none = sandbox.attune("privacy epsilon --noise-multiplier 0 --delta 1e-5 --json").json();
  CHECK(none["epsilon"].is_null());
}

TEST_CASE("privacy epsilon adds up mechanisms on the same data", "[cli][privacy]") {
  const Sandbox sandbox;
  const auto once = sandbox.attune("privacy epsilon --noise-multiplier 10 --steps 100 --delta 1e-5 --json").json();
  const auto twice =
      sandbox.attune("privacy epsilon --noise-multiplier 10,10 --steps 40,60 --delta 1e-5 --json").json();
  CHECK(once["epsilon"].get<double>() == Approx(4.37717810).epsilon(1e-8));
  CHECK(twice["epsilon"].get<double>() == Approx(once["epsilon"].get<double>()).epsilon(1e-9));
  const Run uneven = sandbox.attune("privacy epsilon --noise-multiplier 1,2,3 --steps 1,2 --delta 1e-5");
  CHECK(uneven.status == 2);
  CHECK(uneven.err.find("--steps: expected one value or 3, found 2") != std::string::npos);
}

TEST_CASE("privacy calibrate finds the noise of a budget", "[cli][privacy]") {
  const Sandbox sandbox;
  const auto found = sandbox.attune("privacy calibrate --epsilon 8 --delta 1e-5 --json").json();
  CHECK(found["noise_multiplier"].get<double>() == Approx(0.600229072199).epsilon(2e-4));
  const Run refused = sandbox.attune("privacy calibrate --epsilon 0 --delta 1e-5");
  CHECK(refused.status == 1);
  CHECK(refused.err.find("epsilon: expected more than 0") != std::string::npos);
  CHECK(sandbox.attune("privacy").status == 2);
}

TEST_CASE("train keeps within a budget of privacy and the model says so", "[cli][privacy]") {
  const Sandbox sandbox;
  sandbox.events();
  const std::string train = "train --interactions events.csv --split leave-one-out --output model ";
  const Run run = sandbox.attune(train + "--privacy-epsilon 4 --privacy-delta 1e-4 --json");
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto report = run.json();
  CHECK(report["privacy"]["unit"] == "user");
  CHECK(report["privacy"]["delta"] == 1e-4);
  CHECK(report["privacy"]["epsilon"] <= 4.0);
  CHECK(report["privacy"]["epsilon"] > 3.99);
  CHECK(report["metrics"]["hr@10"].is_number());
  const Run inspected = sandbox.attune("inspect model");
  CHECK(inspected.out.find("privacy.epsilon") != std::string::npos);
  CHECK(sandbox.attune("inspect model --json").json()["notes"].contains("privacy"));
  CHECK(sandbox.attune("recommend --model model --history i1,i2").status == 0);

  const Run updated = sandbox.attune("update --model model --interactions events.csv --output next");
  CHECK(updated.status == 1);
  CHECK(updated.err.find("trained privately") != std::string::npos);
  const auto event = sandbox.attune(train + "--privacy-epsilon 4 --privacy-unit event --json").json();
  CHECK(event["privacy"]["unit"] == "event");
  const auto encoder = sandbox.attune(train + "--privacy-epsilon 4 --preset sasrec-small --epochs 1 --json").json();
  CHECK(encoder["privacy"]["mechanisms"].size() == 2);
  CHECK(encoder["privacy"]["epsilon"] <= 4.0);
}

TEST_CASE("train refuses what its account of privacy does not cover", "[cli][privacy]") {
  const Sandbox sandbox;
  sandbox.events();
  const std::string train = "train --interactions events.csv --output model --privacy-epsilon 4 ";
  for (const std::string more : {"--resume", "--k-core 2", "--preset ease", "--preset bert4rec", "--epochs 3",
                                 "--time-budget 5", "--split temporal:0.9", "--privacy-unit person"}) {
    INFO(more);
    CHECK(sandbox.attune(train + more).status == 2);
  }
  CHECK(sandbox.attune("train --interactions events.csv --output model --privacy-delta 1e-5").status == 2);
  const Run refused = sandbox.attune(train + "--privacy-unit event --preset sasrec-small");
  CHECK(refused.status == 1);
  CHECK(refused.err.find("not of single events") != std::string::npos);
}
