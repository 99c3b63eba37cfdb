// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "attune/version.hpp"

namespace attune::inline v0_1::platform {

// Bytes that this process may still take before the machine or a control group that holds it runs out: what is free or
// easily freed. None where the system does not say. `root` is the top of the file system.
std::optional<std::uint64_t> available_memory(const std::filesystem::path& root = "/");

}  // namespace attune::inline v0_1::platform
