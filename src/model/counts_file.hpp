// SPDX-License-Identifier: Apache-2.0
#pragma once

// counts.safetensors: the tensors of popularity and of the other count model, in both directions.

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attune/model/count_models.hpp"

namespace attune::inline v0_1::detail {

// None for a model of a host's own kind: it has no place in a file.
std::optional<CountOptions> options_of(const CountModel& counts);

// Both may be null. `counts` is of a kind that has options, and may be `popularity` itself.
std::vector<std::byte> counts_bytes(const PopularityModel* popularity, const CountModel* counts);

struct CountParts {
  std::shared_ptr<const PopularityModel> popularity;
  std::shared_ptr<const CountModel> counts;
};
// What the file holds besides these two is refused. `name` is for messages. Throws Error: corrupt_file, unsupported,
// non_finite.
CountParts parse_counts(std::span<const std::byte> bytes, const std::string& name, std::size_t num_items,
                        const std::optional<PopularityOptions>& popularity, const std::optional<CountOptions>& counts);

}  // namespace attune::inline v0_1::detail
