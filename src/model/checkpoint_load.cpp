// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "attune/error.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/model/safetensors.hpp"
#include "attune/model/transformer_encoder.hpp"
#include "model/counts_file.hpp"
#include "model/histories_file.hpp"
#include "model/manifest.hpp"
#include "model/model_files.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1 {
namespace {

namespace fs = std::filesystem;
using detail::kCountsFile;
using detail::kHistoriesFile;
using detail::kItemIdsFile;
using detail::kItemsTensor;
using detail::kManifestFile;
using detail::kPositionsTensor;
using detail::kWeightsFile;
using detail::Manifest;
using Bytes = std::vector<std::byte>;

class ModelDirectory {
 public:
  explicit ModelDirectory(const fs::path& directory)
      : directory_(directory),
        text_(platform::read_file(directory / kManifestFile, detail::kMaxManifestBytes)),
        manifest_(detail::parse_manifest(detail::text_of(text_), name_of(kManifestFile))) {}

  const Manifest& manifest() const noexcept { return manifest_; }
  // Whether another model has taken the place of this one since.
  bool replaced() const { return platform::read_file(directory_ / kManifestFile, detail::kMaxManifestBytes) != text_; }
  std::string name_of(const char* file) const { return (directory_ / file).string(); }

  // The content of a file that has the size and the checksum that the manifest gives.
  Bytes read(const char* file) const {
    const auto listed = manifest_.files.find(file);
    if (listed == manifest_.files.end()) fail(kManifestFile, std::string("files.") + file + " is missing");
    const auto [size, crc32] = listed->second;
    platform::RegularFile opened(directory_ / file);
    if (opened.size() != size) {
      fail(file, "expected " + std::to_string(size) + " bytes, found " + std::to_string(opened.size()));
    }
    Bytes bytes = opened.read(size);
    const std::uint32_t found = detail::crc32_of(bytes);
    if (found != crc32) fail(file, "expected checksum " + detail::hex_of(crc32) + ", found " + detail::hex_of(found));
    return bytes;
  }

  [[noreturn]] void fail(const char* file, const std::string& problem) const {
    throw Error(ErrorCode::corrupt_file, name_of(file) + ": " + problem);
  }
  void require_count(const char* file, const char* what, std::uint64_t expected, std::uint64_t found) const {
    if (expected == found) return;
    fail(file, "expected " + std::to_string(expected) + " " + what + ", found " + std::to_string(found));
  }
  void require_ids(const char* file, const Manifest::Ids& expected, const IdMap& found) const {
    require_count(file, "ids", expected.count, found.size());
    if (expected.kind != found.kind()) fail(file, "the ids are of another kind than the manifest says");
  }

 private:
  fs::path directory_;
  Bytes text_;  // of the manifest
  Manifest manifest_;
};

// The tensors that make an encoder large are there, before one is made: a configuration alone takes no memory.
void check_tensors(const SafetensorsFile& file, const EncoderConfig& config) {
  if (config.absolute_positions) {
    file.require(kPositionsTensor, std::array{config.max_sequence_length, config.embedding_dim});
  }
  for (std::size_t index = 0; index < config.num_blocks; ++index) {
    ParameterList block;
    if (config.block == BlockKind::hstu) {
      HstuBlock<float>(config, index, block);
    } else {
      SasrecBlock<float>(config, index, block);
    }
    for (const Parameter& parameter : block.list()) file.require(parameter.name, parameter.shape);
  }
}

std::shared_ptr<const SequenceEncoder<float>> load_encoder(const ModelDirectory& directory, std::size_t num_items) {
  const EncoderConfig& config = *directory.manifest().encoder;
  const auto file = SafetensorsFile::parse(directory.read(kWeightsFile), directory.name_of(kWeightsFile));
  const TensorInfo& rows = file.require(kItemsTensor, std::array{num_items, config.embedding_dim});
  check_tensors(file, config);

  std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(config, num_items);
  for (const Parameter& parameter : encoder->parameters().list()) {
    const std::vector<float> values = file.floats(file.require(parameter.name, parameter.shape));
    std::ranges::copy(values, encoder->weights().begin() + static_cast<std::ptrdiff_t>(parameter.offset));
  }
  const std::vector<float> items = file.floats(rows);
  for (std::size_t row = 0; row < num_items; ++row) {
    std::copy_n(items.begin() + static_cast<std::ptrdiff_t>(row * config.embedding_dim), config.embedding_dim,
                encoder->items().row(row).begin());
  }
  directory.require_count(kWeightsFile, "tensors", encoder->parameters().list().size() + 1, file.tensors().size());
  return encoder;
}

TrainedModel load_from(const ModelDirectory& directory) {
  const Manifest& manifest = directory.manifest();
  TrainedModel model;
  model.version = manifest.version;
  model.notes = manifest.notes;
  model.item_ids = std::make_shared<const IdMap>(
      detail::parse_item_ids(directory.read(kItemIdsFile), directory.name_of(kItemIdsFile)));
  directory.require_ids(kItemIdsFile, manifest.items, *model.item_ids);
  model.blend_weight = manifest.blend_weight;
  if (model.blend_weight != 0 && !(manifest.encoder && manifest.counts)) {
    directory.fail(kManifestFile, "a blend weight, but not both an encoder and counts");
  }
  model.calibration = manifest.calibration;
  model.ranker = manifest.ranker;
  if (!model.ranker.empty() && !manifest.encoder) directory.fail(kManifestFile, "a ranker, but no encoder");
  if (manifest.encoder) model.encoder = load_encoder(directory, model.num_items());
  if (manifest.popularity || manifest.counts) {
    auto parts = detail::parse_counts(directory.read(kCountsFile), directory.name_of(kCountsFile), model.num_items(),
                                      manifest.popularity, manifest.counts);
    model.popularity = std::move(parts.popularity);
    model.counts = std::move(parts.counts);
  }
  if (manifest.users) {
    model.histories = std::make_shared<const Histories>(
        detail::parse_histories(directory.read(kHistoriesFile), model.item_ids, directory.name_of(kHistoriesFile)));
    directory.require_ids(kHistoriesFile, *manifest.users, *model.histories->user_ids);
  }
  return model;
}

}  // namespace

// A model that is saved over this one in the middle makes the files disagree: then the new one is loaded.
TrainedModel TrainedModel::load(const std::string& path) {
  constexpr int kAttempts = 5;
  for (int attempt = 1;; ++attempt) {
    const ModelDirectory directory(path);
    try {
      return load_from(directory);
    } catch (const Error&) {
      if (attempt == kAttempts || !directory.replaced()) throw;
    }
  }
}

}  // namespace attune::inline v0_1
