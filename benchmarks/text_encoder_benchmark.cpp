// SPDX-License-Identifier: Apache-2.0

// How long does a text take to become a vector? A BERT of MiniLM's shape (6 layers of width 384, 12 heads, 1,536
// inside) with random weights: one text of so many tokens, and titles of items, eight tokens each, together. One
// thread.

#include <benchmark/benchmark.h>

#include <attune/executor.hpp>
#include <attune/model/safetensors.hpp>
#include <attune/model/text_encoder.hpp>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDim = 384, kLayers = 6, kInner = 1536, kPositions = 512, kWords = 30'000;

// A checkpoint as it would be published.
class Checkpoint {
 public:
  Checkpoint()
      : path_(fs::temp_directory_path() / ("attune-text-benchmark-" + std::to_string(std::random_device()()))) {
    fs::create_directory(path_);
    std::ofstream(path_ / "config.json")
        << R"({"model_type": "bert", "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
            "intermediate_size": 1536, "max_position_embeddings": 512, "type_vocab_size": 2, "vocab_size": 30000})";
    std::ofstream vocabulary(path_ / "vocab.txt");
    vocabulary << "[UNK]\n[CLS]\n[SEP]\n";
    for (std::size_t word = 3; word < kWords; ++word) vocabulary << word << '\n';
    write_tensors();
  }
  ~Checkpoint() { fs::remove_all(path_); }
  static const attune::TextEncoder& encoder() {
    static const attune::TextEncoder encoder = attune::TextEncoder::load(Checkpoint().path_);
    return encoder;
  }

 private:
  void write_tensors() {
    add("embeddings.word_embeddings.weight", {kWords, kDim});
    add("embeddings.position_embeddings.weight", {kPositions, kDim});
    add("embeddings.token_type_embeddings.weight", {2, kDim});
    add_pair("embeddings.LayerNorm", {kDim});
    for (std::size_t layer = 0; layer < kLayers; ++layer) {
      const std::string prefix = "encoder.layer." + std::to_string(layer) + '.';
      for (const char* part : {"query", "key", "value"}) add_pair(prefix + "attention.self." + part, {kDim, kDim});
      add_pair(prefix + "attention.output.dense", {kDim, kDim});
      add_pair(prefix + "attention.output.LayerNorm", {kDim});
      add_pair(prefix + "intermediate.dense", {kInner, kDim});
      add_pair(prefix + "output.dense", {kDim, kInner});
      add_pair(prefix + "output.LayerNorm", {kDim});
    }
    const std::vector<std::byte> bytes = writer_.bytes();
    std::ofstream(path_ / "model.safetensors", std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  void add(const std::string& name, const std::vector<std::size_t>& shape) {
    std::size_t size = 1;
    for (const std::size_t extent : shape) size *= extent;
    std::vector<float>& values = tensors_.emplace_back(size);
    std::uniform_real_distribution<float> uniform(-0.05f, 0.05f);
    for (float& value : values) value = uniform(random_);
    writer_.add(name, shape, std::span<const float>(values));
  }
  void add_pair(const std::string& name, const std::vector<std::size_t>& shape) {
    add(name + ".weight", shape);
    add(name + ".bias", {shape.front()});
  }

  fs::path path_;
  std::mt19937 random_{1};
  std::vector<std::vector<float>> tensors_;
  attune::SafetensorsWriter writer_;
};

// So many tokens with [CLS] and [SEP].
std::string text_of(std::size_t tokens, std::size_t seed) {
  std::string text;
  for (std::size_t word = 2; word < tokens; ++word) {
    text += std::to_string(3 + (seed * 7919 + word * 104729) % (kWords - 3)) + ' ';
  }
  return text;
}

void encode(benchmark::State& state, std::size_t texts, std::size_t tokens) {
  const attune::TextEncoder& encoder = Checkpoint::encoder();
  std::vector<std::string> all;
  for (std::size_t i = 0; i < texts; ++i) all.push_back(text_of(tokens, i));
  attune::InlineExecutor executor;
  for (auto _ : state) {
    const attune::TextEncoder::Vectors vectors = encoder.encode(all, executor);
    if (vectors.rows.size() != texts * kDim || vectors.truncated != 0) state.SkipWithError("texts were lost");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(texts));
}

void text(benchmark::State& state) { encode(state, 1, static_cast<std::size_t>(state.range(0))); }
void titles(benchmark::State& state) { encode(state, static_cast<std::size_t>(state.range(0)), 8); }
BENCHMARK(text)->ArgName("tokens")->Arg(8)->Arg(32)->Arg(128)->Unit(benchmark::kMillisecond);
BENCHMARK(titles)->ArgName("items")->Arg(24)->Arg(10'000)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
