// SPDX-License-Identifier: Apache-2.0
#include "privacy/secrets.hpp"

#include <algorithm>

#include "attune/error.hpp"

namespace attune::inline v0_1::detail {

Secret::Secret(std::span<const std::byte, kSize> bytes) noexcept {
  std::copy_n(raw(bytes.data()), kSize, bytes_.begin());
}

void prepare_sodium() {
  if (sodium_init() < 0) {
    throw Error(ErrorCode::unsupported, "libsodium: expected random numbers from the system, found none");
  }
}

Hasher::Hasher(std::span<const std::byte> key) noexcept {
  crypto_generichash_init(&state_, key.empty() ? nullptr : raw(key.data()), key.size(), Secret::kSize);
}

Hasher& Hasher::add(std::span<const std::byte> bytes) noexcept {
  crypto_generichash_update(&state_, raw(bytes.data()), bytes.size());
  return *this;
}

Hasher& Hasher::add(std::uint64_t number) noexcept { return add(std::as_bytes(std::span(&number, 1))); }

Bytes32 Hasher::hash() noexcept {
  Bytes32 result;
  crypto_generichash_final(&state_, raw(result.data()), result.size());
  return result;
}

Secret Hasher::secret() noexcept {
  Secret result;
  crypto_generichash_final(&state_, result.data(), Secret::kSize);
  return result;
}

}  // namespace attune::inline v0_1::detail
