// SPDX-License-Identifier: Apache-2.0
#pragma once

// A published BERT checkpoint as our encoder: config.json and model.safetensors.

#include <filesystem>

#include "attune/model/transformer_encoder.hpp"

namespace attune::inline v0_1::detail {

// Bidirectional, post norm; an item is a token, and the first token type is part of the positions. Throws Error:
// invalid_config, unsupported (by name) and what SafetensorsFile does; the message names file and field or tensor.
SasrecEncoder load_bert(const std::filesystem::path& directory);

}  // namespace attune::inline v0_1::detail
