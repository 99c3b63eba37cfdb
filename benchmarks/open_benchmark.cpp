// SPDX-License-Identifier: Apache-2.0

// How long does it take from a model directory to the first answer? A SASRec model of width 64 with two blocks, text
// ids and popularity, as the files lie in the system's cache: mapped, and read into memory.

#include <benchmark/benchmark.h>

#include <attune/model/checkpoint.hpp>
#include <attune/model/transformer_encoder.hpp>
#include <attune/recommender.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::string name_of(std::size_t item) { return "item-" + std::to_string(1'000'000 + item); }

// Gone at the end. The last one made is kept: a benchmark is called more than once.
class Directory {
 public:
  static const Directory& of(std::size_t items) {
    static std::unique_ptr<Directory> last;
    if (!last || last->items_ != items) {
      last.reset();
      last = std::make_unique<Directory>(items);
    }
    return *last;
  }
  explicit Directory(std::size_t items)
      : items_(items),
        path_(fs::temp_directory_path() / ("attune-open-benchmark-" + std::to_string(std::random_device()()))) {
    attune::EncoderConfig config;
    config.embedding_dim = 64;
    config.num_blocks = 2;
    std::shared_ptr<attune::SequenceEncoder<float>> encoder = attune::make_encoder(config, items);
    encoder->initialize(1);
    attune::IdMap ids;
    std::vector<std::uint64_t> events;
    for (std::size_t item = 0; item < items; ++item) {
      ids.insert(name_of(item));
      events.push_back(1 + 1'000'000 / (1 + item));
    }
    attune::TrainedModel model;
    model.item_ids = std::make_shared<const attune::IdMap>(std::move(ids));
    model.encoder = std::move(encoder);
    model.popularity = std::make_shared<const attune::PopularityModel>(std::move(events));
    model.save(path_.string());
  }
  ~Directory() { fs::remove_all(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::size_t items_;
  fs::path path_;
};

void open_and_answer(benchmark::State& state, attune::ModelAccess access) {
  const auto items = static_cast<std::size_t>(state.range(0));
  const Directory& directory = Directory::of(items);
  for (auto _ : state) {
    const auto recommender = attune::Recommender::open(directory.path(), {.model_access = access});
    const attune::Answer answer = recommender.recommend_history({name_of(items / 2), name_of(items / 3)});
    if (answer.items.size() != 10 || answer.source != attune::Source::model) state.SkipWithError("no answer");
  }
}

void catalogues(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("items")->Arg(3'706)->Arg(100'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);
}
BENCHMARK_CAPTURE(open_and_answer, mapped, attune::ModelAccess::mapped)->Apply(catalogues);
BENCHMARK_CAPTURE(open_and_answer, in_memory, attune::ModelAccess::in_memory)->Apply(catalogues);

}  // namespace

BENCHMARK_MAIN();
