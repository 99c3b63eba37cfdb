// SPDX-License-Identifier: Apache-2.0
#pragma once

// The messages of federated training, and what a server keeps over a restart, as bytes. All begin with a header:
// "ATFL", version (1 byte), kind (1 byte), two zeros, fingerprint of the plan (8 bytes), number of the round (8 bytes);
// and end with a checksum of all before (8 bytes) and, but for a state, a tag, whose length is the host's. Numbers are
// little-endian.
//
//   kind    from     body
//   round   server   D weights, 4 bytes each
//   update  client   number of the client (8 bytes), checksum of the round's message (8 bytes), D + 1 integers, 4 bytes
//                    each
//   state   itself   optimiser (8 bytes); D weights; with Adam its first and its second moments, D each, V steps of
//                    rows, 4 bytes each, and the learning rates of all steps, 8 bytes each; else D velocities
//
// What is no such message is Error(invalid_data), one of a higher version Error(unsupported_version).

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "attune/privacy/federated.hpp"

namespace attune::inline v0_1::detail {

enum class FederatedKind : std::uint8_t { round = 1, update, state };

inline constexpr std::size_t kFederatedHeaderBytes = 24, kFederatedSumBytes = 8;
inline constexpr std::size_t kUpdateHeadBytes = 16;  // of the body of an update: client and checksum
inline constexpr std::size_t kWordBytes = 4;

[[noreturn]] void refuse_message(FederatedKind kind, const std::string& problem);

// A header, and room for a body.
std::vector<std::byte> new_message(FederatedKind kind, std::uint64_t fingerprint, std::uint64_t round,
                                   std::size_t body_bytes);
// Adds the checksum, which it returns, and the tag. Throws Error(limit_exceeded) for a tag that is too long.
std::uint64_t seal_message(std::vector<std::byte>& message, const FederatedAuthentication& authentication);

struct OpenedMessage {
  std::uint64_t round = 0, sum = 0;
  std::span<const std::byte> body;
  std::span<const std::byte> authenticated, tag;  // what the tag is of
};
// Everything but the tag is checked.
OpenedMessage open_message(std::span<const std::byte> message, FederatedKind kind, std::uint64_t fingerprint,
                           std::size_t body_bytes);
void check_tag(const OpenedMessage& message, FederatedKind kind, std::uint64_t sender,
               const FederatedAuthentication& authentication);

void append_words(std::vector<std::byte>& message, std::span<const std::int64_t> values);
// sums += words. Precondition: as many of them.
void add_words(std::span<std::int64_t> sums, std::span<const std::byte> words) noexcept;

}  // namespace attune::inline v0_1::detail
