// SPDX-License-Identifier: Apache-2.0
#pragma once

// The messages of homomorphic aggregation as bytes. All begin with "ATPL", version (1 byte), kind (1 byte), two zeros.
// Numbers are little-endian.
//
//   public_key   bits (4 bytes), n (bits / 8 bytes)
//   private_key  bits (4 bytes), p, q (bits / 16 bytes each)
//   values, sum  hash of the round and the key (32 bytes), ciphertexts (bits / 4 bytes each)
//
// The integers of a client are 1, by which the sum counts clients, and its values plus max_magnitude; they fill
// ciphertexts of as many slots as the key holds. What is no such message is Error(invalid_data), one of a higher
// version Error(unsupported_version).

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "attune/privacy/paillier.hpp"
#include "privacy/paillier_arithmetic.hpp"
#include "privacy/secrets.hpp"

namespace attune::inline v0_1::detail {

struct PaillierKeyParts {
  explicit PaillierKeyParts(BigNumber n);

  unsigned bits() const noexcept { return static_cast<unsigned>(modulus.n.bits()); }

  PaillierModulus modulus;
  Bytes32 fingerprint;
};

enum class PaillierKind : std::uint8_t { public_key = 1, private_key, values, sum };

inline constexpr std::size_t kPaillierHeaderBytes = 8;

[[noreturn]] void refuse_paillier(const std::string& problem);

std::vector<std::byte> new_paillier_message(PaillierKind kind);
// Returns what follows the header.
std::span<const std::byte> paillier_body(std::span<const std::byte> message, PaillierKind kind);
// The length of a key at the beginning of its body. Throws where the rest is not `parts` of the body's bits.
unsigned key_bits(std::span<const std::byte> body, std::size_t bytes_per_16_bits);

// Throws Error(invalid_config) for a round outside its bounds, or one whose sums could overflow their slots.
void check_round(const PaillierRound& round);

// How the integers of a round lie in ciphertexts under one key.
class PaillierLayout {
 public:
  PaillierLayout(const PaillierKeyParts& key, const PaillierRound& round);

  std::size_t slots(std::size_t ciphertext) const noexcept;  // used in it
  std::size_t first(std::size_t ciphertext) const noexcept { return ciphertext * slots_per_ciphertext_; }
  std::size_t num_ciphertexts() const noexcept { return num_ciphertexts_; }
  std::size_t ciphertext_bytes() const noexcept { return ciphertext_bytes_; }
  std::size_t num_integers() const noexcept { return num_integers_; }

  std::vector<std::byte> message_of(PaillierKind kind, std::span<const BigNumber> ciphertexts) const;
  // Throws also for what no ciphertext under the key can be.
  std::vector<BigNumber> ciphertexts_in(std::span<const std::byte> message, PaillierKind kind) const;

 private:
  const PaillierModulus& modulus_;
  Bytes32 domain_;
  std::size_t slots_per_ciphertext_, num_integers_, num_ciphertexts_, ciphertext_bytes_;
};

}  // namespace attune::inline v0_1::detail
