// SPDX-License-Identifier: Apache-2.0
#pragma once

// What client and server of secure aggregation compute alike: the hashes that tie everything to one round, and the keys
// derived under them.

#include <cstdint>
#include <optional>
#include <span>

#include "attune/privacy/secure_aggregation.hpp"
#include "privacy/secrets.hpp"

namespace attune::inline v0_1::detail {

// Throws Error(invalid_config) for a round outside its bounds, or one whose sums could overflow.
void check_round(const AggregationRound& round);

// Of everything in the round: keys that clients advertise are signed under it.
Bytes32 context_of(const AggregationRound& round) noexcept;
// Of the context and the keys that all have advertised: whatever follows is bound to it.
Bytes32 transcript_of(const Bytes32& context, std::span<const std::byte> keys) noexcept;
// What survivors sign: who shared, and who of them sent an input.
Bytes32 statement_of(const Bytes32& transcript, std::span<const std::uint32_t> sharers,
                     std::span<const std::uint32_t> survivors) noexcept;

struct KeyPair {
  Secret secret_key;
  Bytes32 public_key;
};
// X25519. A pair for masking follows from a seed below the order of ristretto255, which can be shared; one for a
// channel from the generator of the system.
KeyPair masking_keys(const Secret& seed, const Bytes32& context, std::uint32_t client) noexcept;
KeyPair channel_keys() noexcept;

// 31 random bytes and a zero: below the order of ristretto255.
Secret random_seed() noexcept;

// Nothing where the other's key has low order, so that anybody could know the outcome.
std::optional<Secret> agree(const Secret& secret_key, const Bytes32& public_key) noexcept;

// One key per direction. `agreed` by the channel keys of both.
Secret channel_key(const Secret& agreed, const Bytes32& transcript, std::uint32_t from, std::uint32_t to) noexcept;
// The same for a and b as for b and a. `agreed` by the masking keys of both.
Secret pair_mask_seed(const Secret& agreed, const Bytes32& transcript, std::uint32_t a, std::uint32_t b) noexcept;
// Of the mask that a client adds alone, and what tells whether a reconstructed seed is the right one.
Secret own_mask_seed(const Secret& seed, const Bytes32& transcript, std::uint32_t client) noexcept;
Bytes32 commitment_to(const Secret& seed, const Bytes32& transcript, std::uint32_t client) noexcept;

// Of two clients the one with the lower number adds what the other subtracts.
constexpr bool adds(std::uint32_t client, std::uint32_t other) noexcept { return client < other; }

// The place of a client as a point of a sharing polynomial.
constexpr std::uint32_t point_of(std::uint32_t client) noexcept { return client + 1; }

}  // namespace attune::inline v0_1::detail
