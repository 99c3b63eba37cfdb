// SPDX-License-Identifier: Apache-2.0

// attune compress: a model with the weights of its encoder in 8 bits.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "attune/error.hpp"
#include "attune/model/checkpoint.hpp"
#include "cli/input.hpp"
#include "cli/verbs.hpp"

namespace attune::cli {
namespace {

namespace fs = std::filesystem;

struct Sizes {
  explicit Sizes(const fs::path& directory) : weights(fs::file_size(directory / "weights.safetensors")) {
    for (const auto& entry : fs::directory_iterator(directory)) all += entry.file_size();
  }
  std::uintmax_t weights, all = 0;
};

}  // namespace

void run(const CompressOptions& options, Console& console) {
  check_config(options.common);
  TrainedModel model = TrainedModel::load(options.model);
  if (!model.encoder) throw Error(ErrorCode::invalid_argument, options.model + ": expected an encoder, found none");
  const Sizes before(options.model);
  if (model.weight_storage != WeightStorage::int8) {
    model.notes["compressed_from"] = model.version;
    model.weight_storage = WeightStorage::int8;
    model.version.clear();
  }
  model.save(options.output);
  const Sizes after(options.output);
  if (console.json()) {
    return console.object({{"weights_bytes", {{"before", before.weights}, {"after", after.weights}}},
                           {"model_bytes", {{"before", before.all}, {"after", after.all}}},
                           {"model", options.output}});
  }
  print_table(console.text(), {{"bytes", "before", "after"},
                               {"weights", grouped(before.weights), grouped(after.weights)},
                               {"model", grouped(before.all), grouped(after.all)}});
  console.text() << "model written to " << options.output << '\n';
}

}  // namespace attune::cli
