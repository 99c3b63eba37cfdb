// SPDX-License-Identifier: Apache-2.0
#pragma once

// The messages of secure aggregation as bytes. All begin with a header: "ATSA", version (1 byte), kind (1 byte), two
// zeros, the round's id (16 bytes), the number of the client that sends or receives it (4 bytes). Those of clients end
// with a signature (64 bytes) by the client's identity of the keyed hash of all before. Numbers are little-endian.
//
//   kind               from     body
//   keys               client   channel key, masking key (32 bytes each)
//   key_list           server   list of whole `keys` messages
//   shares             client   list of sealed shares, by who is to receive them
//   share_list         server   list of sealed shares, by who sends them
//   input              client   commitment to the own mask (32 bytes), D words
//   survivors          server   list of clients
//   confirmation       client   hash of who shared and who survived (32 bytes)
//   confirmation_list  server   list of signatures of `confirmation`
//   unmasking          client   a share (32 bytes) of each client that shared, in order
//
// A list is a count (4 bytes) and so many entries: a client's number (4 bytes) and what is said of it, in ascending
// order of numbers. A sealed share is a nonce (24 bytes) and two shares, encrypted and authenticated (80 bytes).
//
// What is no such message is Error(invalid_data), one of a higher version Error(unsupported_version).

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "attune/privacy/secure_aggregation.hpp"
#include "privacy/secrets.hpp"

namespace attune::inline v0_1::detail {

enum class MessageKind : std::uint8_t {
  keys = 1,
  key_list,
  shares,
  share_list,
  input,
  survivors,
  confirmation,
  confirmation_list,
  unmasking
};

const char* to_string(MessageKind kind) noexcept;

inline constexpr std::size_t kHeaderBytes = 28, kSignatureBytes = crypto_sign_BYTES;
inline constexpr std::size_t kKeysBytes = kHeaderBytes + 2 * Secret::kSize + kSignatureBytes;
inline constexpr std::size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
inline constexpr std::size_t kSealedBytes = kNonceBytes + 2 * Secret::kSize + crypto_aead_xchacha20poly1305_ietf_ABYTES;
inline constexpr std::uint32_t kEverybody = 0xFFFF'FFFF;  // as the receiver

[[noreturn]] void refuse_message(MessageKind kind, const std::string& problem);

// A message that begins with its header, and room for `body_bytes` and a signature.
std::vector<std::byte> new_message(MessageKind kind, const AggregationRound& round, std::uint32_t client,
                                   std::size_t body_bytes);
// Returns the client that the header names. Throws for another kind, round or version.
std::uint32_t check_header(std::span<const std::byte> message, MessageKind kind, const AggregationRound& round);
// What stands between header and signature. Precondition: the message is long enough for both.
std::span<const std::byte> signed_body(std::span<const std::byte> message) noexcept;
// What follows the header.
std::span<const std::byte> unsigned_body(std::span<const std::byte> message) noexcept;

void sign_message(std::vector<std::byte>& message, const Bytes32& domain, const ClientIdentity& identity);
// Whether the message ends with its signature. False where it is too short for one.
bool is_signed(std::span<const std::byte> message, const Bytes32& domain, const Bytes32& public_key) noexcept;

// A list in a message: who, and what is said of each.
class MessageList {
 public:
  // Throws where the bytes are no list of `entry_bytes` an entry, of clients below `num_clients` in ascending order.
  MessageList(MessageKind kind, std::span<const std::byte> body, std::size_t entry_bytes, std::size_t num_clients);

  const std::vector<std::uint32_t>& clients() const noexcept { return clients_; }
  std::span<const std::byte> entry(std::size_t i) const noexcept;

  static constexpr std::size_t bytes(std::size_t entries, std::size_t entry_bytes) noexcept {
    return sizeof(std::uint32_t) + entries * (sizeof(std::uint32_t) + entry_bytes);
  }

 private:
  std::vector<std::uint32_t> clients_;
  std::span<const std::byte> entries_;
  std::size_t entry_bytes_;
};

template <class Range>
bool contains(const Range& sorted, std::uint32_t client) noexcept {
  return std::ranges::binary_search(sorted, client);
}

struct PeerKeys {
  Bytes32 channel, masking;
};
// Of a `keys` message of the right size.
PeerKeys keys_in(std::span<const std::byte> message) noexcept;

// The shares that a client gives another of its two secrets.
struct SharePair {
  Secret masking_seed;  // of its masking keys: told when it drops out
  Secret own_seed;      // of its own mask: told when it survives
};
std::vector<std::byte> sealed(const SharePair& shares, const Secret& key);
// Throws where the bytes were not sealed with this key.
SharePair unsealed(std::span<const std::byte> bytes, const Secret& key);

// The lower word_bits of the values, and back, added to `sums` modulo 2^64.
void append_words(std::vector<std::byte>& message, std::span<const std::uint64_t> values, unsigned word_bits);
void add_words(std::span<std::uint64_t> sums, std::span<const std::byte> words, unsigned word_bits) noexcept;

}  // namespace attune::inline v0_1::detail
