// SPDX-License-Identifier: Apache-2.0
#pragma once

// Numbers in files are little-endian and need no alignment.

#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

static_assert(std::endian::native == std::endian::little && sizeof(std::size_t) == 8,
              "attune runs on 64-bit little-endian machines: in files and in memory numbers look the same");

// Precondition: sizeof(T) bytes are readable.
template <class T>
T load_number(const std::byte* bytes) noexcept {
  static_assert(std::is_arithmetic_v<T>);
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

template <class T>
void append_array(std::vector<std::byte>& out, std::span<const T> values) {
  static_assert(std::is_trivially_copyable_v<T>);
  const std::size_t before = out.size();
  out.resize(before + values.size_bytes());
  if (!values.empty()) std::memcpy(out.data() + before, values.data(), values.size_bytes());
}

template <class T>
void append_number(std::vector<std::byte>& out, T value) {
  append_array(out, std::span<const T>(&value, 1));
}

}  // namespace attune::inline v0_1::detail
