// SPDX-License-Identifier: Apache-2.0
#include "data/cleaned_file.hpp"

#include <utility>

#include "attune/error.hpp"
#include "data/json_object.hpp"

namespace attune::inline v0_1::detail {

CleanedFile read_cleaned(const std::string& file, const ReadOptions& reading, std::size_t k_core) {
  CleanedFile result;
  const InteractionLog log = read_interactions(file, reading, &result.load);
  try {
    result.log = clean(log, {.k_core = k_core}, &result.cleaning);
  } catch (const Error& error) {
    throw Error(error.code(), file + ": " + error.what());
  }
  const auto drop = [&](const char* reason, std::size_t lines) {
    if (lines != 0) result.load.dropped.push_back({reason, lines, 0});
  };
  drop("duplicate", result.cleaning.duplicates);
  drop("outside the k-core", result.cleaning.outside_core);
  return result;
}

Json dropped_json(const LoadReport& load) {
  Json list = Json::array();
  for (const LoadReport::Dropped& drop : load.dropped) {
    Json entry{{"reason", drop.reason}, {"lines", drop.lines}};
    if (drop.first_line != 0) entry["first_line"] = drop.first_line;
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace attune::inline v0_1::detail
