// SPDX-License-Identifier: Apache-2.0
#pragma once

// Ids are short: comparing and hashing them word by word, without a call, is most of the speed of an id map.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

template <class Unsigned>
Unsigned load(const char* bytes) noexcept {
  Unsigned value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

// The up to eight bytes of a text in one word: different for different texts of the same size.
inline std::uint64_t word_of(const char* text, std::size_t size) noexcept {
  if (size == 8) return load<std::uint64_t>(text);
  if (size >= 4) return load<std::uint32_t>(text) | std::uint64_t{load<std::uint32_t>(text + size - 4)} << 32;
  if (size >= 2) return load<std::uint16_t>(text) | std::uint64_t{load<std::uint16_t>(text + size - 2)} << 16;
  return size == 1 ? static_cast<unsigned char>(*text) : 0;
}

inline bool same_text(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  if (a.size() > 8) return std::memcmp(a.data(), b.data(), a.size()) == 0;
  return word_of(a.data(), a.size()) == word_of(b.data(), b.size());
}

}  // namespace attune::inline v0_1::detail
