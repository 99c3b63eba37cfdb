// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <filesystem>

#include "attune/executor.hpp"
#include "attune/model/text_encoder.hpp"
#include "catch.hpp"
#include "cli/tool.hpp"

using attune::test::Run;
using attune::test::Sandbox;

namespace {

const std::string kModel = ATTUNE_TEST_DIR "/golden/bert_d24_l2_h2";
const std::string kItems =
    "item,title,description,year\n"
    "i1,w5 w6,w7,1999\n"
    "i2,w9,,2001\n"
    "i1,w30,w31,2002\n"
    "\"i,3\",,\"w10, w11\",\n";

struct Array {
  std::string header;
  std::vector<float> values;
};

// A NumPy file of version 1.0.
Array read_npy(const std::string& bytes) {
  REQUIRE(bytes.size() > 10);
  REQUIRE(bytes.substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
  const std::size_t length = static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]);
  const std::size_t begin = 10 + length;
  CHECK(begin % 64 == 0);
  REQUIRE(bytes.size() >= begin);
  REQUIRE(bytes[begin - 1] == '\n');
  Array array{bytes.substr(10, length), std::vector<float>((bytes.size() - begin) / sizeof(float))};
  std::memcpy(array.values.data(), bytes.data() + begin, bytes.size() - begin);
  return array;
}

std::vector<float> vectors_of(const std::vector<std::string>& texts, const attune::TextEncoderOptions& options = {}) {
  attune::InlineExecutor executor;
  return attune::TextEncoder::load(kModel, options).encode(texts, executor).rows;
}

void check_failed(const Run& run, const std::string& named) {
  INFO(run.err);
  CHECK(run.status == 1);
  CHECK(run.out.empty());
  CHECK(run.err.rfind("attune: ", 0) == 0);
  CHECK(run.err.find(named) != std::string::npos);
}

}  // namespace

TEST_CASE("embed writes a vector for each item, and the items in the same order", "[cli][embed]") {
  const Sandbox sandbox;
  sandbox.write("items.csv", kItems);
  const std::string command = "embed --model '" + kModel + "' --items items.csv --text title,description --json";
  const Run run = sandbox.attune(command);
  INFO(run.err);
  REQUIRE(run.status == 0);
  const auto report = run.json();
  CHECK(report["items"] == 3);
  CHECK(report["dim"] == 24);
  CHECK(report["truncated"] == 0);
  CHECK(report["seconds"].get<double>() >= 0.0);
  CHECK(report["output"] == "vectors.npy");
  CHECK(report["ids"] == "vectors.ids.txt");
  const Array array = read_npy(sandbox.read("vectors.npy"));
  CHECK(array.header.find("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 24), }") == 0);
  CHECK(array.values == vectors_of({"w5 w6 w7", "w9", "w10, w11"}));
  CHECK(sandbox.read("vectors.ids.txt") == "i1\ni2\ni,3\n");

  const std::string before = sandbox.read("vectors.npy");
  REQUIRE(sandbox.attune(command + " --threads 3 --output again/of/three.npy --ids names").status == 0);
  CHECK(sandbox.read("again/of/three.npy") == before);
  CHECK(sandbox.read("names") == "i1\ni2\ni,3\n");
}

TEST_CASE("embed pools and cuts texts as it is told", "[cli][embed]") {
  const Sandbox sandbox;
  sandbox.write("items.csv", kItems);
  const Run run = sandbox.attune(
      "embed --model '" + kModel + "' --items - --text title --pooling cls --max-length 3 --output v.npy --json",
      kItems);
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.json()["truncated"] == 1);
  CHECK(run.json()["pooling"] == "cls");
  CHECK(run.json()["max_length"] == 3);
  CHECK(read_npy(sandbox.read("v.npy")).values == vectors_of({"w5", "w9", ""}, {.pooling = attune::Pooling::cls}));
  const Run text = sandbox.attune("embed --model '" + kModel + "' --items items.csv --text title");
  CHECK(text.status == 0);
  CHECK(text.out.find("3 items") != std::string::npos);
  CHECK(text.out.find("vectors.ids.txt") != std::string::npos);
  CHECK(sandbox.attune("embed --model '" + kModel + "' --items items.csv --text title --quiet").err.empty());
}

TEST_CASE("embed refuses what it cannot read, in one line that names it", "[cli][embed]") {
  const Sandbox sandbox;
  sandbox.write("items.csv", kItems);
  const std::string embed = "embed --model '" + kModel + "' --json --quiet --items ";
  check_failed(sandbox.attune(embed + "items.csv --text title,plot"), "plot");
  check_failed(sandbox.attune(embed + "missing.csv --text title"), "missing.csv");
  sandbox.write("empty.csv", "");
  check_failed(sandbox.attune(embed + "empty.csv --text title"), "empty.csv");
  sandbox.write("header.csv", "item,title\n");
  check_failed(sandbox.attune(embed + "header.csv --text title"), "header.csv");
  sandbox.write("nameless.csv", "name,title\ni1,w5\n");
  check_failed(sandbox.attune(embed + "nameless.csv --text title"), "item");
  sandbox.write("short.csv", "item,title\ni1,w5\ni2\n");
  check_failed(sandbox.attune(embed + "short.csv --text title"), "short.csv:3: ");
  sandbox.write("blank.csv", "item,title\ni1,w5\n,w6\n");
  check_failed(sandbox.attune(embed + "blank.csv --text title"), "blank.csv:3: ");
  sandbox.write("lines.csv", "item,title\n\"i1\ni2\",w5\n");
  check_failed(sandbox.attune(embed + "lines.csv --text title"), "lines.csv:2: ");
  check_failed(sandbox.attune(embed + "items.csv --text title --max-length 41"), "3 to 40");
  sandbox.write("file", "");
  check_failed(sandbox.attune(embed + "items.csv --text title --output file/vectors.npy"), "file");
  CHECK_FALSE(std::filesystem::exists(sandbox.path("vectors.npy")));
}

TEST_CASE("embed refuses a model without its vocabulary or of another kind", "[cli][embed]") {
  const Sandbox sandbox;
  sandbox.write("items.csv", kItems);
  const std::string embed = "embed --items items.csv --text title --model ";
  check_failed(sandbox.attune(embed + "missing"), "config.json");
  std::filesystem::copy(kModel, sandbox.path("bert"));
  std::filesystem::remove(sandbox.path("bert/vocab.txt"));
  check_failed(sandbox.attune(embed + "bert"), "tokenizer.json or vocab.txt");
  sandbox.write("bert/tokenizer.json", R"({"model": {"type": "BPE"}})");
  check_failed(sandbox.attune(embed + "bert"), "BPE");
  sandbox.write("bert/config.json", R"({"model_type": "roberta"})");
  check_failed(sandbox.attune(embed + "bert"), "roberta");
}
