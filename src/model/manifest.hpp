// SPDX-License-Identifier: Apache-2.0
#pragma once

// manifest.json of a model directory: what the model is and which files, of which size and checksum, belong to it.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "attune/model/calibration.hpp"
#include "attune/model/config.hpp"
#include "attune/model/count_models.hpp"
#include "attune/model/learned_ranker.hpp"
#include "data/sum64.hpp"

namespace attune::inline v0_1::detail {

inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr std::uint64_t kMaxManifestBytes = std::uint64_t{1} << 20;

struct Manifest {
  struct File {
    std::uint64_t size = 0;
    std::uint32_t crc32 = 0;
    std::optional<std::uint64_t> sum64 = {};  // of data/sum64.hpp: what is mapped is checked with; none: older models
  };
  // How many ids of which kind one of the id maps holds.
  struct Ids {
    std::uint64_t count = 0;
    IdKind kind = IdKind::string;
  };

  std::string version;
  Ids items;
  std::optional<Ids> users;                               // of the histories
  std::optional<EncoderConfig> encoder;                   // none: a model that only counts
  WeightStorage weight_storage = WeightStorage::float32;  // of the encoder
  std::optional<PopularityOptions> popularity;            // of what counts.safetensors holds
  std::optional<CountOptions> counts;                     // the same
  double blend_weight = 0;
  Calibration calibration;  // empty: none
  LearnedRanker ranker;     // the same
  bool user_prior = false;
  std::map<std::string, std::string> notes;
  std::map<std::string, File> files;  // all but the manifest itself
};

// Throws Error(invalid_argument) for text that is not UTF-8, Error(limit_exceeded) beyond kMaxManifestBytes.
std::string manifest_text(const Manifest& manifest);
// `name` is for messages. Throws Error: corrupt_file, unsupported_version, unsupported (a required feature that this
// build does not know), invalid_config.
Manifest parse_manifest(std::string_view text, const std::string& name);
// Whether the text is a JSON object that says it is of a model, of whatever version.
bool is_manifest(std::string_view text);

// The CRC-32 of gzip and PNG. `before` continues one.
std::uint32_t crc32_of(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;
// Eight hexadecimal digits.
std::string hex_of(std::uint32_t crc32);

}  // namespace attune::inline v0_1::detail
