// SPDX-License-Identifier: Apache-2.0
#pragma once

// Secrets that are wiped when they go, and keyed hashes of them. libsodium must have been prepared (prepare_sodium)
// before anything random is drawn.

#include <sodium.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

// 32 bytes: a key, a seed, or a number modulo the order of ristretto255, little-endian.
class Secret {
 public:
  static constexpr std::size_t kSize = 32;

  Secret() = default;
  explicit Secret(std::span<const std::byte, kSize> bytes) noexcept;
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  ~Secret() { sodium_memzero(bytes_.data(), kSize); }

  unsigned char* data() noexcept { return bytes_.data(); }
  const unsigned char* data() const noexcept { return bytes_.data(); }
  std::span<const std::byte, kSize> bytes() const noexcept {
    return std::as_bytes(std::span<const unsigned char, kSize>(bytes_));
  }

 private:
  std::array<unsigned char, kSize> bytes_{};
};

// What is public: hashes, keys that everybody may see.
using Bytes32 = std::array<std::byte, 32>;

inline unsigned char* raw(std::byte* bytes) noexcept { return reinterpret_cast<unsigned char*>(bytes); }
inline const unsigned char* raw(const std::byte* bytes) noexcept {
  return reinterpret_cast<const unsigned char*>(bytes);
}

// Throws Error(unsupported) where the system has no random numbers. Any number of times, from any thread.
void prepare_sodium();

// BLAKE2b-256 of the parts, one after the other; a part that could have another length is preceded by its length.
class Hasher {
 public:
  explicit Hasher(std::span<const std::byte> key = {}) noexcept;
  ~Hasher() { sodium_memzero(&state_, sizeof state_); }
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  Hasher& add(std::span<const std::byte> bytes) noexcept;
  Hasher& add(std::string_view text) noexcept { return add(std::as_bytes(std::span(text.data(), text.size()))); }
  Hasher& add(std::uint64_t number) noexcept;
  Bytes32 hash() noexcept;
  Secret secret() noexcept;

 private:
  crypto_generichash_state state_;
};

}  // namespace attune::inline v0_1::detail
