// SPDX-License-Identifier: Apache-2.0
#pragma once

// A checksum at the speed of memory, for files that are mapped and read when they are needed. Like a CRC it finds
// accidents, not intent.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

// Eight independent chains of words, each step of which loses nothing: bytes that differ within one word have another
// sum for certain, others with all but one chance in 2^64.
std::uint64_t sum64_of(std::span<const std::byte> bytes) noexcept;

// The same of bytes that come in pieces, wherever they are cut.
class Sum64 {
 public:
  Sum64() noexcept;
  void add(std::span<const std::byte> bytes) noexcept;
  std::uint64_t value() const noexcept;

 private:
  using Words = std::array<std::uint64_t, 8>;
  void step_all(const Words& words) noexcept;

  Words chains_;
  std::array<std::byte, sizeof(Words)> rest_ = {};  // of the bytes so far, zeros behind it
  std::size_t size_ = 0;
};

// Sixteen digits.
std::string hex_of(std::uint64_t sum64);

}  // namespace attune::inline v0_1::detail
