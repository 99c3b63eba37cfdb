// SPDX-License-Identifier: Apache-2.0
#pragma once

// A checksum at the speed of memory, for files that are mapped and read when they are needed. Like a CRC it finds
// accidents, not intent.

#include <cstddef>
#include <cstdint>
#include <span>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

// Eight independent chains of words, each step of which loses nothing: bytes that differ within one word have another
// sum for certain, others with all but one chance in 2^64.
std::uint64_t sum64_of(std::span<const std::byte> bytes) noexcept;

}  // namespace attune::inline v0_1::detail
