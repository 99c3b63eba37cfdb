// SPDX-License-Identifier: Apache-2.0
#pragma once

// The tokenizer of a published BERT checkpoint: tokenizer.json, else vocab.txt; tokenizer_config.json, where there is
// one, decides about case, accents and ideographs.

#include <cstddef>
#include <filesystem>

#include "model/word_piece.hpp"

namespace attune::inline v0_1::detail {

// Every token stands for a row below `rows`. Throws Error: io_error (neither file), invalid_config (a field of the
// wrong type), invalid_data (a vocabulary that does not fit), unsupported (another kind of tokenizer, by name).
WordPiece load_word_piece(const std::filesystem::path& directory, std::size_t rows);

}  // namespace attune::inline v0_1::detail
