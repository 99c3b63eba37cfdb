// SPDX-License-Identifier: Apache-2.0
// attune import and attune export, as somebody uses them who comes from PyTorch.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "attune/model/safetensors.hpp"
#include "catch.hpp"
#include "cli/tool.hpp"

using attune::SafetensorsFile;
using attune::test::contents;
using attune::test::Run;
using attune::test::Sandbox;

namespace {

std::string golden(const std::string& name) {
  return std::string(ATTUNE_TEST_DIR) + "/golden/" + name + ".safetensors";
}

void check_failure(const Run& run, const std::string& named, int status = 1) {
  INFO(run.err);
  CHECK(run.status == status);
  CHECK(run.out.empty());
  CHECK(run.err.find(named) != std::string::npos);
}

nlohmann::json imported(const Sandbox& sandbox, const std::string& arguments) {
  const Run run = sandbox.attune("import --json --output model " + arguments);
  INFO(run.err);
  REQUIRE(run.status == 0);
  return run.json();
}

// One recorded history per row of `ids`, 0 is padding; scores of the items, row 0 is padding.
struct Recorded {
  std::vector<std::string> histories, times, now;
  std::vector<std::vector<float>> scores;

  Recorded(const std::string& name, const char* ids, const char* expected) {
    const SafetensorsFile file = SafetensorsFile::open(golden(name));
    const auto all = file.integers(*file.find(ids));
    const auto* const timestamps = file.find("input.timestamps");
    const auto seconds = timestamps != nullptr ? file.integers(*timestamps) : std::vector<std::int64_t>{};
    const std::size_t width = file.find(ids)->shape[1], stride = timestamps != nullptr ? timestamps->shape[1] : 0;
    const std::vector<float> values = file.floats(*file.find(expected));
    const std::size_t items = file.find(expected)->shape[1];
    for (std::size_t row = 0; row < all.size() / width; ++row) {
      std::string history, time;
      std::size_t last = 0;
      for (std::size_t i = 0; i < width; ++i) {
        if (all[row * width + i] == 0) continue;
        history += (history.empty() ? "" : ",") + std::to_string(all[row * width + i]);
        if (stride != 0) time += (time.empty() ? "" : ",") + std::to_string(seconds[row * stride + i]);
        last = i;
      }
      histories.push_back(history);
      times.push_back(time);
      now.push_back(stride != 0 ? std::to_string(seconds[row * stride + last + 1]) : "");
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(row * items);
      scores.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(items));
    }
  }

  void check(const Sandbox& sandbox, const std::string& model = "model", float tolerance = 1e-4f) const {
    for (std::size_t row = 0; row < histories.size(); ++row) {
      INFO("history " << histories[row]);
      std::string asked = "score --json --model " + model + " --history " + histories[row];
      if (!times[row].empty()) asked += " --timestamps " + times[row] + " --now " + now[row];
      const auto found = sandbox.attune(asked).json()["scores"];
      REQUIRE(found.size() + 1 == scores[row].size());
      for (std::size_t item = 1; item < scores[row].size(); ++item) {
        REQUIRE(std::abs(found[std::to_string(item)].get<float>() - scores[row][item]) <= tolerance);
      }
    }
  }
};

}  // namespace

TEST_CASE("An imported model scores as it did where it was trained", "[cli][import]") {
  const Sandbox sandbox;
  auto report = imported(sandbox, "--dialect recbole " + golden("recbole_sasrec_gelu_d64_h2"));
  CHECK(report["dialect"] == "recbole");
  CHECK(report["variant"] == "post_ln");
  CHECK(report["items"] == 120);
  CHECK(report["blocks"] == 2);
  CHECK(report["cacheable"] == true);
  Recorded("recbole_sasrec_gelu_d64_h2", "input.item_id_list", "output.logits_all_items").check(sandbox);
  const auto inspected = sandbox.attune("inspect model --json").json();
  CHECK(inspected["model"]["cacheable"] == true);
  CHECK(inspected["notes"]["dialect"] == "recbole");
  CHECK(report["hop"] == 1);
  CHECK(imported(sandbox, "--hop 4 " + golden("recbole_sasrec_gelu_d64_h2"))["hop"] == 4);

  report = imported(sandbox, golden("pmixer_sasrec_postln_d32_h2"));
  CHECK((report["dialect"] == "pmixer" && report["variant"] == "post_ln" && report["cacheable"] == false));
  Recorded("pmixer_sasrec_postln_d32_h2", "input.log_seqs", "output.logits_all_items").check(sandbox);
  CHECK(sandbox.attune("inspect model --json").json()["model"]["cacheable"] == false);

  report = imported(sandbox, golden("hstu_d50_b4_h2"));
  CHECK((report["dialect"] == "hstu" && report["score_kind"] == "cosine" && report["window"] == 16));
  Recorded("hstu_d50_b4_h2", "input.past_ids", "output.cosine_all_items").check(sandbox);
}

TEST_CASE("An imported model answers, explains, is measured and compressed, and is not trained on", "[cli][import]") {
  const Sandbox sandbox;
  imported(sandbox, golden("gsasrec_untied"));
  const Recorded recorded("gsasrec_untied", "input.histories", "output.scores");
  recorded.check(sandbox);
  CHECK(sandbox.attune("recommend --model model --history 3,1,4 -k 5 --json").json()["source"] == "model");
  const auto explained = sandbox.attune("explain --model model --history 3,1,4 --item 9 --json").json();
  CHECK(explained["contributions"].size() == 3);
  REQUIRE(sandbox.attune("compress model --output small").status == 0);
  recorded.check(sandbox, "small", 0.05f);

  std::string events = "user,item,timestamp\n";
  for (int user = 0; user < 20; ++user) {
    for (int step = 0; step < 6; ++step) {
      events += "u" + std::to_string(user) + ',' + std::to_string(1 + (user + 7 * step) % 30) + ',' +
                std::to_string(1'700'000'000 + 1000 * step + user) + '\n';
    }
  }
  sandbox.write("events.csv", events);
  const Run measured = sandbox.attune("evaluate --model model --interactions events.csv --split leave-one-out --json");
  INFO(measured.err);
  CHECK(measured.status == 0);
  check_failure(sandbox.attune("update --model model --interactions events.csv --output next --quiet"),
                "only served here");
  check_failure(sandbox.attune("train --interactions events.csv --teacher model --preset sasrec-small --split none "
                               "--output next --quiet"),
                "teacher");
  sandbox.write("padded.json", R"({"encoder": {"position_origin": "newest"}})");
  check_failure(sandbox.attune("train --interactions events.csv --config padded.json --output next --quiet"),
                "position_origin");
  CHECK_FALSE(std::filesystem::exists(sandbox.path("next")));
}

TEST_CASE("Items get their ids from a list or a table", "[cli][import]") {
  const Sandbox sandbox;
  std::string list = "[PAD]\n", table = "row;item;title\n0;[PAD];\n";
  for (int row = 1; row <= 30; ++row) list += "film " + std::to_string(row) + "\r\n";
  for (int row = 30; row >= 1; --row) table += std::to_string(row) + ";film " + std::to_string(row) + ";\n";
  sandbox.write("ids.txt", list);
  sandbox.write("ids.csv", table);
  sandbox.write("marked.txt", "\xEF\xBB\xBF" + list);
  const std::string file = golden("recbole_sasrec_tanh");
  for (const std::string ids : {"ids.txt", "ids.csv", "marked.txt"}) {
    imported(sandbox, "--item-ids " + ids + ' ' + file);
    const auto scores = sandbox.attune("score --model model --history 'film 3,film 1' --json").json();
    CHECK(scores["source"] == "model");
    CHECK(scores["scores"].begin().key() == "film 1");
  }
  const auto before = contents(sandbox.path("model"));
  const auto refused = [&](const std::string& content, const std::string& named) {
    sandbox.write("wrong", content);
    check_failure(sandbox.attune("import --output model --item-ids wrong " + file), named);
    CHECK(contents(sandbox.path("model")) == before);
  };
  refused(list + "one more\n", "item ids: expected 30, one for each row of an item, found 31");
  refused("film 1\n\nfilm 3\n", "wrong:2: item: expected an id, found none");
  refused("film 1\nfilm 2\nfilm 1\n", "wrong:3: item: expected ids that differ");
  refused("", "wrong: expected item ids, found none");
  refused("item,row\na,1\nb,3\n", "row 2 is missing");
  refused("item,row\na,1\nb,1\n", "stands there twice");
  refused("item,row\na,first\n", "row: expected a whole number");
  refused("item,row\na\n", "expected 2 fields, found 1");
}

TEST_CASE("What a file does not say is an option, and what is wrong leaves nothing behind", "[cli][import]") {
  const Sandbox sandbox;
  const std::string file = golden("pmixer_sasrec_2020");
  check_failure(sandbox.attune("import --output model --variant 2024 " + file), "setting variant: expected");
  check_failure(sandbox.attune("import --output model --variant 2020 --heads 4 " + file), "num_heads");
  check_failure(sandbox.attune("import --output model --variant 2020 --dialect sasrec " + file), "sasrec", 2);
  check_failure(sandbox.attune("import --output model --variant 2020 --dialect recbole " + file), "is missing");
  check_failure(sandbox.attune("import --output model --variant 2020 missing.safetensors"), "missing.safetensors");
  check_failure(sandbox.attune("import --output model"), "file", 2);
  sandbox.write("settings.json", R"({"num_heads": [2]})");
  check_failure(sandbox.attune("import --output model --variant 2020 --config settings.json " + file), "num_heads");
  std::filesystem::copy_file(file, sandbox.path("cut.safetensors"));
  std::filesystem::resize_file(sandbox.path("cut.safetensors"), 9000);
  check_failure(sandbox.attune("import --output model --variant 2020 cut.safetensors"), "cut.safetensors");
  CHECK_FALSE(std::filesystem::exists(sandbox.path("model")));

  sandbox.write("settings.json", R"({"norm_first": true, "num_heads": 2, "layernorm_eps": 1e-08})");
  CHECK(imported(sandbox, "--config settings.json " + golden("pmixer_sasrec_preln_d32_h2"))["variant"] == "pre_ln");
  CHECK(imported(sandbox, "--variant 2020 --heads 2 " + file)["variant"] == "2020");
  std::filesystem::create_directory(sandbox.path("mine"));
  sandbox.write("mine/letter.txt", "dear reader");
  check_failure(sandbox.attune("import --variant 2020 --output mine " + file), "\"mine\" is not replaced");
  CHECK(sandbox.attune("import --variant 2020 --output model " + file).out.find("encodes its history anew") !=
        std::string::npos);
}

TEST_CASE("A model in RecBole's form is imported to the same bits", "[cli][export]") {
  const Sandbox sandbox;
  imported(sandbox, golden("recbole_sasrec_relu_d32_h4"));
  const Run run = sandbox.attune("export model --format recbole --output out.safetensors --json");
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.json()["files"] == nlohmann::json({"out.safetensors", "out.ids.txt"}));
  REQUIRE(sandbox.attune("import out.safetensors --item-ids out.ids.txt --output again").status == 0);
  CHECK(contents(sandbox.path("again")) == contents(sandbox.path("model")));

  imported(sandbox, golden("hstu_d50_b2_h1"));
  check_failure(sandbox.attune("export model --format recbole --output no.safetensors"), "block");
  check_failure(sandbox.attune("export model --format csv --output no.safetensors"), "--format", 2);
  CHECK_FALSE(std::filesystem::exists(sandbox.path("no.safetensors")));
  CHECK_FALSE(std::filesystem::exists(sandbox.path("no.ids.txt")));
}

TEST_CASE("Vectors of items and users are written as NumPy's files", "[cli][export]") {
  const Sandbox sandbox;
  sandbox.train();
  const Run run = sandbox.attune("export model --format npy --output vectors --json");
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.json()["files"] == nlohmann::json({"items.npy", "items.ids.txt", "users.npy", "users.ids.txt"}));
  CHECK(run.json()["users"] == 30);
  CHECK(sandbox.read("vectors/users.npy").find("'shape': (30, ") != std::string::npos);
  CHECK(sandbox.read("vectors/items.npy").find("'shape': (20, ") != std::string::npos);
  CHECK(std::ranges::count(sandbox.read("vectors/items.ids.txt"), '\n') == 20);

  sandbox.attune("train --quiet --interactions events.csv --output counts --preset markov");
  check_failure(sandbox.attune("export counts --format npy --output none"), "expected an encoder");
  CHECK_FALSE(std::filesystem::exists(sandbox.path("none")));
}

TEST_CASE("What cannot be exported whole leaves nothing new behind", "[cli][export]") {
  const Sandbox sandbox;
  const std::string file = golden("recbole_sasrec_relu_d32_h4");
  imported(sandbox, file);
  const std::size_t items = sandbox.attune("inspect model --json").json()["model"]["items"].get<std::size_t>();
  const auto with_first = [&](const std::string& first) {
    std::string table = "item\n\"" + first + "\"\n";
    for (std::size_t item = 1; item < items; ++item) table += "film " + std::to_string(item) + '\n';
    sandbox.write("ids.csv", table);
    imported(sandbox, "--item-ids ids.csv " + file);
  };
  for (const std::string first : {"two\nlines", "[PAD]", "item", "a|item"}) {
    INFO(first);
    with_first(first);
    check_failure(sandbox.attune("export model --format recbole --output out.safetensors"), "in line 1");
    check_failure(sandbox.attune("export model --format npy --output vectors"), "in line 1");
    CHECK_FALSE(std::filesystem::exists(sandbox.path("out.safetensors")));
    CHECK_FALSE(std::filesystem::exists(sandbox.path("vectors")));
  }
  with_first("film 0");
  const auto before = contents(sandbox.path("model"));
  for (const std::string output : {"model", "model/weights.safetensors", "./model/encoder"}) {
    check_failure(sandbox.attune("export model --format recbole --output " + output), "outside the model directory");
  }
  CHECK(contents(sandbox.path("model")) == before);
  std::filesystem::create_directory(sandbox.path("vectors"));
  sandbox.write("vectors/users.npy", "of another model");
  check_failure(sandbox.attune("export model --format npy --output vectors"), "users.npy");
  CHECK_FALSE(std::filesystem::exists(sandbox.path("vectors/items.npy")));
}
