// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the tool says of the memory that training will take, before it trains.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "attune/training/memory_estimate.hpp"
#include "cli/console.hpp"

namespace attune::cli {

// "210 MB".
std::string megabytes(std::uint64_t bytes);
// Bytes of each part and in all.
Json memory_json(const MemoryEstimate& estimate);

// The setting that makes the largest part of the estimate smaller.
std::string what_to_lower(const MemoryEstimate& estimate);
// Says what is needed, and in the same line where the machine does not have it (`available`, none: not known). Throws
// Error(limit_exceeded) where it is more than `limit` megabytes.
void explain_memory(const MemoryEstimate& estimate, std::optional<std::uint64_t> available,
                    std::optional<std::size_t> limit, Console& console);

}  // namespace attune::cli
