// SPDX-License-Identifier: Apache-2.0
#pragma once

// Safetensors files put together by hand, well-formed or not, and a walk over everything a loaded one offers.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "attune/model/safetensors.hpp"

namespace attune::test {

using Bytes = std::vector<std::byte>;

// A length as the first eight bytes of a file say it.
std::string length_prefix(std::uint64_t length);
// Prefix, header and `data` bytes of data.
std::string file_of(std::string_view header, std::size_t data = 0);
// `{first,second,...}`
std::string object(std::initializer_list<std::string_view> members);
// `"name":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
std::string entry(std::string_view name, std::string_view dtype, std::string_view shape, std::string_view offsets);
Bytes to_bytes(std::string_view text);

// A file of about two KiB with metadata, escapes in names, several element types, a scalar and an empty tensor.
Bytes small_file();

// Reads every tensor in every way that its type allows; values may be anything. Throws std::logic_error where a promise
// of the reader is broken.
void read_everything(const attune::SafetensorsFile& file);

}  // namespace attune::test
