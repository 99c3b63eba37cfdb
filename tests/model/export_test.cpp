// SPDX-License-Identifier: Apache-2.0
#include "attune/model/export.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "attune/error.hpp"
#include "attune/model/import.hpp"
#include "attune/model/safetensors.hpp"
#include "attune/model/scorer_rows.hpp"
#include "catch.hpp"
#include "errors.hpp"
#include "model/vector_file.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using attune::test::TemporaryDirectory;

namespace {

std::string golden_file(const std::string& name) {
  return std::string(ATTUNE_TEST_DIR) + "/golden/" + name + ".safetensors";
}

std::string written(const TemporaryDirectory& directory, const std::string& name, std::span<const std::byte> bytes) {
  test::write_bytes(directory / name, bytes);
  return (directory / name).string();
}

void check_refused(const TrainedModel& model, const std::string& word) {
  CHECK(test::code_of([&] { export_recbole(model); }, word) == ErrorCode::unsupported);
}

// The last of each field of a message of protocol buffers; numbers as text.
std::map<unsigned, std::string> fields_of(std::string_view message) {
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      REQUIRE_FALSE(message.empty());
      const auto byte = static_cast<unsigned char>(message.front());
      message.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
  };
  std::map<unsigned, std::string> fields;
  while (!message.empty()) {
    const std::uint64_t key = varint(), value = varint();
    if (key % 8 == 0) {
      fields[static_cast<unsigned>(key / 8)] = std::to_string(value);
      continue;
    }
    REQUIRE(key % 8 == 2);
    REQUIRE(value <= message.size());
    fields[static_cast<unsigned>(key / 8)] = message.substr(0, value);
    message.remove_prefix(value);
  }
  return fields;
}

}  // namespace

TEST_CASE("What is written by RecBole's names is what RecBole wrote, and is read to the same bits", "[model][export]") {
  const std::string name = GENERATE("recbole_sasrec_gelu_d64_h2", "recbole_sasrec_relu_d32_h4", "recbole_sasrec_swish",
                                    "recbole_sasrec_sigmoid", "recbole_sasrec_tanh");
  const TemporaryDirectory directory;
  const TrainedModel model = import_model(golden_file(name));
  const std::string file = written(directory, "out.safetensors", export_recbole(model));
  const SafetensorsFile there = SafetensorsFile::open(golden_file(name)), here = SafetensorsFile::open(file);
  for (const TensorInfo& tensor : here.tensors()) {
    INFO(tensor.name);
    CHECK(here.floats(tensor) == there.floats(there.require("model." + tensor.name, tensor.shape)));
  }
  const TrainedModel again = import_model(file);
  CHECK(std::ranges::equal(again.encoder->weights(), model.encoder->weights()));
  CHECK(std::ranges::equal(again.encoder->items().chunk(0), model.encoder->items().chunk(0)));
  CHECK(again.encoder->config().layer_norm_epsilon == model.encoder->config().layer_norm_epsilon);
  CHECK(again.encoder->config().activation == model.encoder->config().activation);
}

TEST_CASE("What RecBole has no place for is named", "[model][export]") {
  TrainedModel model = import_model(golden_file("recbole_sasrec_tanh"));
  model.blend_weight = 0.5;
  check_refused(model, "blend_weight");
  check_refused(import_model(golden_file("hstu_d50_b2_h1")), "block: expected \"sasrec\", found \"hstu\"");
  check_refused(import_model(golden_file("gsasrec_tied")), "position_origin");
  model.encoder = nullptr;
  check_refused(model, "expected an encoder");
}

TEST_CASE("An ONNX graph is one message that holds the weights, with operators of version 17", "[model][export]") {
  const TrainedModel model = import_model(golden_file("pmixer_sasrec_2020"));
  const std::vector<std::byte> bytes = export_onnx(model);
  const std::map<unsigned, std::string> file = fields_of({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  CHECK(fields_of(file.at(8)).at(2) == "17");
  const std::string& graph = file.at(7);
  for (const char* operation : {"Gather", "Softmax", "LayerNormalization", "Trilu"}) {
    CHECK(graph.find(operation) != std::string::npos);
  }
  const std::span<const float> items = model.encoder->items().chunk(0);
  CHECK(graph.find({reinterpret_cast<const char*>(items.data()), items.size_bytes()}) != std::string::npos);
  for (const Parameter& parameter : model.encoder->parameters().list())
    CHECK(graph.find(parameter.name) != std::string::npos);

  CHECK_THROWS_WITH(export_onnx(import_model(golden_file("hstu_d50_b2_h1"))), "export to ONNX: block: expected sasrec");
}

TEST_CASE("The product of exported vectors is the score", "[model][export]") {
  const std::string name = GENERATE("gsasrec_untied", "rectools_hstu_positions");
  TrainedModel model = import_model(golden_file(name));
  Histories histories;
  histories.item_ids = model.item_ids;
  auto users = std::make_shared<IdMap>();
  users->insert("u");
  users->insert("nobody");
  histories.user_ids = users;
  histories.items = {3, 1, 4};
  histories.offsets = {0, 3, 3};
  model.histories = std::make_shared<const Histories>(histories);
  const ExportedVectors items = export_item_vectors(model), of_users = export_user_vectors(model);
  REQUIRE(items.values.size() == model.num_items() * items.width);
  REQUIRE(of_users.values.size() == 2 * of_users.width);

  Workspace workspace;
  std::vector<float> vector(items.width);
  model.encoder->encode(vector, {histories.items}, {}, workspace);
  const ScorerRows<float> rows(model.encoder->outputs(), model.encoder->config().score);
  std::vector<float> scores(rows.size());
  REQUIRE(rows.prepare(vector, workspace.query));
  rows.dot(scores.data(), workspace.query.data(), 0, rows.size());
  for (std::size_t item = 0; item < scores.size(); ++item) {
    const float product = std::inner_product(of_users.values.begin(), of_users.values.begin() + 8,
                                             items.values.begin() + static_cast<std::ptrdiff_t>(item * 8), 0.0f);
    CHECK(product == Approx(scores[item]).margin(1e-5));
  }
  CHECK(std::all_of(of_users.values.begin() + 8, of_users.values.end(), [](float x) { return x == 0; }));

  model.histories = nullptr;
  CHECK_THROWS_WITH(export_user_vectors(model), "export: expected histories of users, found none");
}

TEST_CASE("NumPy's files are read back as they were", "[model][export]") {
  const TemporaryDirectory directory;
  std::vector<float> values(3 * 50);
  std::iota(values.begin(), values.end(), -7.5f);
  const detail::VectorFile read = detail::read_vectors(written(directory, "v.npy", npy_bytes(values, 50)), "");
  CHECK((read.rows == 3 && read.width == 50));
  CHECK(read.values == values);
  CHECK(npy_bytes(values, 50).size() % 64 == values.size() * 4 % 64);
}
