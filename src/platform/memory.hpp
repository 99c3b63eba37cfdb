// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "attune/version.hpp"

namespace attune::inline v0_1::platform {

// Bytes that this process may still take before the machine or a control group that holds it runs out: what is free or
// easily freed. None where the system does not say. `root` is the top of the file system.
std::optional<std::uint64_t> available_memory(const std::filesystem::path& root = "/");

// Asks the system to back memory that is not yet written with large pages, of which it gives faster. Only a hint.
void prefer_large_pages(void* memory, std::size_t bytes) noexcept;

}  // namespace attune::inline v0_1::platform
