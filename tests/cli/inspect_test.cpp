// SPDX-License-Identifier: Apache-2.0
#include "attune/model/checkpoint.hpp"
#include "attune/model/safetensors.hpp"
#include "attune/model/transformer_encoder.hpp"
#include "catch.hpp"
#include "cli/tool.hpp"

using attune::test::Run;
using attune::test::Sandbox;

TEST_CASE("inspect lists the tensors and notes of a model directory", "[cli][inspect]") {
  const Sandbox sandbox;
  sandbox.train("--seed 3");
  const Run run = sandbox.attune("inspect model --json");
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto report = run.json();
  CHECK(report["metadata"].is_object());
  CHECK(report["tensors"].size() > 5);
  for (const auto& tensor : report["tensors"]) {
    CHECK(tensor["name"].is_string());
    CHECK(tensor["dtype"].is_string());
    CHECK(tensor["shape"].is_array());
  }
  CHECK(report["model"]["items"] == 20);
  CHECK(report["model"]["users"] == 30);
  CHECK(report["model"]["interactions"] == 360);
  CHECK(report["notes"]["split"] == "temporal:0.9");
  CHECK(report["notes"]["seed"] == "3");
  CHECK(sandbox.attune("inspect model").out.find("temporal:0.9") != std::string::npos);
}

TEST_CASE("inspect shows a note that is nested too deep as the text it is", "[cli][inspect]") {
  const Sandbox sandbox;
  sandbox.train();
  std::string deep = "0";
  for (int level = 0; level < 17; ++level) deep = "{\"a\": " + deep + "}";
  for (int doubling = 0; doubling < 12; ++doubling) deep.replace(deep.find('0'), 1, deep);
  auto model = attune::TrainedModel::load(sandbox.path("model"));
  model.notes["config"] = deep;
  model.save(sandbox.path("model"));
  const Run run = sandbox.attune("inspect model");
  CHECK(run.status == 0);
  CHECK(run.out.find(deep) != std::string::npos);
}

TEST_CASE("inspect lists the tensors of a safetensors file", "[cli][inspect]") {
  const Sandbox sandbox;
  const Run run = sandbox.attune("inspect --json '" ATTUNE_TEST_DIR "/golden/optimizer_adam.safetensors'");
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto report = run.json();
  CHECK(!report["tensors"].empty());
  CHECK(!report["metadata"].empty());
}

TEST_CASE("A damaged or newer model is refused by every verb with one line that names the file", "[cli][inspect]") {
  const Sandbox sandbox;
  sandbox.train();
  const auto check = [&](const std::string& named) {
    for (const std::string verb :
         {"inspect model", "recommend --model model --user u1", "score --model model --history i1",
          "evaluate --model model --interactions events.csv"}) {
      const Run run = sandbox.attune(verb + " --json");
      INFO(verb << '\n' << run.err);
      CHECK(run.status == 1);
      CHECK(run.out.empty());
      CHECK(run.err.find(named) != std::string::npos);
      CHECK(run.err.find("attune: ") != std::string::npos);
    }
  };
  const std::string weights = sandbox.read("model/weights.safetensors");
  sandbox.write("model/weights.safetensors", weights.substr(0, weights.size() / 2));
  check("weights.safetensors");
  std::string flipped = weights;
  flipped[flipped.size() - 7] = static_cast<char>(flipped[flipped.size() - 7] ^ 1);
  sandbox.write("model/weights.safetensors", flipped);
  check("weights.safetensors");
  sandbox.write("model/weights.safetensors", weights);
  CHECK(sandbox.attune("inspect model --json").status == 0);

  const std::string manifest = sandbox.read("model/manifest.json");
  auto newer = nlohmann::json::parse(manifest);
  for (auto& [key, value] : newer.items()) {
    if (key.find("version") != std::string::npos && value.is_number_integer()) value = 99;
  }
  sandbox.write("model/manifest.json", newer.dump());
  check("99");
  sandbox.write("model/manifest.json", manifest.substr(0, manifest.size() / 2));
  check("manifest.json");
}

TEST_CASE("recommend and score check a large model before they answer", "[cli][inspect]") {
  constexpr std::size_t kItems = 700;
  const Sandbox sandbox;
  attune::IdMap ids;
  for (std::size_t item = 0; item < kItems; ++item) ids.insert("i" + std::to_string(item));
  attune::EncoderConfig config;
  config.embedding_dim = 16;
  const std::shared_ptr<attune::SequenceEncoder<float>> encoder = attune::make_encoder(config, kItems);
  encoder->initialize(1);
  attune::TrainedModel model;
  model.item_ids = std::make_shared<const attune::IdMap>(std::move(ids));
  model.encoder = encoder;
  model.save(sandbox.path("model"));
  REQUIRE(sandbox.attune("recommend --model model --history i1,i2").status == 0);
  std::string weights = sandbox.read("model/weights.safetensors");
  const auto file = attune::SafetensorsFile::open(sandbox.path("model/weights.safetensors"));
  const std::size_t data = weights.size() - file.tensors().back().end;
  char& byte = weights[data + file.find("items.weight")->begin + kItems / 2 * 16 * sizeof(float)];
  byte = static_cast<char>(byte ^ 16);
  sandbox.write("model/weights.safetensors", weights);
  for (const std::string verb : {"recommend", "score"}) {
    const Run run = sandbox.attune(verb + " --model model --history i1,i2");
    INFO(run.err);
    CHECK(run.status == 1);
    CHECK(run.err.find("weights.safetensors") != std::string::npos);
  }
}

TEST_CASE("What is no model says what was expected", "[cli][inspect]") {
  const Sandbox sandbox;
  for (const std::string path : {"missing", "."}) {
    const Run run = sandbox.attune("inspect " + path);
    INFO(run.err);
    CHECK(run.status == 1);
    CHECK(run.err.rfind("attune: ", 0) == 0);
  }
  sandbox.write("text.safetensors", "this is no header");
  const Run run = sandbox.attune("inspect text.safetensors");
  CHECK(run.status == 1);
  CHECK(run.err.find("text.safetensors") != std::string::npos);
}
