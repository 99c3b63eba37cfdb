// SPDX-License-Identifier: Apache-2.0
#pragma once

// Homomorphic aggregation by Paillier's cryptosystem (Eurocrypt 1999): clients encrypt, a server adds what it cannot
// read, and whoever holds the private key learns the sum. One message from each client, no rounds; but milliseconds for
// each 63 values, so it is for small payloads (counts, statistics), up to some 50,000 values. Messages are bytes; how
// they travel is the host's. Who learns what, and what it costs: docs/privacy.md.

#if defined(ATTUNE_WITHOUT_GMP)
#error "this attune is built without GMP: install it and libsodium, and configure with -DATTUNE_WITH_GMP=ON"
#endif

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "attune/executor.hpp"

namespace attune::inline v0_1 {
namespace detail {
struct PaillierKeyParts;
}

// What all who take part know beforehand. Several integers share a ciphertext, each in a slot wide enough for the sum
// of all clients, so that nothing runs over into the next.
struct ATTUNE_EXPORT PaillierRound {
  static constexpr std::size_t kMostValues = std::size_t{1} << 20;

  std::array<std::byte, 16> id{};   // another one for every round: AggregationRound::fresh_id()
  std::size_t num_values = 0;       // D, of each client, 1 to kMostValues
  std::int64_t max_magnitude = 0;   // of an integer that a client sends: Quantiser::max_magnitude()
  std::size_t max_clients = 1'000;  // sums are right where max_clients * (2 * max_magnitude + 1) <= 2^slot_bits
  unsigned slot_bits = 32;          // 8 to 62: wider holds larger sums, narrower costs less
};

// Immutable; safe from any number of threads.
class ATTUNE_EXPORT PaillierPublicKey {
 public:
  static constexpr unsigned kLeastBits = 2'048, kMostBits = 8'192;

  // Throws Error: invalid_data for bytes that are no public key of kLeastBits to kMostBits, unsupported_version for one
  // of a newer attune. That the holder of the private key made it well is for the host to trust.
  static PaillierPublicKey from_bytes(std::span<const std::byte> bytes);
  std::vector<std::byte> to_bytes() const;
  unsigned bits() const noexcept;
  const std::array<std::byte, 32>& fingerprint() const noexcept;  // BLAKE2b; in every message under the key

 private:
  explicit PaillierPublicKey(std::shared_ptr<const detail::PaillierKeyParts> parts) noexcept
      : parts_(std::move(parts)) {}
  std::shared_ptr<const detail::PaillierKeyParts> parts_;
  friend class PaillierPrivateKey;
  friend class PaillierClient;
  friend class PaillierAggregator;
};

// Of the one who may learn sums, and who must not see what single clients send: neither the aggregating server nor in
// league with it. Wiped when the last copy goes. Safe from any number of threads.
class ATTUNE_EXPORT PaillierPrivateKey {
 public:
  // 3,072 bits are as hard as 128 of a symmetric key, 2,048 as 112. From the generator of the operating system, in a
  // second or two. Throws Error(invalid_argument) for bits that are odd, below kLeastBits or above kMostBits.
  static PaillierPrivateKey generate(unsigned bits = 3'072);
  // Throws Error as PaillierPublicKey::from_bytes does.
  static PaillierPrivateKey from_bytes(std::span<const std::byte> bytes);
  std::vector<std::byte> to_bytes() const;  // secret: whoever takes them wipes them
  const PaillierPublicKey& public_key() const noexcept;

  struct Sum {
    std::size_t clients = 0;           // how many were added
    std::vector<std::int64_t> values;  // [D]
  };
  // The sum that an aggregator gave. Throws Error: invalid_config for a round outside its bounds, invalid_data for a
  // message that is cut, changed, of another round or key, or holds what no sum of at most max_clients clients can be.
  Sum decrypt(const PaillierRound& round, std::span<const std::byte> message, Executor* executor = nullptr) const;

 private:
  struct Impl;
  explicit PaillierPrivateKey(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

// Encrypts under a public key. Immutable; safe from any number of threads.
class ATTUNE_EXPORT PaillierClient {
 public:
  // Throws Error(invalid_config) for a round outside its bounds or one whose sums could overflow their slots.
  PaillierClient(PaillierPublicKey key, PaillierRound round);

  // values: [D], as Quantiser::encode gives them. Encrypted anew, with fresh random numbers, at every call: a round
  // takes one of each client. Throws Error(invalid_argument) for another number of them, or one beyond max_magnitude.
  // The executor works on several ciphertexts at a time; null: the calling thread.
  std::vector<std::byte> encrypt(std::span<const std::int64_t> values, Executor* executor = nullptr) const;

 private:
  PaillierPublicKey key_;
  PaillierRound round_;
};

// Adds what clients have encrypted. Not synchronised.
class ATTUNE_EXPORT PaillierAggregator {
 public:
  // Throws Error as PaillierClient does.
  PaillierAggregator(PaillierPublicKey key, PaillierRound round);
  PaillierAggregator(PaillierAggregator&&) noexcept;
  PaillierAggregator& operator=(PaillierAggregator&&) noexcept;
  ~PaillierAggregator();

  // Throws Error and changes nothing: invalid_data for a message that is cut, changed beyond what a ciphertext can be,
  // of another round or key, or that was added before; unsupported_version for one of a newer attune; limit_exceeded
  // for one more than max_clients. Ciphertexts prove nothing of their sender or of what is in them: that is for the
  // host's channel, and for whoever reads the sum.
  void add(std::span<const std::byte> message);
  std::size_t clients() const noexcept;  // that were added
  // For PaillierPrivateKey::decrypt. Throws Error(invalid_argument) where nothing was added.
  std::vector<std::byte> sum() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune::inline v0_1
