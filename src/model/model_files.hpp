// SPDX-License-Identifier: Apache-2.0
#pragma once

// What saving and loading a model directory share.

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "attune/model/embedding_table.hpp"
#include "model/manifest.hpp"

namespace attune::inline v0_1::detail {

inline constexpr const char* kWeightsFile = "weights.safetensors";
inline constexpr const char* kCountsFile = "counts.safetensors";
inline constexpr const char* kItemIdsFile = "items.ids";
inline constexpr const char* kHistoriesFile = "histories.bin";
inline constexpr const char* kContentFile = "content.safetensors";
inline constexpr const char* kProfileFile = "profile.safetensors";
inline constexpr const char* kOpeningFile = "opening.safetensors";
inline constexpr std::array<std::string_view, 8> kModelFiles{kManifestFile, kWeightsFile, kCountsFile,    kContentFile,
                                                             kProfileFile,  kItemIdsFile, kHistoriesFile, kOpeningFile};

// The tensor of the items' input rows, and the one of the encoder's positions; all others are named by its
// ParameterList alone.
inline constexpr const char* kItemsTensor = "items.weight";
inline constexpr const char* kOutputsTensor = "outputs.weight";  // with separate_outputs
inline constexpr const char* kPositionsTensor = "position_embedding.weight";

// Whether the weights can be used where they are in the file.
inline bool can_be_mapped(const EncoderConfig& config, WeightStorage storage) noexcept {
  return storage == WeightStorage::float32 && !config.separate_outputs;
}

// [rows, dim]
inline std::vector<float> values_of(const EmbeddingTable<float>& table) {
  std::vector<float> values;
  values.reserve(table.rows() * table.dim());
  for (std::size_t c = 0; c < table.num_chunks(); ++c) {
    const auto chunk = table.chunk(c);
    values.insert(values.end(), chunk.begin(), chunk.end());
  }
  return values;
}

inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace attune::inline v0_1::detail
