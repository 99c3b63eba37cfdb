// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <filesystem>
#include <sstream>

#include "catch.hpp"
#include "cli/tool.hpp"

using attune::test::contents;
using attune::test::Run;
using attune::test::Sandbox;

namespace {

// Status 1 and one line that names all of `named`; nothing on standard output.
void check_failure(const Run& run, const std::vector<std::string>& named) {
  INFO(run.err);
  CHECK(run.status == 1);
  CHECK(run.out.empty());
  CHECK(run.err.rfind("attune: ", 0) == 0);
  CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
  for (const std::string& name : named) CHECK(run.err.find(name) != std::string::npos);
}

const std::string kTrain = "train --quiet --json --epochs 1 --config small.json --output model --interactions ";

}  // namespace

TEST_CASE("train accounts for every line, epoch and metric in one JSON object", "[cli][train]") {
  const Sandbox sandbox;
  const Run run = sandbox.train("--json");
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto report = run.json();
  CHECK(report["load"]["lines"] == 361);
  CHECK(report["load"]["records"] == 360);
  CHECK(report["load"]["interactions"] == 360);
  CHECK(report["load"]["users"] == 30);
  CHECK(report["load"]["items"] == 20);
  CHECK(report["load"]["dropped"].empty());
  REQUIRE(report["epochs"].size() == 2);
  for (const auto& epoch : report["epochs"]) {
    CHECK(epoch["seconds"].is_number());
    CHECK(epoch["loss"].is_number());
    CHECK(epoch["validation"]["hr@10"].is_number());
    CHECK(epoch["validation"]["ndcg@10"].is_number());
  }
  CHECK(report["epochs"][1]["epoch"] == 2);
  CHECK(report["best_epoch"].get<int>() >= 1);
  CHECK(report["train_seconds"].is_number());
  CHECK(report["blend_weight"].is_number());
  CHECK(report["protocol"]["split"] == "temporal:0.9");
  CHECK(report["protocol"]["seen"] == "filter");
  CHECK(report["protocol"]["request_time"] == "off");
  for (const std::string metric : {"hr@10", "ndcg@10", "mrr@10", "recall@10", "precision@10", "f1@10", "map@10",
                                   "coverage@10", "gini@10", "average_popularity@10", "tail_percentage@10"}) {
    INFO(metric);
    CHECK(report["metrics"][metric].is_number());
    CHECK(report["baselines"]["popularity"][metric].is_number());
    CHECK(report["baselines"]["markov"][metric].is_number());
    CHECK(report["baselines"]["item_knn"][metric].is_number());
    CHECK(report["baselines"]["ease"][metric].is_number());
  }
  CHECK(std::filesystem::exists(sandbox.path("model/manifest.json")));
}

TEST_CASE("Training says what memory it needs, and does not begin beyond a limit", "[cli][train]") {
  const Sandbox sandbox;
  const Run run = sandbox.train("--json");
  CHECK(run.err.find("training needs about 1 MB\n") != std::string::npos);
  const auto memory = run.json()["memory"];
  for (const std::string part :
       {"weights", "optimiser", "gradients", "activations", "counts", "evaluation", "saving"}) {
    INFO(part);
    CHECK(memory[part] > 0);
    CHECK(memory[part] < memory["total"]);
  }
  const std::string wide = "train --interactions events.csv --output wide --epochs 1 --threads 1 --quiet --json ";
  check_failure(sandbox.attune(wide + "--memory-limit 1"),
                {"training needs about", "--memory-limit allows 1 MB; lower"});
  CHECK(!std::filesystem::exists(sandbox.path("wide")));
  CHECK(sandbox.attune(wide + "--memory-limit 1000").status == 0);
}

TEST_CASE("Progress is plain lines on standard error, and none with --quiet", "[cli][train]") {
  const Sandbox sandbox;
  const Run plain = sandbox.train();
  CHECK(plain.err.find("epoch 1/2  loss ") != std::string::npos);
  CHECK(plain.err.find("epoch 2/2  loss ") != std::string::npos);
  CHECK(plain.err.find('\r') == std::string::npos);
  CHECK(plain.out.find("ndcg@10") != std::string::npos);
  CHECK(plain.out.find("epoch 1/2") == std::string::npos);
  CHECK(sandbox.train("--quiet").err.empty());
}

TEST_CASE("The protocol of the command line is the one that is reported", "[cli][train]") {
  const Sandbox sandbox;
  const auto protocol =
      sandbox.train("--json --split leave-one-out --seen keep --request-time on --min-rating 2 --k-core 2 --seed 7")
          .json();
  CHECK(protocol["protocol"]["split"] == "leave-one-out");
  CHECK(protocol["protocol"]["seen"] == "keep");
  CHECK(protocol["protocol"]["request_time"] == "on");
  CHECK(protocol["protocol"]["min_rating"] == 2);
  CHECK(protocol["protocol"]["k_core"] == 2);
  CHECK(protocol["config"]["seed"] == 7);
  std::size_t dropped = 0;
  for (const auto& drop : protocol["load"]["dropped"]) dropped += drop["lines"].get<std::size_t>();
  CHECK(dropped > 0);
  CHECK(protocol["load"]["records"] == protocol["load"]["interactions"].get<std::size_t>() + dropped);
}

TEST_CASE("A minimum rating finds its column whatever the case of its name", "[cli][train]") {
  const Sandbox sandbox;
  sandbox.train();
  std::string events = sandbox.read("events.csv");
  events.replace(events.find("rating"), 6, "Rating");
  const Run run = sandbox.attune(kTrain + sandbox.write("Case.csv", events) + " --min-rating 2");
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.json()["load"]["dropped"][0]["reason"] == "below the minimum rating");
}

TEST_CASE("A file without times is split by leave-one-out unless a split is asked for", "[cli][train]") {
  const Sandbox sandbox;
  sandbox.train();
  const std::string events = sandbox.read("events.csv");
  const std::string bare = events.substr(events.find('\n') + 1);
  sandbox.write("timeless.csv", bare);
  const std::string train = kTrain + "timeless.csv --columns user,item,, ";
  const Run run = sandbox.attune(train);
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.json()["protocol"]["split"] == "leave-one-out");
  CHECK(run.json()["protocol"]["note"].get<std::string>().rfind("no times, so leave-one-out", 0) == 0);
  const auto measured =
      sandbox.attune("evaluate --model model --interactions timeless.csv --columns user,item,, --json");
  CHECK(measured.json()["metrics"]["ndcg@10"] == run.json()["metrics"]["ndcg@10"]);
  check_failure(sandbox.attune(train + "--split temporal:0.9"), {"times"});
  check_failure(sandbox.attune(train + "--basket"), {"times"});
}

TEST_CASE("The split none trains on everything and measures nothing", "[cli][train]") {
  const Sandbox sandbox;
  const auto report = sandbox.train("--json --split none").json();
  CHECK(report["metrics"].empty());
  CHECK(report["epochs"][0]["validation"].is_null());
  CHECK(sandbox.train("--split none").status == 0);
}

TEST_CASE("A count preset trains, measures and serves a model without an encoder", "[cli][train]") {
  const std::string preset = GENERATE("popularity", "markov", "item-knn", "ease", "ials", "repeat");
  const Sandbox sandbox;
  sandbox.events();
  const std::string train = "train --interactions events.csv --output model --seen keep --preset " + preset;
  const auto report = sandbox.attune(train + " --json").json();
  CHECK(report["epochs"].empty());
  CHECK(report["best_epoch"] == 0);
  CHECK(report["blend_weight"] == 0);
  CHECK(report["train_seconds"].is_number());
  CHECK(report["config"]["counts"] == preset);
  CHECK(report["metrics"]["ndcg@10"].is_number());
  CHECK(report["baselines"].size() == 5);
  std::string same = preset;
  std::replace(same.begin(), same.end(), '-', '_');
  if (preset != "ials") CHECK(report["baselines"][same] == report["metrics"]);
  CHECK(sandbox.attune(train).out.find("best epoch") == std::string::npos);

  const auto answer = sandbox.attune("recommend --model model --history i1,i2,i3 --json").json();
  CHECK(answer["source"] == (preset == "popularity" ? "popularity" : "counts"));
  CHECK(answer["score_kind"] == "count");
  CHECK(answer["items"].size() == 10);
  CHECK(sandbox.attune("score --model model --history i1 --json").json()["scores"].size() == 20);
  CHECK(sandbox.attune("inspect model --json").json()["model"]["counts"] == preset);
}

TEST_CASE("A file of options chooses what is blended", "[cli][train]") {
  const Sandbox sandbox;
  sandbox.events();
  sandbox.write("blend.json", R"({"counts": "ease", "ease": {"lambda": 5}, "epochs": 1,
    "encoder": {"embedding_dim": 8, "num_blocks": 1, "num_heads": 1, "inner_dim": 16, "max_sequence_length": 20}})");
  const auto report =
      sandbox.attune("train --interactions events.csv --output model --config blend.json --json").json();
  CHECK(report["config"]["ease"]["lambda"] == 5);
  CHECK(report["epochs"].size() == 1);
  const auto inspected = sandbox.attune("inspect model --json").json();
  CHECK(inspected["model"]["counts"] == "ease");
  CHECK(sandbox.attune("evaluate --model model --interactions events.csv --json").json()["metrics"] ==
        sandbox.attune("evaluate --model model --interactions events.csv --json --threads 3").json()["metrics"]);
}

TEST_CASE("A learned ranker is reported, measured beside the engine, shown and served", "[cli][train]") {
  const Sandbox sandbox;
  std::string events = "user,item\n";  // everybody has three items of his own and takes them in turn
  for (int user = 0; user < 60; ++user) {
    for (int i = 0; i < 16; ++i) {
      const int item = i % 4 == 0 ? user * 7 + i : user * 5 + i % 4 * 11;
      events += "u" + std::to_string(user) + ",i" + std::to_string(item % 40) + '\n';
    }
  }
  sandbox.write("regulars.csv", events);
  sandbox.write("rerank.json", R"({"rerank": true, "rerank_candidates": 30, "encoder": {"embedding_dim": 16}})");
  const std::string train = "train --quiet --interactions regulars.csv --split leave-one-out --epochs 2 ";
  const auto trained = sandbox.attune(train + "--seen keep --config rerank.json --output model --json").json();
  const auto& rerank = trained["rerank"];
  CHECK(rerank["kept"] == true);
  CHECK(rerank["lists"] == 60);
  CHECK(rerank["reordered"]["ndcg@10"] > rerank["engine"]["ndcg@10"]);
  CHECK(trained["metrics"]["ndcg@10"] > trained["baselines"]["engine"]["ndcg@10"]);
  const auto evaluated = sandbox.attune("evaluate --model model --interactions regulars.csv --json").json();
  CHECK(evaluated["metrics"]["ndcg@10"] == trained["metrics"]["ndcg@10"]);
  const auto shown = sandbox.attune("inspect model --json").json()["model"]["ranker"];
  CHECK(shown["candidates"] == 30);
  CHECK(shown["weights"].size() == 9);
  const std::string ask = "recommend --model model --user u7 --seen keep ";
  CHECK(sandbox.attune(ask + "--json").json()["reranked"] == 30);
  CHECK(sandbox.attune(ask).out.find("the best 30 reordered") != std::string::npos);
  CHECK(sandbox.attune(train + "--seen keep --config rerank.json --output model").out.find("reordering takes") !=
        std::string::npos);

  const auto plain = sandbox.attune(train + "--seen keep --preset sasrec-small --output plain --json").json();
  CHECK(plain["rerank"].is_null());
  CHECK_FALSE(plain["baselines"].contains("engine"));
  CHECK(sandbox.attune("inspect plain --json").json()["model"]["ranker"].is_null());
  CHECK(sandbox.attune("recommend --model plain --user u7 --json").json()["reranked"] == 0);
}

TEST_CASE("A refit shows its epochs and says that it was made", "[cli][train]") {
  const Sandbox sandbox;
  const Run run = sandbox.train();
  CHECK(run.out.find("trained once more with the validation part") != std::string::npos);
  CHECK(run.err.find("refit 1/") != std::string::npos);
  CHECK(sandbox.train("--json").json()["refitted"] == true);
  const Run quick = sandbox.train("--preset sasrec-small");
  CHECK(quick.out.find("trained once more") == std::string::npos);
  CHECK(quick.err.find("refit") == std::string::npos);
  CHECK(sandbox.train("--preset sasrec-small --json").json()["refitted"] == false);
}

TEST_CASE("A teacher is asked about items by their ids, reported and noted in the model", "[cli][train]") {
  const Sandbox sandbox;
  REQUIRE(sandbox.train().status == 0);
  const std::string common =
      "train --quiet --json --split none --threads 1 --epochs 60 --config taught.json --interactions ";
  sandbox.write("taught.json",
                R"({"encoder": {"embedding_dim": 16, "num_blocks": 1, "inner_dim": 16, "max_sequence_length": 20},
                    "batch_sequences": 8, "blend": false, "distillation": {"weight": 1, "targets": 5}})");
  const Run alone = sandbox.attune(common + "events.csv --output teacher");
  REQUIRE(alone.status == 0);
  CHECK(alone.json()["teacher"].is_null());
  // The same events, the last user first: items have other handles.
  std::istringstream lines(sandbox.read("events.csv"));
  std::string line, header, body;
  std::getline(lines, header);
  while (std::getline(lines, line)) body = line + '\n' + body;
  sandbox.write("reversed.csv", header + '\n' + body);
  const Run taught = sandbox.attune(common + "reversed.csv --seed 2 --teacher teacher --output student");
  INFO(taught.err);
  REQUIRE(taught.status == 0);
  const auto version = sandbox.attune("inspect --json teacher").json()["model"]["version"];
  CHECK(taught.json()["teacher"] == version);
  CHECK(taught.json()["memory"]["teacher"] == 360 * 5 * 8);
  CHECK(sandbox.attune("inspect --json student").json()["notes"]["teacher"] == version);
  int agree = 0;
  for (int item = 0; item < 20; ++item) {
    std::string question = " --json --history i" + std::to_string(item);  // as the first users walk
    for (const int step : {1, 2, 3}) question += ",i" + std::to_string((item + step) % 20);
    const auto best = [&](const std::string& model) {
      return sandbox.attune("recommend --model " + model + question).json()["items"][0]["item"];
    };
    agree += best("teacher") == best("student");
  }
  CHECK(agree >= 15);
}

TEST_CASE("A teacher that cannot teach is refused with the reason", "[cli][train]") {
  const Sandbox sandbox;
  REQUIRE(sandbox.train().status == 0);
  const std::string student = "train --quiet --json --epochs 1 --config small.json --output student --interactions ";
  check_failure(sandbox.attune(student + "events.csv --teacher none"), {"none"});
  check_failure(
      sandbox.attune(student + sandbox.write("new.csv", "user,item\nu1,i1\nu1,i99\nu1,i2\n") + " --teacher model"),
      {"model", "knows all items", "i99"});
  check_failure(
      sandbox.attune("train --quiet --preset popularity --output student --interactions events.csv --teacher model"),
      {"counts_alone", "teacher"});
  check_failure(sandbox.attune(student + "events.csv --teacher model --config " +
                               sandbox.write("sampled.json", R"({"objective": {"loss": "gbce"}})")),
                {"objective.loss", "teacher"});
  REQUIRE(sandbox.attune("train --quiet --preset markov --output counts --interactions events.csv").status == 0);
  check_failure(sandbox.attune(student + "events.csv --teacher counts"), {"counts", "encoder"});
  CHECK(!std::filesystem::exists(sandbox.path("student")));
}

TEST_CASE("The same seed gives the same model", "[cli][train]") {
  const Sandbox first, second, third;
  REQUIRE(first.train("--seed 5").status == 0);
  REQUIRE(second.train("--seed 5 --threads 2").status == 0);
  REQUIRE(third.train("--seed 6").status == 0);
  CHECK(first.read("model/weights.safetensors") == second.read("model/weights.safetensors"));
  CHECK(first.read("model/weights.safetensors") != third.read("model/weights.safetensors"));
}

TEST_CASE("Interactions come from standard input and from files without a header", "[cli][train]") {
  const Sandbox sandbox;
  sandbox.train();
  const std::string events = sandbox.read("events.csv");
  const Run piped = sandbox.attune(kTrain + "-", events);
  INFO(piped.err);
  REQUIRE(piped.status == 0);
  CHECK(piped.json()["load"]["records"] == 360);

  sandbox.write("bare.tsv", [&] {
    std::string bare = events.substr(events.find('\n') + 1);
    std::replace(bare.begin(), bare.end(), ',', '\t');
    return bare;
  }());
  const Run bare = sandbox.attune(kTrain + "bare.tsv --columns user,item,,timestamp");
  INFO(bare.err);
  REQUIRE(bare.status == 0);
  CHECK(bare.json()["load"]["records"] == 360);
  CHECK(bare.json()["load"]["separator"] == "\t");
}

TEST_CASE("A header whose names are replaced is no interaction", "[cli][train]") {
  const Sandbox sandbox;
  sandbox.train();
  std::string events = sandbox.read("events.csv");
  sandbox.write("named.csv", "who,what,liked,seen_at" + events.substr(events.find('\n')));
  const Run run = sandbox.attune(kTrain + "named.csv --columns user,item,,timestamp --skip-header");
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.json()["load"]["records"] == 360);
  CHECK(run.json()["load"]["header_lines"] == 1);
  CHECK(run.json()["load"]["users"] == 30);
}

TEST_CASE("A file of items is checked against the catalogue", "[cli][train]") {
  const Sandbox sandbox;
  sandbox.write("items.csv", "item,title\ni1,First\ni2,\"Second, with comma\"\nother,Unknown\n");
  const auto items = sandbox.train("--json --items items.csv").json()["load"]["items_file"];
  CHECK(items["items"] == 3);
  CHECK(items["in_catalogue"] == 2);
  CHECK(items["untitled"] == 18);
  sandbox.write("wrong.csv", "id,title\n1,x\n");
  check_failure(sandbox.attune(kTrain + "events.csv --items wrong.csv"), {"wrong.csv", "'item'"});
}

TEST_CASE("A schema makes features of the file of items, which the model keeps", "[cli][train]") {
  const Sandbox sandbox;
  std::string items = "item,title,colour\n";
  for (int item = 0; item < 25; ++item) {
    const std::string number = std::to_string(item);
    items += "i" + number + ",Thing number " + number + (item % 2 == 0 ? ",red\n" : ",blue|green\n");
  }
  sandbox.write("items.csv", items);
  sandbox.write("schema.json",
                R"({"items": [{"name": "colour", "type": "category"}, {"name": "title", "type": "text"}]})");
  const Run run = sandbox.train("--json --items items.csv --schema schema.json");
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto content = run.json()["content"];
  CHECK(content["items"] == 20);
  CHECK(content["features"].size() == 2);
  CHECK(content["features"][0]["name"] == "colour");
  CHECK(content["explained"].is_number());
  CHECK(std::filesystem::exists(sandbox.path("model/content.safetensors")));
  CHECK(sandbox.train("--json").json()["content"].is_null());

  sandbox.write("schema.json",
                R"({"items": [{"name": "colour", "type": "category"}, {"name": "price", "type": "number"}]})");
  check_failure(sandbox.attune(kTrain + "events.csv --items items.csv --schema schema.json"), {"items.csv", "price"});
  sandbox.write("schema.json", R"({"users": [{"name": "age", "type": "number"}]})");
  check_failure(sandbox.attune(kTrain + "events.csv --items items.csv --schema schema.json"),
                {"schema.json", "items", "at least one feature"});
  CHECK(sandbox.attune(kTrain + "events.csv --schema schema.json").status == 2);
  CHECK(sandbox.attune(kTrain + "events.csv --preset markov --items items.csv --schema schema.json").status == 2);
}

TEST_CASE("Features that no trained item has are refused before the training", "[cli][train]") {
  const Sandbox sandbox;
  sandbox.train();
  // Of "last" there is an event in the test part alone, and "alone" is of a user with nothing else.
  sandbox.write("more.csv", sandbox.read("events.csv") + "u1,last,5,1800000000\nsingle,alone,5,1700000000\n");
  const std::string train = "train --json --epochs 1 --config small.json --output other --interactions more.csv ";
  const auto refused = [&](const std::string& items, const std::vector<std::string>& named) {
    sandbox.write("items.csv", items);
    check_failure(sandbox.attune(train + "--quiet --items items.csv --schema schema.json"), named);
    CHECK(!std::filesystem::exists(sandbox.path("other")));
    CHECK(!std::filesystem::exists(sandbox.path("other.training")));
  };
  sandbox.write("schema.json",
                R"({"items": [{"name": "colour", "type": "category"}, {"name": "price", "type": "number"}]})");
  refused("item,title,colour,price\ni1,A,red,\ni2,B,blue,\nlast,C,red,3\nalone,D,blue,4\n",
          {"items.csv", "trained", "\"price\"", "none"});
  refused("item,title,colour,price\ni1,A,red,3\nlast,C,red,3\nalone,D,blue,4\n",
          {"items.csv", "at least two items", "of 1"});
}

TEST_CASE("A training whose features teach nothing is not lost", "[cli][train]") {
  const Sandbox sandbox;
  sandbox.train();
  // Windows of two events never reach back to the first one of the only ones with a colour.
  std::string events = "user,item,timestamp\n", items = "item,title,colour\nearly,A,red\nfirst,B,blue\n";
  for (int user = 0; user < 20; ++user) {
    const std::string name = "u" + std::to_string(user);
    for (int step = 0; step < 12; ++step) {
      const std::string item =
          step == 0 ? (user % 2 == 0 ? "early" : "first") : "i" + std::to_string((user + step) % 9);
      events += name + ',' + item + ',' + std::to_string(1700000000 + 3600 * (30 * step + user)) + '\n';
    }
  }
  sandbox.write("long.csv", events);
  sandbox.write("items.csv", items);
  sandbox.write("schema.json", R"({"items": [{"name": "colour", "type": "category"}]})");
  sandbox.write("short.json", R"({"windows": "newest", "encoder": {"embedding_dim": 8, "num_blocks": 1, "num_heads": 1,
      "inner_dim": 16, "max_sequence_length": 2}})");
  const std::string train =
      "train --quiet --json --epochs 1 --threads 1 --config short.json --output kept --items items.csv ";
  check_failure(sandbox.attune(train + "--interactions long.csv --schema schema.json"),
                {"items.csv", "trained", "\"colour\""});
  CHECK(!std::filesystem::exists(sandbox.path("kept/content.safetensors")));
  CHECK(sandbox.attune("recommend --model kept --user u1").status == 0);
}

TEST_CASE("Input that cannot be used ends with status 1 and one line that names file, place and reason",
          "[cli][train]") {
  const Sandbox sandbox;
  sandbox.train();
  const auto model = contents(sandbox.path("model"));
  check_failure(sandbox.attune(kTrain + "missing.csv"), {"missing.csv"});
  check_failure(sandbox.attune(kTrain + sandbox.write("empty.csv", "")), {"empty.csv"});
  check_failure(sandbox.attune(kTrain + sandbox.write("header.csv", "user,item,timestamp\n")), {"header.csv"});
  check_failure(sandbox.attune(kTrain + sandbox.write("column.csv", "user,thing,timestamp\nu,i,1\n")),
                {"column.csv", "item"});
  check_failure(sandbox.attune(kTrain + "events.csv --separator ';'"), {"events.csv", ";"});
  check_failure(sandbox.attune(kTrain + sandbox.write("short.csv", "user,item,timestamp\nu1,i1,5\nu1,i2\n")),
                {"short.csv", "3", "2"});
  check_failure(sandbox.attune(kTrain + sandbox.write("dash.csv", "user,item,timestamp\nu1,i1,5\nu1,i2,-\n")),
                {"dash.csv", "3", "timestamp", "-"});
  check_failure(sandbox.attune(kTrain + sandbox.write("rating.csv", "user,item,rating\nu1,i1,-\n")),
                {"rating.csv", "2", "rating", "-"});
  check_failure(sandbox.attune(kTrain + sandbox.write("plain.csv", "user,item\nu1,i1\nu1,i2\n") + " --min-rating 3"),
                {"plain.csv", "rating"});
  check_failure(sandbox.attune(kTrain + "events.csv --k-core 1000"), {"events.csv", "1000-core"});
  check_failure(sandbox.attune("train --quiet --interactions events.csv --output model --config " +
                               sandbox.write("bad.json", R"({"epoch": 3})")),
                {"bad.json", "epoch"});
  check_failure(sandbox.attune("train --quiet --interactions events.csv --output model --config none.json"),
                {"none.json"});
  const std::string deep = "{\"encoder\": " + std::string(400'000, '[') + std::string(400'000, ']') + "}";
  check_failure(sandbox.attune("train --quiet --interactions events.csv --output model --config " +
                               sandbox.write("deep.json", deep)),
                {"deep.json", "levels"});
  CHECK(contents(sandbox.path("model")) == model);
}

TEST_CASE("Bad lines are counted with their reason and first line when asked for", "[cli][train]") {
  const Sandbox sandbox;
  sandbox.train();
  sandbox.write("mixed.csv", sandbox.read("events.csv") + "u1,i1\nu1,i2\nu1,i2,-,1700000000\n");
  const Run run = sandbox.attune(kTrain + "mixed.csv --skip-bad-lines");
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto load = run.json()["load"];
  CHECK(load["records"] == 363);
  CHECK(load["interactions"] == 360);
  REQUIRE(load["dropped"].size() == 2);
  CHECK(load["dropped"][0]["lines"] == 2);
  CHECK(load["dropped"][0]["first_line"] == 362);
}

TEST_CASE("An output that cannot be written is refused before training, and the old model stays", "[cli][train]") {
  const Sandbox sandbox;
  sandbox.train();
  const auto model = contents(sandbox.path("model"));
  sandbox.write("file", "no directory");
  check_failure(sandbox.attune(kTrain + "events.csv --output file"), {"file"});
  std::filesystem::create_directory(sandbox.path("mine"));
  sandbox.write("mine/thesis.txt", "precious");
  check_failure(sandbox.attune(kTrain + "events.csv --output mine"), {"mine", "manifest.json"});
  CHECK(sandbox.read("mine/thesis.txt") == "precious");
  CHECK(contents(sandbox.path("model")) == model);
  check_failure(sandbox.attune(kTrain + "events.csv --output /proc/model"), {"/proc"});
  CHECK(sandbox.attune("train --interactions events.csv --output /proc/model").err.find("reading") ==
        std::string::npos);
}

TEST_CASE("A result that cannot be printed is a failure", "[cli][train]") {
  const Sandbox sandbox;
  sandbox.train();
  const Run run = sandbox.attune("inspect model --json > /dev/full 2> errors; echo $?");
  CHECK(run.out == "1\n");
  CHECK(sandbox.read("errors").find("standard output") != std::string::npos);
}
