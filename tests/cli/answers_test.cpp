// SPDX-License-Identifier: Apache-2.0
#include "attune/training/trainer.hpp"
#include "catch.hpp"
#include "cli/tool.hpp"

using attune::test::Run;
using attune::test::Sandbox;

TEST_CASE("recommend answers for a stored user with items he has not seen", "[cli][recommend]") {
  const Sandbox sandbox;
  sandbox.train();
  const Run run = sandbox.attune("recommend --model model --user u1 -k 5 --json");
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto answer = run.json();
  REQUIRE(answer["items"].size() == 5);
  const std::string events = sandbox.read("events.csv");
  for (const auto& item : answer["items"]) {
    CHECK(item["score"].is_number());
    CHECK(events.find("\nu1," + item["item"].get<std::string>() + ',') == std::string::npos);
  }
  CHECK(answer["source"] == "model");
  CHECK(answer["score_kind"].is_string());
  CHECK(!answer["model_version"].get<std::string>().empty());
  CHECK(answer["shortfall"]["seen"].is_number());
  CHECK(answer["shortfall"]["filtered"].is_number());
  CHECK(answer["shortfall"]["unavailable"].is_number());
}

TEST_CASE("A bare history is answered as the user who has it", "[cli][recommend]") {
  const Sandbox sandbox;
  sandbox.train();
  std::string history, times;
  const std::string events = sandbox.read("events.csv");
  for (std::size_t at = events.find("\nu1,"); at != std::string::npos; at = events.find("\nu1,", at + 1)) {
    const std::string line = events.substr(at + 4, events.find('\n', at + 1) - at - 4);
    history += (history.empty() ? "" : ",") + line.substr(0, line.find(','));
    times += (times.empty() ? "" : ",") + line.substr(line.rfind(',') + 1);
  }
  const auto stored = sandbox.attune("recommend --model model --user u1 --json").json();
  const auto bare =
      sandbox.attune("recommend --model model --json --history " + history + " --timestamps " + times).json();
  REQUIRE(bare["items"].size() == stored["items"].size());
  for (std::size_t i = 0; i < bare["items"].size(); ++i) {
    CHECK(bare["items"][i]["item"] == stored["items"][i]["item"]);
    CHECK(bare["items"][i]["score"].get<double>() == Approx(stored["items"][i]["score"].get<double>()).margin(1e-5));
  }
  std::replace(history.begin(), history.end(), ',', '\n');
  const auto piped = sandbox.attune("recommend --model model --json --history -", history + "\n").json();
  CHECK(piped["items"] == bare["items"]);
}

TEST_CASE("Who and what the model does not know is answered from counts", "[cli][recommend]") {
  const Sandbox sandbox;
  sandbox.train();
  const auto nobody = sandbox.attune("recommend --model model --user nobody --json -k 3").json();
  CHECK(nobody["source"] == "popularity");
  CHECK(nobody["items"].size() == 3);
  const auto unknown = sandbox.attune("recommend --model model --history what,else --json -k 3").json();
  CHECK(unknown["source"] == "popularity");
  const auto empty = sandbox.attune("recommend --model model --history '' --json -k 3").json();
  CHECK(empty["items"] == nobody["items"]);
}

TEST_CASE("Every k has an answer, and the shortfall says what is missing", "[cli][recommend]") {
  const Sandbox sandbox;
  sandbox.train();
  CHECK(sandbox.attune("recommend --model model --history i1,i2 -k 0 --json").json()["items"].empty());
  const auto all = sandbox.attune("recommend --model model --history i1,i2,i1 -k 1000 --json").json();
  CHECK(all["items"].size() == 18);
  CHECK(all["shortfall"]["seen"] == 2);
  CHECK(sandbox.attune("recommend --model model --history i1,i2 -k 1000 --seen keep --json").json()["items"].size() ==
        20);
  CHECK(sandbox.attune("recommend --model model --history i1,i2 -k 1000").out.find("2 were seen") != std::string::npos);
}

TEST_CASE("Titles stand beside the items when their file is given", "[cli][recommend]") {
  const Sandbox sandbox;
  sandbox.train();
  sandbox.write("items.csv", [] {
    std::string text = "item,title\n";
    for (int item = 0; item < 20; ++item) text += "i" + std::to_string(item) + ",Title " + std::to_string(item) + '\n';
    return text;
  }());
  const auto first = sandbox.attune("recommend --model model --user u1 --items items.csv --json").json()["items"][0];
  CHECK(first["title"] == "Title " + first["item"].get<std::string>().substr(1));
  CHECK(sandbox.attune("recommend --model model --user u1 --items items.csv").out.find("Title ") != std::string::npos);
}

TEST_CASE("score gives every item the score that recommend gives it", "[cli][score]") {
  const Sandbox sandbox;
  sandbox.train();
  const Run run = sandbox.attune("score --model model --history i1,i2 --json");
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto scores = run.json()["scores"];
  CHECK(run.json()["score_kind"].is_string());
  CHECK(scores.size() == 20);
  for (int item = 0; item < 20; ++item) CHECK(scores.contains("i" + std::to_string(item)));
  const auto answer = sandbox.attune("recommend --model model --history i1,i2 --json").json();
  for (const auto& item : answer["items"]) CHECK(scores[item["item"].get<std::string>()] == item["score"]);
}

TEST_CASE("Times are seconds, milliseconds or ISO-8601, one for each item", "[cli][recommend]") {
  const Sandbox sandbox;
  sandbox.train();
  const std::string ask = "recommend --model model --history i1,i2 --json ";
  const std::string seconds = sandbox.attune(ask + "--timestamps 1700000000,1700003600 --now 1700007200").out;
  CHECK(seconds == sandbox.attune(ask + "--timestamps 1700000000000,1700003600000 --now 1700007200000").out);
  CHECK(seconds == sandbox.attune(ask + "--timestamps 2023-11-14T22:13:20Z,2023-11-14T23:13:20Z --now 1700007200").out);
  CHECK(seconds == sandbox.attune(ask + "--timestamps 1700000000.0,1700003600.000 --now 1700007200").out);
  // As in a file: five seconds are five milliseconds where the next number can only be milliseconds.
  CHECK(sandbox.attune(ask + "--timestamps 5,1700003600000").out ==
        sandbox.attune(ask + "--timestamps 1970-01-01T00:00:00.005Z,2023-11-14T23:13:20Z").out);
  for (const std::string times : {"1700000000,1700003600000", "1700003600000000,1700007200000000",
                                  "1700003600,1700000000", "2023-11-14,1700003600"}) {
    const Run run = sandbox.attune(ask + "--timestamps " + times);
    INFO(run.err);
    CHECK(run.status == 2);
    CHECK(run.err.find("--timestamps") != std::string::npos);
  }
  const Run few = sandbox.attune(ask + "--timestamps 1700000000");
  CHECK(few.status == 2);
  CHECK(few.err.find("--timestamps") != std::string::npos);
  const Run wrong = sandbox.attune(ask + "--now yesterday");
  CHECK(wrong.status == 2);
  CHECK(wrong.err.find("yesterday") != std::string::npos);
}

TEST_CASE("A model of numeric ids knows them by the digits that are typed", "[cli][recommend]") {
  const Sandbox sandbox;
  attune::InteractionLog log{attune::IdKind::int64, attune::IdKind::int64};
  for (std::int64_t user = 0; user < 20; ++user) {
    for (std::int64_t step = 0; step < 8; ++step)
      log.append({.user = user, .item = (user + step) % 15, .timestamp = step});
  }
  attune::TrainerConfig config;
  config.encoder = {.embedding_dim = 8, .num_blocks = 1, .num_heads = 1, .inner_dim = 8, .max_sequence_length = 10};
  config.epochs = 1;
  attune::Trainer{config}.fit(attune::group_by_user(std::move(log)), {}).save(sandbox.path("model"));

  const auto user = sandbox.attune("recommend --model model --user 3 --json").json();
  CHECK(user["source"] == "model");
  CHECK(user["shortfall"]["seen"] == 8);
  CHECK(user["items"][0]["item"].is_string());
  CHECK(sandbox.attune("recommend --model model --history 1,2 --json").json()["source"] == "model");
  CHECK(sandbox.attune("recommend --model model --history '1, 2' --json").out ==
        sandbox.attune("recommend --model model --history 1,2 --json").out);
  CHECK(sandbox.attune("recommend --model model --history one,two --json").json()["source"] == "popularity");
  CHECK(sandbox.attune("recommend --model model --user three --json").json()["source"] == "popularity");
  CHECK(sandbox.attune("score --model model --history 1 --json").json()["scores"].size() == 15);
  sandbox.write("events.csv", "user,item,timestamp\n1,1,1\n1,2,2\n1,3,3\n2,1,1\n2,2,2\n2,99,3\n");
  const auto report =
      sandbox.attune("evaluate --model model --interactions events.csv --split leave-one-out --json").json();
  CHECK(report["protocol"]["unseen_targets"] == 1);
}

TEST_CASE("explain says what each event of a history adds to the score of an item", "[cli][explain]") {
  const Sandbox sandbox;
  sandbox.train();
  const std::string ask = "explain --model model --item i9 --history i1,i2,i3 --json";
  const Run run = sandbox.attune(ask);
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto answer = run.json();
  CHECK(answer["item"] == "i9");
  CHECK(answer["source"] == "model");
  CHECK(answer["complete"] == true);
  CHECK(!answer.contains("counterfactual"));
  REQUIRE(answer["contributions"].size() == 3);
  const auto score = [&](const std::string& history) {
    return sandbox.attune("score --model model --json --history " + history).json()["scores"]["i9"].get<double>();
  };
  CHECK(answer["score"].get<double>() == Approx(score("i1,i2,i3")).margin(1e-5));
  const std::string without[] = {"i2,i3", "i1,i3", "i1,i2"};
  for (const auto& one : answer["contributions"]) {
    const auto event = one["event"].get<std::size_t>();
    CHECK(one["item"] == "i" + std::to_string(event + 1));
    CHECK(one["weight"].get<double>() == Approx(score("i1,i2,i3") - score(without[event])).margin(1e-5));
  }
  CHECK(sandbox.attune(ask + " --events 1").json()["contributions"].size() == 1);
  CHECK(sandbox.attune(ask + " --events 1").json()["complete"] == false);
  CHECK(sandbox.attune(ask + " --full --top 3").json()["counterfactual"]["among_best"].is_boolean());
  CHECK(sandbox.attune(ask + " --timestamps 1,2,3 --now 9").json()["contributions"][0]["timestamp"].is_number());
}

TEST_CASE("explain answers for a user, unknown ids and people", "[cli][explain]") {
  const Sandbox sandbox;
  sandbox.train();
  const auto user = sandbox.attune("explain --model model --user u1 --item i9 --full --json").json();
  CHECK(user["contributions"].size() > 3);
  const auto unknown = sandbox.attune("explain --model model --user nobody --item 'not an item' --json").json();
  CHECK(unknown["score"].is_null());
  CHECK(unknown["contributions"].empty());
  CHECK(unknown["source"] == "popularity");
  sandbox.write("items.csv", "item,title\ni9,Nine\ni1,The First\n");
  const Run text = sandbox.attune("explain --model model --history i1,i2 --item i9 --items items.csv --top 20");
  CHECK(text.status == 0);
  CHECK(text.out.find("The First") != std::string::npos);
  CHECK(text.out.find("the best 20") != std::string::npos);
  CHECK(sandbox.attune("explain --model model --item i9").status == 2);
  CHECK(sandbox.attune("explain --model model --history i1").status == 2);
  CHECK(sandbox.attune("explain --model model --history i1 --item i9 --full --events 3").status == 2);
  CHECK(sandbox.attune("explain --model model --user u1 --history i1 --item i9").status == 2);
}
