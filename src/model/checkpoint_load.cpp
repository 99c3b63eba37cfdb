// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "attune/error.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/model/content_tower.hpp"
#include "attune/model/safetensors.hpp"
#include "attune/model/sequence_encoder.hpp"
#include "attune/model/user_prior.hpp"
#include "data/sum64.hpp"
#include "model/block_parameters.hpp"
#include "model/counts_file.hpp"
#include "model/histories_file.hpp"
#include "model/manifest.hpp"
#include "model/model_files.hpp"
#include "model/opening_file.hpp"
#include "model/safetensors_header.hpp"
#include "model/weight_codes.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1 {
namespace {

namespace fs = std::filesystem;
using detail::CheckedBlocks;
using detail::kContentFile;
using detail::kCountsFile;
using detail::kHistoriesFile;
using detail::kItemIdsFile;
using detail::kItemsTensor;
using detail::kManifestFile;
using detail::kOpeningFile;
using detail::kOutputsTensor;
using detail::kPositionsTensor;
using detail::kProfileFile;
using detail::kWeightsFile;
using detail::Manifest;
using detail::Opening;
using Bytes = std::vector<std::byte>;

bool has_opening(const Manifest& manifest) {
  const auto opening = manifest.files.find(kOpeningFile);
  return opening != manifest.files.end() && opening->second.sum64.has_value();
}

class ModelDirectory {
 public:
  ModelDirectory(const fs::path& directory, ModelAccess access)
      : directory_(directory),
        text_(platform::read_file(directory / kManifestFile, detail::kMaxManifestBytes)),
        manifest_(detail::parse_manifest(detail::as_text(text_), name_of(kManifestFile))),
        mapped_(access == ModelAccess::mapped && has_opening(manifest_)) {}

  const Manifest& manifest() const noexcept { return manifest_; }
  bool mapped() const noexcept { return mapped_; }
  // Whether another model has taken the place of this one since.
  bool replaced() const { return platform::read_file(directory_ / kManifestFile, detail::kMaxManifestBytes) != text_; }
  std::string name_of(const char* file) const { return (directory_ / file).string(); }

  // The content of a file that has the size and the checksum that the manifest gives.
  platform::MappedBytes read(const char* file) const {
    const Manifest::File& listed = listed_as(file);
    if (mapped_ && listed.sum64) {
      platform::MappedBytes mapped = map(file);
      require_sum(file, *listed.sum64, detail::sum64_of(mapped.bytes));
      return mapped;
    }
    platform::RegularFile opened(directory_ / file);
    require_size(file, opened.size());
    const auto bytes = std::make_shared<const Bytes>(opened.read(listed.size));
    require_sum(file, listed.crc32, detail::crc32_of(*bytes));
    return {*bytes, bytes};
  }
  // The content of a file that has the size that the manifest gives, and may be damaged.
  platform::MappedBytes map(const char* file) const {
    const platform::RegularFile opened(directory_ / file);
    require_size(file, opened.size());
    return opened.map();
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
  const Manifest::File& listed_as(const char* file) const {
    const auto listed = manifest_.files.find(file);
    if (listed == manifest_.files.end()) fail(kManifestFile, std::string("files.") + file + " is missing");
    return listed->second;
  }
  void require_size(const char* file, std::uint64_t found) const {
    const std::uint64_t expected = listed_as(file).size;
    if (found == expected) return;
    fail(file, "expected " + std::to_string(expected) + " bytes, found " + std::to_string(found));
  }
  template <class Sum>
  void require_sum(const char* file, Sum expected, Sum found) const {
    if (found == expected) return;
    fail(file, "expected checksum " + detail::hex_of(expected) + ", found " + detail::hex_of(found));
  }

  fs::path directory_;
  Bytes text_;  // of the manifest
  Manifest manifest_;
  bool mapped_;  // small files are checked as a whole all the same
};

// The tensors that make an encoder large are there, before one is made: a configuration alone takes no memory.
void check_tensors(const SafetensorsFile& file, const EncoderConfig& config) {
  if (config.absolute_positions) {
    file.require(kPositionsTensor, std::array{config.max_sequence_length, config.embedding_dim});
  }
  for (std::size_t index = 0; index < config.num_blocks; ++index) {
    const ParameterList block = detail::block_parameters(config, index);
    for (const Parameter& parameter : block.list()) file.require(parameter.name, parameter.shape);
  }
}

// Weights as they come from a file: an encoder without items, where in the file those are, and how many tensors all of
// it takes.
struct Weights {
  std::shared_ptr<SequenceEncoder<float>> encoder;
  const TensorInfo& items;
  std::size_t num_tensors;
};

Weights load_weights(const ModelDirectory& directory, const SafetensorsFile& file, std::size_t num_items) {
  const EncoderConfig& config = *directory.manifest().encoder;
  const WeightStorage storage = directory.manifest().weight_storage;
  const TensorInfo& items = file.require(kItemsTensor, std::array{num_items, config.embedding_dim});
  check_tensors(file, config);
  std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(config, 0);
  const std::size_t per_table = detail::has_codes(storage, items.shape) ? 2 : 1;
  std::size_t tensors = config.separate_outputs ? 2 * per_table : per_table;
  for (const Parameter& parameter : encoder->parameters().list()) {
    const TensorInfo& tensor = file.require(parameter.name, parameter.shape);
    const std::vector<float> values = detail::read_weights(file, tensor, storage, directory.name_of(kWeightsFile));
    std::ranges::copy(values, encoder->weights().begin() + static_cast<std::ptrdiff_t>(parameter.offset));
    tensors += detail::has_codes(storage, tensor.shape) ? 2 : 1;
  }
  return {std::move(encoder), items, tensors};
}

std::shared_ptr<const SequenceEncoder<float>> read_encoder(const ModelDirectory& directory, std::size_t num_items) {
  const auto [bytes, owner] = directory.read(kWeightsFile);
  const std::string name = directory.name_of(kWeightsFile);
  const auto file = SafetensorsFile::view(bytes, owner, name);
  const Weights weights = load_weights(directory, file, num_items);
  const auto fill = [&](EmbeddingTable<float>& table, const TensorInfo& tensor) {
    const std::vector<float> values = detail::read_weights(file, tensor, directory.manifest().weight_storage, name);
    table.append_rows(num_items);
    for (std::size_t row = 0; row < num_items; ++row) {
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(row * table.dim()), table.dim(), table.row(row).begin());
    }
  };
  SequenceEncoder<float>& encoder = *weights.encoder;
  fill(encoder.items(), weights.items);
  if (encoder.config().separate_outputs) {
    fill(encoder.outputs(), file.require(kOutputsTensor, std::array{num_items, encoder.dim()}));
  }
  directory.require_count(kWeightsFile, "tensors", weights.num_tensors, file.tensors().size());
  return weights.encoder;
}

// All but the items' rows is checked here. Null where the rows cannot be used as they are in the file.
std::shared_ptr<const SequenceEncoder<float>> map_encoder(const ModelDirectory& directory, std::size_t num_items,
                                                          Opening& opening) {
  const std::string name = directory.name_of(kWeightsFile);
  const platform::MappedBytes mapped = directory.map(kWeightsFile);
  const std::span<const std::byte> bytes = mapped.bytes;
  const std::size_t num_blocks = (bytes.size() + CheckedBlocks::kBlockBytes - 1) / CheckedBlocks::kBlockBytes;
  directory.require_count(kOpeningFile, "checksums of blocks", num_blocks, opening.weights_sums.size());
  const auto owner = std::make_shared<const std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>>(
      mapped.owner, opening.owner);
  const auto blocks = std::make_shared<CheckedBlocks>(bytes, opening.weights_sums, owner, name);
  const std::size_t prefix = std::min(bytes.size(), sizeof(std::uint64_t));
  blocks->require(0, prefix);
  blocks->require(0, prefix + detail::header_length(bytes.first(prefix), bytes.size(), name));
  const auto file = SafetensorsFile::view(bytes, owner, name);
  const auto begin_of = [&](const TensorInfo& tensor) {
    return static_cast<std::size_t>(file.bytes(tensor).data() - bytes.data());
  };
  for (const TensorInfo& tensor : file.tensors()) {
    if (tensor.name != kItemsTensor) blocks->require(begin_of(tensor), tensor.end - tensor.begin);
  }
  const auto [encoder, items, num_tensors] = load_weights(directory, file, num_items);
  directory.require_count(kWeightsFile, "tensors", num_tensors, file.tensors().size());
  const std::size_t begin = begin_of(items);
  if (items.dtype != DType::f32 || begin % alignof(float) != 0) return nullptr;
  blocks->expect_finite(begin, begin + items.end - items.begin);
  encoder->items() = EmbeddingTable<float>(num_items, encoder->dim(), blocks, begin, opening.nonzero);
  opening.weights = blocks;
  return encoder;
}

// Ids and encoder, from where they are; but for an encoder that cannot be used as it is in the file.
void map_parts(TrainedModel& model, const ModelDirectory& directory) {
  const Manifest& manifest = directory.manifest();
  const bool mappable = manifest.encoder && detail::can_be_mapped(*manifest.encoder, manifest.weight_storage);
  const auto [bytes, owner] = directory.read(kOpeningFile);
  auto opening = std::make_shared<Opening>(
      detail::parse_opening(bytes, owner, directory.name_of(kOpeningFile), manifest.items.count, mappable));
  const auto [ids, ids_owner] = directory.read(kItemIdsFile);
  const std::string name = directory.name_of(kItemIdsFile);
  const auto owners = std::make_shared<const std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>>(
      ids_owner, opening->owner);
  model.item_ids = std::make_shared<const IdMap>(IdMap::view(detail::item_ids_in(ids, name), opening->ids_seed,
                                                             opening->ids_slots, opening->ids_offsets, owners, name));
  directory.require_ids(kItemIdsFile, manifest.items, *model.item_ids);
  if (mappable) model.encoder = map_encoder(directory, model.num_items(), *opening);
  model.opening = std::move(opening);
}

std::shared_ptr<const ContentTower> read_content(const ModelDirectory& directory) {
  if (!directory.manifest().encoder) directory.fail(kManifestFile, "a content tower, but no encoder");
  const auto [bytes, owner] = directory.read(kContentFile);
  auto tower = std::make_shared<const ContentTower>(
      ContentTower::read(SafetensorsFile::view(bytes, owner, directory.name_of(kContentFile))));
  directory.require_count(kContentFile, "elements of a vector", directory.manifest().encoder->embedding_dim,
                          tower->dim());
  return tower;
}

std::shared_ptr<const UserPrior> read_user_prior(const ModelDirectory& directory, std::size_t num_items) {
  const auto [bytes, owner] = directory.read(kProfileFile);
  const std::string name = directory.name_of(kProfileFile);
  try {
    auto prior = std::make_shared<const UserPrior>(UserPrior::read(SafetensorsFile::view(bytes, owner, name)));
    directory.require_count(kProfileFile, "items", num_items, prior->num_items());
    return prior;
  } catch (const Error& error) {
    const std::string problem = error.what();
    if (problem.starts_with(name)) throw;
    throw Error(error.code(), name + ": " + problem);
  }
}

TrainedModel load_from(const ModelDirectory& directory) {
  const Manifest& manifest = directory.manifest();
  TrainedModel model;
  model.version = manifest.version;
  model.weight_storage = manifest.weight_storage;
  model.notes = manifest.notes;
  if (directory.mapped()) {
    map_parts(model, directory);
  } else {
    model.item_ids = std::make_shared<const IdMap>(
        detail::parse_item_ids(directory.read(kItemIdsFile).bytes, directory.name_of(kItemIdsFile)));
    directory.require_ids(kItemIdsFile, manifest.items, *model.item_ids);
    if (manifest.files.contains(kOpeningFile)) directory.read(kOpeningFile);
  }
  model.blend_weight = manifest.blend_weight;
  if (model.blend_weight != 0 && !(manifest.encoder && manifest.counts)) {
    directory.fail(kManifestFile, "a blend weight, but not both an encoder and counts");
  }
  model.calibration = manifest.calibration;
  model.ranker = manifest.ranker;
  if (!model.ranker.empty() && !manifest.encoder) directory.fail(kManifestFile, "a ranker, but no encoder");
  if (manifest.encoder && !model.encoder) model.encoder = read_encoder(directory, model.num_items());
  if (manifest.popularity || manifest.counts) {
    auto parts = detail::parse_counts(directory.read(kCountsFile).bytes, directory.name_of(kCountsFile),
                                      model.num_items(), manifest.popularity, manifest.counts);
    model.popularity = std::move(parts.popularity);
    model.counts = std::move(parts.counts);
  }
  if (manifest.files.contains(kContentFile)) model.content = read_content(directory);
  if (manifest.user_prior) model.user_prior = read_user_prior(directory, model.num_items());
  if (manifest.users) {
    model.histories = std::make_shared<const Histories>(detail::parse_histories(
        directory.read(kHistoriesFile).bytes, model.item_ids, directory.name_of(kHistoriesFile)));
    directory.require_ids(kHistoriesFile, *manifest.users, *model.histories->user_ids);
  }
  return model;
}

}  // namespace

// A model that is saved over this one in the middle makes the files disagree: then the new one is loaded.
TrainedModel TrainedModel::load(const std::string& path, ModelAccess access) {
  constexpr int kAttempts = 5;
  for (int attempt = 1;; ++attempt) {
    const ModelDirectory directory(path, access);
    try {
      TrainedModel model = load_from(directory);
      // What is not read yet may be the new one's, and would be called damaged for good.
      if (attempt == kAttempts || !directory.mapped() || !directory.replaced()) return model;
    } catch (const Error&) {
      if (attempt == kAttempts || !directory.replaced()) throw;
    }
  }
}

}  // namespace attune::inline v0_1
