// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "attune/data/reader.hpp"

namespace attune::inline v0_1::detail {

// A file of interactions as something learns from it.
struct CleanedFile {
  InteractionLog log;
  LoadReport load;  // what cleaning dropped is in the list, where no line is known
  CleaningReport cleaning;
};

// read_interactions() and clean(). Throws what these throw, with the name of the file.
CleanedFile read_cleaned(const std::string& file, const ReadOptions& reading, std::size_t k_core);

// [{"reason": "too few fields", "lines": 2, "first_line": 7}, ...]
nlohmann::ordered_json dropped_json(const LoadReport& load);

}  // namespace attune::inline v0_1::detail
