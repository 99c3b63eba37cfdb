// SPDX-License-Identifier: Apache-2.0
#include "attune/model/checkpoint.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "attune/error.hpp"
#include "attune/model/content_tower.hpp"
#include "attune/model/safetensors.hpp"
#include "attune/model/user_prior.hpp"
#include "data/sum64.hpp"
#include "model/counts_file.hpp"
#include "model/histories_file.hpp"
#include "model/manifest.hpp"
#include "model/model_files.hpp"
#include "model/opening_file.hpp"
#include "model/weight_codes.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1 {
namespace {

namespace fs = std::filesystem;
using detail::kContentFile;
using detail::kCountsFile;
using detail::kHistoriesFile;
using detail::kItemIdsFile;
using detail::kItemsTensor;
using detail::kManifestFile;
using detail::kOpeningFile;
using detail::kOutputsTensor;
using detail::kProfileFile;
using detail::kWeightsFile;
using detail::Manifest;
using Bytes = std::vector<std::byte>;

void require(bool holds, const char* problem) {
  if (!holds) throw Error(ErrorCode::invalid_argument, std::string("the model cannot be saved: ") + problem);
}

void require_finite(std::span<const float> values, const std::string& name) {
  const auto bad = std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
  if (bad == values.end()) return;
  throw Error(ErrorCode::non_finite, "the model cannot be saved: element " + std::to_string(bad - values.begin()) +
                                         " of " + name + " is NaN or infinite");
}

bool same_ids(const IdMap* a, const IdMap* b) {
  if (a == b) return true;
  if (a == nullptr || a->size() != b->size()) return false;
  for (std::uint32_t handle = 0; handle < a->size(); ++handle) {
    if (!(a->id(handle) == b->id(handle))) return false;
  }
  return true;
}

void check_histories(const Histories& histories, const IdMap& item_ids) {
  const std::size_t events = histories.num_events();
  const auto fits = [&](std::size_t size) { return size == 0 || size == events; };
  require(same_ids(histories.item_ids.get(), &item_ids), "the histories have other item ids than the model");
  require(histories.user_ids && histories.user_ids->size() == histories.num_users(),
          "the histories have not one user id per user");
  require(histories.offsets.back() == events && fits(histories.times.size()) && fits(histories.kinds.size()) &&
              fits(histories.values.size()),
          "the columns of the histories differ in length");
  require(std::ranges::all_of(histories.items, [&](ItemHandle item) { return item < item_ids.size(); }),
          "the histories name items that the model has no id for");
  require(std::ranges::all_of(histories.values, [](float value) { return std::isfinite(value); }),
          "the value of an event is not finite");
}

void check_counts(const TrainedModel& model) {
  require(model.counts->num_items() == model.num_items(), "the counts have not one row per item id");
  const auto options = detail::options_of(*model.counts);
  require(options.has_value(), "its counts are of a kind that no file has a place for");
  require(kind_of(*options) != CountKind::popularity || model.counts == model.popularity,
          "its counts are another popularity than its own");
}

void check_parts(const TrainedModel& model) {
  require(model.item_ids != nullptr, "it has no item ids");
  const std::size_t items = model.num_items();
  require(!model.encoder || (model.encoder->items().rows() == items && model.encoder->outputs().rows() == items),
          "the encoder has not one row per item id");
  require(!model.popularity || model.popularity->num_items() == items, "popularity has not one count per item id");
  if (model.counts) check_counts(model);
  require(std::isfinite(model.blend_weight) && (model.blend_weight == 0 || (model.counts && model.encoder)),
          "it has a blend weight, but not both an encoder and counts");
  model.calibration.validate();
  model.ranker.validate();
  require(model.ranker.empty() || model.encoder, "it has a ranker, but no encoder");
  require(!model.content || (model.encoder && model.content->dim() == model.encoder->dim()),
          "its content tower gives vectors of another width than the encoder's");
  require(!model.user_prior || model.user_prior->num_items() == items,
          "its prior of users has not one row per item id");
  if (model.histories) check_histories(*model.histories, *model.item_ids);
}

Bytes weights_bytes(const SequenceEncoder<float>& encoder, WeightStorage storage) {
  const std::vector<float> items = detail::values_of(encoder.items());
  std::vector<float> outputs;
  SafetensorsWriter writer;
  std::vector<detail::WeightCodes> all_codes;  // which the writer takes no copies of
  const auto add = [&](const std::string& name, const std::vector<std::size_t>& shape, std::span<const float> values) {
    require_finite(values, name);
    if (!detail::has_codes(storage, shape)) return writer.add(name, shape, values);
    const detail::WeightCodes& codes = all_codes.emplace_back(name, shape, values);
    writer.add(name, shape, std::span(codes.codes));
    writer.add(detail::scale_name(name), codes.scale_shape, std::span(codes.scales));
  };
  add(kItemsTensor, {encoder.items().rows(), encoder.dim()}, items);
  if (encoder.config().separate_outputs) {
    outputs = detail::values_of(encoder.outputs());
    add(kOutputsTensor, {encoder.outputs().rows(), encoder.dim()}, outputs);
  }
  for (const Parameter& parameter : encoder.parameters().list()) {
    add(parameter.name, parameter.shape, encoder.weights().subspan(parameter.offset, parameter.size));
  }
  return writer.bytes();
}

template <class Part>
Bytes bytes_of(const Part& part) {
  SafetensorsWriter writer;
  part.write(writer);
  return writer.bytes();
}

// Of everything that answers depend on and that follows from nothing else: adding a note or erasing a user changes no
// version.
std::string version_of(Manifest manifest, const std::map<std::string, Bytes>& files) {
  manifest.notes.clear();
  manifest.users.reset();
  manifest.files.erase(kHistoriesFile);
  manifest.files.erase(kOpeningFile);
  std::uint32_t crc32 = 0;
  for (auto& [name, listed] : manifest.files) {
    crc32 = detail::crc32_of(files.at(name), crc32);
    listed.sum64.reset();
  }
  const std::string text = detail::manifest_text(manifest);
  return detail::hex_of(detail::crc32_of(std::as_bytes(std::span(text)), crc32));
}

Manifest manifest_of(const TrainedModel& model, const std::map<std::string, Bytes>& files) {
  Manifest manifest;
  manifest.version = model.version;
  manifest.items = {model.num_items(), model.item_ids->kind()};
  if (model.histories) manifest.users = Manifest::Ids{model.histories->num_users(), model.histories->user_ids->kind()};
  if (model.encoder) manifest.encoder = model.encoder->config();
  manifest.weight_storage = model.weight_storage;
  if (model.popularity) manifest.popularity = model.popularity->options();
  if (model.counts) manifest.counts = detail::options_of(*model.counts);
  manifest.blend_weight = model.blend_weight;
  manifest.calibration = model.calibration;
  manifest.ranker = model.ranker;
  manifest.user_prior = model.user_prior != nullptr;
  manifest.notes = model.notes;
  for (const auto& [name, bytes] : files) {
    manifest.files[name] = {bytes.size(), detail::crc32_of(bytes), detail::sum64_of(bytes)};
  }
  if (manifest.version.empty()) manifest.version = version_of(manifest, files);
  return manifest;
}

}  // namespace

ScoreKind TrainedModel::score_kind() const noexcept {
  if (!encoder) return ScoreKind::count;
  return counts && blend_weight != 0 ? ScoreKind::blend : encoder->config().score;
}

void TrainedModel::save(const std::string& directory) const {
  check_parts(*this);
  std::map<std::string, Bytes> files;
  files[kItemIdsFile] = detail::item_ids_bytes(*item_ids);
  if (encoder) files[kWeightsFile] = weights_bytes(*encoder, weight_storage);
  const bool mappable = encoder && detail::can_be_mapped(encoder->config(), weight_storage);
  files[kOpeningFile] = detail::opening_bytes(
      *item_ids, mappable ? encoder.get() : nullptr,
      mappable ? std::span<const std::byte>(files.at(kWeightsFile)) : std::span<const std::byte>{});
  if (popularity || counts) files[kCountsFile] = detail::counts_bytes(popularity.get(), counts.get());
  if (content) files[kContentFile] = bytes_of(*content);
  if (user_prior) files[kProfileFile] = bytes_of(*user_prior);
  if (histories) files[kHistoriesFile] = detail::histories_bytes(*histories);
  const std::string manifest = detail::manifest_text(manifest_of(*this, files));

  std::vector<platform::NamedBytes> named{{kManifestFile, std::as_bytes(std::span(manifest))}};
  for (const auto& [name, bytes] : files) named.push_back({name, bytes});
  check_replaceable(directory);
  platform::replace_directory(directory, named, kManifestFile);
}

void TrainedModel::check_replaceable(const std::string& directory) {
  platform::check_replaceable(directory, kManifestFile);
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::invalid_argument, "\"" + directory + "\" is not replaced: " + why);
  };
  std::error_code nothing_there;
  for (const auto& entry : fs::directory_iterator(directory, nothing_there)) {
    const std::string name = entry.path().filename().string();
    if (name == kManifestFile) {
      const Bytes bytes = platform::read_file(entry.path(), detail::kMaxManifestBytes);
      if (!detail::is_manifest(detail::as_text(bytes))) refuse("its manifest.json is not that of a model");
    } else if (std::ranges::find(detail::kModelFiles, name) == detail::kModelFiles.end()) {
      refuse("it holds " + name + ", which is not part of a model");
    }
  }
}

}  // namespace attune::inline v0_1
