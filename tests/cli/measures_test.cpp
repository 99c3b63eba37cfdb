// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <fstream>

#include "attune/model/checkpoint.hpp"
#include "catch.hpp"
#include "cli/tool.hpp"

using attune::TrainedModel;
using attune::test::Run;
using attune::test::Sandbox;

TEST_CASE("evaluate measures a model as train did", "[cli][evaluate]") {
  for (const std::string split : {"temporal:0.8", "leave-one-out"}) {
    const Sandbox sandbox;
    const auto trained = sandbox.train("--json --min-rating 2 --split " + split).json();
    const Run run =
        sandbox.attune("evaluate --model model --interactions events.csv --cutoffs 10,3 --baselines --json");
    INFO(run.err);
    REQUIRE(run.status == 0);
    const auto report = run.json();
    CHECK(report["protocol"] == trained["protocol"]);
    for (const std::string metric : {"hr@10", "ndcg@10", "mrr@10", "coverage@10", "gini@10", "average_popularity@10"}) {
      INFO(metric);
      CHECK(report["metrics"][metric] == trained["metrics"][metric]);
      CHECK(report["baselines"]["markov"][metric] == trained["baselines"]["markov"][metric]);
      for (const std::string baseline : {"popularity", "item_knn", "ease"}) {
        CHECK(report["baselines"][baseline][metric].is_number());
        CHECK(report["baselines"][baseline][metric] == trained["baselines"][baseline][metric]);
      }
    }
    CHECK(report["metrics"].contains("hr@3"));
    CHECK(!report["metrics"].contains("hr@1"));
    CHECK(report["confidence"]["ndcg@10"].size() == 2);
    CHECK(report["confidence"]["ndcg@10"][0] <= report["metrics"]["ndcg@10"]);
    CHECK(report["confidence"]["ndcg@10"][1] >= report["metrics"]["ndcg@10"]);
    CHECK(report["seconds"].is_number());
  }
}

TEST_CASE("What the command line says of the protocol overrides the model's own", "[cli][evaluate]") {
  const Sandbox sandbox;
  sandbox.train("--split leave-one-out");
  const auto report =
      sandbox.attune("evaluate --model model --interactions events.csv --split temporal:0.5 --seen keep --json").json();
  CHECK(report["protocol"]["split"] == "temporal:0.5");
  CHECK(report["protocol"]["seen"] == "keep");
  CHECK(!report.contains("baselines"));
  CHECK(sandbox.attune("evaluate --model model --interactions events.csv").out.find("ndcg") != std::string::npos);
}

TEST_CASE("Baskets of a model's own protocol do not outlive its temporal split", "[cli][evaluate]") {
  const Sandbox sandbox;
  CHECK(sandbox.train("--basket --json").json()["protocol"]["basket"] == true);
  const std::string ask = "evaluate --model model --interactions events.csv --json ";
  CHECK(sandbox.attune(ask).json()["protocol"]["basket"] == true);
  CHECK(sandbox.attune(ask + "--split leave-one-out").json()["protocol"]["basket"] == false);
}

TEST_CASE("Items the model does not know are misses as targets and nothing in a history", "[cli][evaluate]") {
  const Sandbox sandbox;
  sandbox.train("--split leave-one-out");
  // The same users, but each ends on an item nobody trained on.
  std::string events = sandbox.read("events.csv");
  for (int user = 0; user < 30; ++user) events += "u" + std::to_string(user) + ",new,5,1900000000\n";
  sandbox.write("later.csv", events);
  const auto later = sandbox.attune("evaluate --model model --interactions later.csv --json").json();
  CHECK(later["metrics"]["hr@10"] == 0);
  CHECK(later["protocol"]["unseen_targets"] == 30);

  // The new item in front of each history instead changes nothing.
  std::string before = sandbox.read("events.csv");
  for (int user = 0; user < 30; ++user) before += "u" + std::to_string(user) + ",new,5,1600000000\n";
  sandbox.write("before.csv", before);
  const auto with = sandbox.attune("evaluate --model model --interactions before.csv --json").json();
  const auto without = sandbox.attune("evaluate --model model --interactions events.csv --json").json();
  CHECK(with["metrics"]["ndcg@10"] == without["metrics"]["ndcg@10"]);
}

TEST_CASE("Items are matched by their ids, whatever order a file names them in", "[cli][evaluate]") {
  const Sandbox sandbox;
  sandbox.train();
  const std::string events = sandbox.read("events.csv");
  const std::size_t header = events.find('\n') + 1, middle = events.find("u15,");
  sandbox.write("turned.csv",
                events.substr(0, header) + events.substr(middle) + events.substr(header, middle - header));
  const std::string ask = "evaluate --model model --baselines --json --interactions ";
  const auto turned = sandbox.attune(ask + "turned.csv").json();
  const auto straight = sandbox.attune(ask + "events.csv").json();
  CHECK(straight["metrics"].contains("ece@10"));
  for (const std::string part : {"metrics", "baselines"}) {
    const auto values = straight[part].flatten();
    constexpr std::size_t kMetrics = 5 * 13 + 1;  // 13 at each of 5 cutoffs, and auc; ece@10 of the model alone
    REQUIRE(values.size() == (part == "metrics" ? kMetrics + 1 : kMetrics * straight["baselines"].size()));
    for (const auto& [metric, value] : values.items()) {
      INFO(metric);
      CHECK(turned[part].flatten()[metric].get<double>() == Approx(value.get<double>()));
    }
  }
}

TEST_CASE("Samples are the same items, whatever order a file names them in", "[cli][evaluate]") {
  const Sandbox sandbox;
  sandbox.train();
  const std::string events = sandbox.read("events.csv");
  const std::size_t header = events.find('\n') + 1, middle = events.find("u15,");
  sandbox.write("turned.csv",
                events.substr(0, header) + events.substr(middle) + events.substr(header, middle - header));
  const std::string ask = "evaluate --model model --json --sampled 5 --interactions ";
  const auto turned = sandbox.attune(ask + "turned.csv").json()["metrics"];
  const auto straight = sandbox.attune(ask + "events.csv").json()["metrics"];
  for (const std::string metric : {"hr@1/sampled5", "mrr@5/sampled5", "ndcg@5/sampled5"}) {
    INFO(metric);
    CHECK(turned[metric].get<double>() == Approx(straight[metric].get<double>()));
  }
}

TEST_CASE("Baselines are trained on what the model was, whatever is measured", "[cli][evaluate]") {
  const Sandbox sandbox;
  const auto trained = sandbox.train("--json --split leave-one-out").json();
  const std::string ask = "evaluate --model model --interactions events.csv --baselines --json ";
  // A later split than the model was trained by: the counts are still those of its own training part.
  const auto other = sandbox.attune(ask + "--split temporal:0.5").json();
  sandbox.attune("train --quiet --interactions events.csv --output ease --preset ease --split leave-one-out");
  const auto alone =
      sandbox.attune("evaluate --model ease --interactions events.csv --json --split temporal:0.5").json();
  CHECK(other["baselines"]["ease"]["ndcg@10"] == alone["metrics"]["ndcg@10"]);
  const bool blended = trained["blend_weight"] != 0;
  const bool reordered = trained["rerank"].is_object() && trained["rerank"]["kept"] == true;
  CHECK(other["baselines"].size() == 4u + blended + reordered);
  CHECK(other["baselines_left_out"].empty());
}

TEST_CASE("A baseline whose training part is not known is left out and says so", "[cli][evaluate]") {
  const Sandbox sandbox;
  sandbox.train("--split leave-one-out");
  {
    TrainedModel model = TrainedModel::load(sandbox.path("model"));
    model.notes["split"] = "none";
    model.save(sandbox.path("model"));
  }
  const std::string ask = "evaluate --model model --interactions events.csv --split leave-one-out --baselines";
  const auto report = sandbox.attune(ask + " --json").json();
  for (const std::string name : {"item_knn", "ease"}) CHECK(!report["baselines"].contains(name));
  CHECK(report["baselines"]["popularity"]["ndcg@10"].is_number());
  CHECK(report["baselines"]["markov"]["ndcg@10"].is_number());
  for (const std::string name : {"item_knn", "ease"}) {
    CHECK(report["baselines_left_out"][name].get<std::string>().find("not known") != std::string::npos);
    CHECK(sandbox.attune(ask).out.find("without " + name + ": ") != std::string::npos);
  }
}

TEST_CASE("The encoder of a blend is measured alone beside it", "[cli][evaluate]") {
  const Sandbox sandbox;
  sandbox.train("--json");
  const std::string ask = "evaluate --model model --interactions events.csv --json";
  TrainedModel model = TrainedModel::load(sandbox.path("model"));
  model.blend_weight = 3;
  model.save(sandbox.path("model"));
  const auto blended = sandbox.attune(ask + " --baselines").json();
  model.blend_weight = 0;
  model.ranker = {};  // both learned on the scores of the blend
  model.calibration = {};
  model.save(sandbox.path("model"));
  const auto alone = sandbox.attune(ask + " --baselines").json();
  CHECK(blended["baselines"]["encoder"] == alone["metrics"]);
  CHECK(blended["metrics"].contains("ece@10"));
  CHECK(blended["metrics"] != alone["metrics"]);
  CHECK(!alone["baselines"].contains("encoder"));
}

TEST_CASE("Numbers of threads do not change the metrics", "[cli][evaluate]") {
  const Sandbox sandbox;
  sandbox.train();
  const std::string ask = "evaluate --model model --interactions events.csv --json --threads ";
  const auto one = sandbox.attune(ask + "1").json(), three = sandbox.attune(ask + "3").json();
  CHECK(one["metrics"] == three["metrics"]);
  CHECK(one["confidence"] == three["confidence"]);
}

TEST_CASE("metrics reproduces the golden lists under the tool's names", "[cli][metrics]") {
  const Sandbox sandbox;
  const std::string file = ATTUNE_TEST_DIR "/golden/metrics.json";
  const auto golden = nlohmann::json::parse(std::ifstream(file));
  const Run run = sandbox.attune("metrics --json '" + file + "'");
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto metrics = run.json();
  const std::map<std::string, std::string> names{{"hit", "hr"},
                                                 {"itemcoverage", "coverage"},
                                                 {"averagepopularity", "average_popularity"},
                                                 {"giniindex", "gini"},
                                                 {"tailpercentage", "tail_percentage"}};
  std::size_t compared = 0;
  for (const char* part : {"expected", "expected_f1"}) {
    for (const auto& [golden_name, value] : golden[part].items()) {
      const std::string stem = golden_name.substr(0, golden_name.find('@'));
      const auto renamed = names.find(stem);
      const std::string name = (renamed == names.end() ? stem : renamed->second) + golden_name.substr(stem.size());
      INFO(name);
      REQUIRE(metrics.contains(name));
      CHECK(metrics[name].get<double>() == Approx(value.get<double>()).margin(1e-9));
      ++compared;
    }
  }
  for (const auto& [name, value] : metrics.items()) compared += name.starts_with("serendipity@");  // not in RecBole
  CHECK(compared == metrics.size());
  CHECK(sandbox.attune("metrics - --json", golden.dump()).json() == metrics);
  CHECK(sandbox.attune("metrics '" + file + "'").out.find("ndcg") != std::string::npos);
}

TEST_CASE("What lists say of users and categories adds metrics", "[cli][metrics]") {
  const Sandbox sandbox;
  const std::string lists = R"({"cutoffs": [2], "recommended": [["a", "b"]], "relevant": [["b"]], "history": [["c"]],
    "train_item_count": {"a": 9, "b": 2, "c": 2}, "train_item_users": {"a": 4, "b": 1}, "train_users": 4,
    "categories": {"a": "War|Drama", "b": "Drama", "c": "Drama"}})";
  const auto metrics = sandbox.attune("metrics - --json", lists).json();
  CHECK(metrics["novelty@2"] == Approx(1));
  CHECK(metrics["diversity@2"] == Approx(0.5));
  CHECK(metrics["miscalibration@2"] == Approx(-std::log(0.99 * 0.75 + 0.01)));
  CHECK(metrics["serendipity@2"] == 0);
  CHECK(sandbox.attune("metrics -", lists).out.find("miscalibration") != std::string::npos);
}

TEST_CASE("Items with genres add diversity and miscalibration", "[cli][evaluate]") {
  const Sandbox sandbox;
  sandbox.train("--split leave-one-out");
  std::string items = "item,title,genres,maker\n";
  for (int i = 0; i < 20; ++i) {
    const std::string number = std::to_string(i);
    items += "i" + number + ",Title " + number + ",g" + std::to_string(i % 3) + "|g" + std::to_string(i % 4) + ",m\n";
  }
  sandbox.write("items.csv", items);
  const std::string ask = "evaluate --model model --interactions events.csv --json ";
  const auto plain = sandbox.attune(ask).json()["metrics"];
  CHECK(!plain.contains("diversity@10"));
  CHECK(plain["novelty@10"] > 0);
  CHECK(plain["auc"] > 0);
  const auto genres = sandbox.attune(ask + "--items items.csv").json()["metrics"];
  CHECK(genres["diversity@10"] > 0.3);
  CHECK(genres["miscalibration@10"] > 0);
  CHECK(genres["hr@10"] == plain["hr@10"]);
  const auto makers = sandbox.attune(ask + "--items items.csv --categories maker").json()["metrics"];
  CHECK(makers["diversity@10"] == 0);
  CHECK(makers["miscalibration@10"] == Approx(0).margin(1e-9));
  const Run missing = sandbox.attune(ask + "--items items.csv --categories colour");
  CHECK(missing.status == 1);
  CHECK(missing.err.find("items.csv: expected a column 'colour'") != std::string::npos);
  CHECK(sandbox.attune(ask + "--categories genres").status == 2);
  const auto trained = sandbox.train("--split leave-one-out --json --items items.csv").json();
  CHECK(trained["metrics"]["diversity@10"] == genres["diversity@10"]);
  CHECK(trained["metrics"]["novelty@10"] == genres["novelty@10"]);
}

TEST_CASE("Differences to the baselines and to another model are paired", "[cli][evaluate]") {
  const Sandbox sandbox;
  const auto trained = sandbox.train("--split leave-one-out --json").json();
  sandbox.attune("train --quiet --interactions events.csv --output other --preset markov --split leave-one-out");
  const std::string ask = "evaluate --model model --interactions events.csv ";
  const auto report = sandbox.attune(ask + "--baselines --against other --json").json();
  const auto check = [&](const nlohmann::json& metrics, const nlohmann::json& others, const nlohmann::json& paired) {
    for (const std::string metric : {"hr@10", "ndcg@10"}) {
      const double difference = metrics[metric].get<double>() - others[metric].get<double>();
      INFO(metric);
      CHECK(paired[metric]["difference"].get<double>() == Approx(difference).margin(1e-12));
      CHECK(paired[metric]["interval"][0] <= paired[metric]["difference"]);
      CHECK(paired[metric]["interval"][1] >= paired[metric]["difference"]);
      CHECK(paired[metric]["above_zero"] >= 0);
      CHECK(paired[metric]["above_zero"] <= 1);
    }
  };
  CHECK(report["paired"].size() == report["baselines"].size() + 1);
  check(report["metrics"], report["against"]["metrics"], report["paired"]["against"]);
  for (const auto& [name, metrics] : report["baselines"].items()) {
    INFO(name);
    check(report["metrics"], metrics, report["paired"][name]);
    CHECK(report["paired"][name] == trained["paired"][name]);
  }
  CHECK(report["paired"]["against"] == report["paired"]["markov"]);
  CHECK(report["against"]["model"] == "other");
  CHECK(report["against"]["metrics"]["hr@10"] == report["baselines"]["markov"]["hr@10"]);
  CHECK(!report["baselines"].contains("against"));
  CHECK(!sandbox.attune(ask + "--json").json().contains("paired"));
  CHECK(sandbox.attune(ask + "--against other --cutoffs 3 --json").json()["paired"]["against"].contains("hr@3"));
  CHECK(sandbox.attune(ask + "--against other").out.find("attune - against") != std::string::npos);
  CHECK(sandbox.attune(ask + "--against nothing").status == 1);

  TrainedModel numbered = TrainedModel::load(sandbox.path("other"));
  auto ids = std::make_shared<attune::IdMap>(attune::IdKind::int64);
  for (std::size_t item = 0; item < numbered.item_ids->size(); ++item) ids->insert(item);
  numbered.item_ids = ids;
  numbered.histories = nullptr;
  numbered.save(sandbox.path("numbered"));
  const Run kinds = sandbox.attune(ask + "--against numbered");
  INFO(kinds.err);
  CHECK(kinds.status == 1);
  CHECK(kinds.err.find("numbered: expected item ids that are text") != std::string::npos);
}

TEST_CASE("Sampled metrics have the size of the sample in their names", "[cli][evaluate]") {
  const Sandbox sandbox;
  sandbox.train("--split leave-one-out");
  const std::string ask = "evaluate --model model --interactions events.csv --cutoffs 1,5,10 --sampled 5 ";
  const auto metrics = sandbox.attune(ask + "--json").json()["metrics"];
  CHECK(metrics["hr@1/sampled5"] >= metrics["hr@1"]);
  CHECK(metrics["ndcg@5/sampled5"] >= metrics["ndcg@5"]);
  CHECK(!metrics.contains("hr@10/sampled5"));
  CHECK(metrics == sandbox.attune(ask + "--json --threads 3").json()["metrics"]);
  const std::string text = sandbox.attune(ask + "--baselines --segments").out;
  CHECK(text.find("hr/sampled5") != std::string::npos);
  CHECK(sandbox.attune(ask + "--sampled 0").status == 2);
  const Run none = sandbox.attune("evaluate --model model --interactions events.csv --cutoffs 10,5 --sampled 4");
  CHECK(none.status == 2);
  CHECK(none.err.find("--sampled: expected at least the smallest of --cutoffs, 5, found 4") != std::string::npos);
}

TEST_CASE("Standard input gives one file, read once for all its columns", "[cli][evaluate]") {
  const Sandbox sandbox;
  sandbox.train("--split leave-one-out");
  std::string items = "item,genres,maker\n", users = "user,age,town\n";
  for (int i = 0; i < 20; ++i) items += "i" + std::to_string(i) + ",g" + std::to_string(i % 3) + ",m\n";
  for (int u = 0; u < 30; ++u) users += "u" + std::to_string(u) + (u < 20 ? ",young,x\n" : ",old,y\n");
  sandbox.write("items.csv", items);
  sandbox.write("users.csv", users);
  const auto ask = [](const std::string& items_file, const std::string& users_file) {
    return "evaluate --model model --interactions events.csv --json --items " + items_file +
           " --provider maker --users " + users_file + " --group age,town";
  };
  const auto comparable = [](nlohmann::json report) {
    report.erase("seconds");
    return report;
  };
  const auto files = comparable(sandbox.attune(ask("items.csv", "users.csv")).json());
  CHECK(files["metrics"].contains("diversity@10"));
  CHECK(comparable(sandbox.attune(ask("-", "users.csv"), items).json()) == files);
  CHECK(comparable(sandbox.attune(ask("items.csv", "-"), users).json()) == files);

  const Run both = sandbox.attune(ask("-", "-"), items);
  CHECK(both.status == 2);
  CHECK(both.err.find("--users: expected a file, found standard input, which --items reads") != std::string::npos);
  CHECK(sandbox.attune("evaluate --model model --interactions - --items -", items).status == 2);
  CHECK(sandbox.attune("recommend --model model --history - --items -", items).status == 2);
  CHECK(sandbox.attune("train --interactions - --config - --output other", "{}").status == 2);
  const Run train = sandbox.attune("train --interactions events.csv --output other --items -", items);
  CHECK(train.status == 2);
  CHECK(train.err.find("--items: expected a file") != std::string::npos);
}

TEST_CASE("Segments and providers stand in the report", "[cli][evaluate]") {
  const Sandbox sandbox;
  sandbox.train("--split leave-one-out");
  std::string items = "item,maker\n", users = "user,age,town\n";
  for (int i = 0; i < 20; ++i) items += "i" + std::to_string(i) + ",m" + std::to_string(i % 4) + "\n";
  for (int u = 0; u < 30; ++u) users += "u" + std::to_string(u) + (u < 20 ? ",young,x\n" : ",old,y\n");
  sandbox.write("items.csv", items);
  sandbox.write("users.csv", users);
  const std::string ask = "evaluate --model model --interactions events.csv ";
  const std::string all =
      ask + "--segments --cold 100 --users users.csv --group age,town --items items.csv --provider maker --baselines ";
  const auto report = sandbox.attune(all + "--json").json();
  CHECK(report["metrics"] == sandbox.attune(ask + "--json").json()["metrics"]);
  const auto& segments = report["segments"];
  CHECK(segments.size() == 4);
  CHECK(segments["history"]["groups"].size() == 1);
  CHECK(segments["history"]["groups"]["cold"]["queries"] == 30);
  CHECK(segments["age"]["groups"]["young"]["users"] == 20);
  const auto& old = segments["age"]["groups"]["old"];
  CHECK(old["confidence"]["ndcg@10"][0] <= old["metrics"]["ndcg@10"]);
  CHECK(old["confidence"]["ndcg@10"][1] >= old["metrics"]["ndcg@10"]);
  const double gap =
      old["metrics"]["hr@10"].get<double>() - segments["age"]["groups"]["young"]["metrics"]["hr@10"].get<double>();
  CHECK(segments["age"]["gap"]["hr@10"] == Approx(std::abs(gap)));
  CHECK(segments["town"]["gap"]["hr@10"] == segments["age"]["gap"]["hr@10"]);
  double exposure = 0, catalogue = 0;
  for (const auto& [name, provider] : report["exposure"]["providers"].items()) {
    exposure += provider["exposure"].get<double>();
    catalogue += provider["catalogue"].get<double>();
    CHECK(provider["catalogue"] == Approx(0.25));
  }
  CHECK(exposure == Approx(1));
  CHECK(catalogue == Approx(1));
  const std::string text = sandbox.attune(all).out;
  for (const char* named : {"history", "cold", "old", "gap", "providers", "m3"}) {
    INFO(named);
    CHECK(text.find(named) != std::string::npos);
  }

  for (const std::string wrong : {"--users users.csv", "--group age", "--provider maker", "--cold 0"}) {
    INFO(wrong);
    CHECK(sandbox.attune(ask + wrong).status == 2);
  }
  const Run missing = sandbox.attune(ask + "--users users.csv --group height");
  CHECK(missing.status == 1);
  CHECK(missing.err.find("users.csv: expected a column 'height'") != std::string::npos);
}

TEST_CASE("Logged decisions say what another policy would have earned", "[cli][metrics]") {
  const Sandbox sandbox;
  sandbox.write("log.csv", "propensity,reward,target_probability\n0.5,1,0.25\n0.1,0,0.4\n0.25,-2,0.25\n");
  const auto report = sandbox.attune("metrics --logged log.csv --json").json();
  CHECK(report["decisions"] == 3);
  CHECK(report["ips"] == Approx(-0.5));
  CHECK(report["snips"] == Approx(-1.5 / 5.5));
  CHECK(report["confidence"]["snips"].size() == 2);
  CHECK(report["clipped"] == 0);
  CHECK(sandbox.attune("metrics --logged log.csv --clip 1 --json").json()["clipped"] == 1);
  CHECK(sandbox.attune("metrics --logged log.csv --json --threads 3").json() == report);
  std::string many = "propensity,reward,target_probability\n";
  for (int i = 1; i <= 40; ++i) many += "0.5," + std::to_string(i * i % 17) + ",0.25\n";
  sandbox.write("many.csv", many);
  const std::string ask = "metrics --logged many.csv --json";
  CHECK(sandbox.attune(ask + " --seed 9").json()["confidence"] != sandbox.attune(ask).json()["confidence"]);
  CHECK(sandbox.attune("metrics --logged log.csv").out.find("snips") != std::string::npos);

  sandbox.write("bad.csv", "propensity,reward,target_probability\n0.5,1,0.25\n0,1,0.4\n");
  const Run bad = sandbox.attune("metrics --logged bad.csv --json");
  CHECK(bad.status == 1);
  CHECK(bad.out.empty());
  CHECK(bad.err.find("bad.csv:3: propensity: ") != std::string::npos);
  sandbox.write("none.csv", "propensity,reward,target_probability\n0.5,1,0\n");
  CHECK(sandbox.attune("metrics --logged none.csv").err.find("none.csv: ") != std::string::npos);
  CHECK(sandbox.attune("metrics lists.json --logged log.csv").status == 2);
  CHECK(sandbox.attune("metrics lists.json --clip 1").status == 2);
  CHECK(sandbox.attune("metrics --logged log.csv --clip 0").status == 2);
}

TEST_CASE("Lists that do not fit together are refused with their place", "[cli][metrics]") {
  const Sandbox sandbox;
  const auto check = [&](const std::string& text, const std::string& named) {
    const Run run = sandbox.attune("metrics " + sandbox.write("lists.json", text) + " --json");
    INFO(text << '\n' << run.err);
    CHECK(run.status == 1);
    CHECK(run.out.empty());
    CHECK(run.err.find("lists.json") != std::string::npos);
    CHECK(run.err.find(named) != std::string::npos);
  };
  check("", "JSON");
  check("{\"cutoffs\": [[" + std::string(400'000, '[') + std::string(400'000, ']') + "]]}", "levels");
  check(R"({"cutoffs": [1], "cutoffs": [2]})", "twice");
  check("[1]", "JSON");
  check(R"({"cutoffs": [1], "recommended": [[1]], "relevant": [[1]]})", "train_item_count");
  check(R"({"cutoffs": [1], "recommended": [[1]], "train_item_count": {"1": 1}})", "relevant");
  check(R"({"cutoffs": [0], "recommended": [[1]], "relevant": [[1]], "train_item_count": {"1": 1}})", "cutoffs");
  check(R"({"cutoffs": [1], "recommended": [[1]], "relevant": [], "train_item_count": {"1": 1}})", "relevant");
  check(R"({"cutoffs": [1], "recommended": [[2]], "relevant": [[1]], "train_item_count": {"1": 1}})", "recommended[0]");
  check(R"({"cutoffs": [1], "recommended": [[1]], "relevant": [[1.5]], "train_item_count": {"1": 1}})", "relevant[0]");
  check(R"({"cutoffs": [1], "recommended": [[1]], "relevant": [[1]], "train_item_count": {"1": -1}})",
        "train_item_count");
  const std::string good =
      R"({"cutoffs": [1], "recommended": [[1]], "relevant": [[1]], "train_item_count": {"1": 1}, )";
  check(good + R"("history": []})", "history");
  check(good + R"("history": [[{}]]})", "history[0]");
  check(good + R"("train_item_users": [1], "train_users": 1})", "train_item_users");
  check(good + R"("train_item_users": {"2": 1}, "train_users": 1})", "train_item_users");
  check(good + R"("train_item_users": {"1": -1}, "train_users": 1})", "train_item_users");
  check(good + R"("train_item_users": {"1": 1}})", "train_users");
  check(good + R"("train_item_users": {"1": 2}, "train_users": 1})", "train_users");
  check(good + R"("categories": {"1": 7}})", "categories");
  check(good + R"("categories": {"2": "a"}})", "categories");
}
