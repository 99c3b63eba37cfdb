// SPDX-License-Identifier: Apache-2.0
#pragma once

// The JSON header of a safetensors file: what may stand in it, and the check that its tensors tile the data area.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/model/safetensors.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {

// Limits of the format, then ours.
inline constexpr std::uint64_t kFormatHeaderBytes = 100'000'000;
inline constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{16} << 20;
inline constexpr std::size_t kMaxTensors = 100'000;
inline constexpr std::size_t kMaxNameBytes = 1024;
inline constexpr std::size_t kMaxRank = 8;
inline constexpr std::size_t kMaxMetadataEntries = 1024;
inline constexpr std::size_t kMaxMetadataBytes = std::size_t{1} << 20;

// The data of files we write begins at a multiple of this; readers must not rely on it.
inline constexpr std::size_t kDataAlignment = 64;

inline constexpr std::string_view kMetadataKey = "__metadata__";

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // in the order of their data
  std::map<std::string, std::string, std::less<>> metadata;
};

// The length of the header from the first bytes of a file (eight, or all there are) and the size of the file.
std::uint64_t header_length(std::span<const std::byte> prefix, std::uint64_t file_size, const std::string& file);

// `file` is for messages. Throws Error: corrupt_file, limit_exceeded, unsupported (element type).
SafetensorsHeader parse_header(std::string_view json, std::uint64_t data_size, const std::string& file);

// A name from a file as it may stand in a message.
inline std::string in_quotes(std::string_view name) { return in_quotes(name, '"'); }

}  // namespace attune::inline v0_1::detail
