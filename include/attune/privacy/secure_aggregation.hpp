// SPDX-License-Identifier: Apache-2.0
#pragma once

// Secure aggregation (Bonawitz et al., CCS 2017): a server learns the sum of what clients send and nothing of any one
// of them, also where some drop out at any point. Messages are bytes; how they travel, and how long anybody waits, is
// the host's. Classes are not synchronised. Who learns what, and what it costs: docs/privacy.md.

#if defined(ATTUNE_WITHOUT_SODIUM)
#error "this attune is built without libsodium: install it and configure with -DATTUNE_WITH_SODIUM=ON"
#endif

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "attune/executor.hpp"

namespace attune::inline v0_1 {

// An Ed25519 key pair by which others know a client. The host makes it once, keeps it with the client, and tells
// everybody the public key in a way that the aggregating server cannot change.
struct ATTUNE_EXPORT ClientIdentity {
  std::array<std::byte, 32> public_key{};
  std::array<std::byte, 64> secret_key{};

  static ClientIdentity generate();  // from the generator of the operating system
  ~ClientIdentity();                 // wipes the secret key
};

// What all who take part in a round know beforehand. Those who do not agree to the last bit refuse each other's
// messages: a server that gives clients different models, or different lists of clients, gets no sum.
struct ATTUNE_EXPORT AggregationRound {
  static constexpr std::size_t kMostClients = 4'096, kMostValues = std::size_t{1} << 28;

  std::array<std::byte, 16> id{};          // another one for every round: fresh_id()
  std::array<std::byte, 32> model_hash{};  // of the model that clients start from: hash_of()
  // Public keys, n of them, 3 to kMostClients; a client's number is its place.
  std::vector<std::array<std::byte, 32>> clients{};
  std::size_t num_values = 0;      // D, of each client, 1 to kMostValues
  std::int64_t max_magnitude = 0;  // of an integer that a client sends: Quantiser::max_magnitude()
  unsigned word_bits = 32;         // 32 or 64: sums are right where n * max_magnitude < 2^(word_bits - 1)
  // How many must stay to the end, above n/2 and at most n; 0: floor(2n/3) + 1, which holds against a server in league
  // with fewer than a third of the clients. More resists larger leagues, less lets more clients drop out.
  std::size_t threshold = 0;

  std::size_t least_clients() const noexcept { return threshold != 0 ? threshold : clients.size() * 2 / 3 + 1; }

  static std::array<std::byte, 16> fresh_id();
  static std::array<std::byte, 32> hash_of(std::span<const std::byte> bytes);  // BLAKE2b
};

// One client in one round. Its functions are called once each, in this order; each takes what the server has for the
// client (AggregationServer::message_for) and returns what it sends. Throws Error: invalid_data for a message that is
// cut, changed, forged, of another round, or asks for what would give the client away; unsupported_version for one of a
// newer attune; invalid_argument for a call out of order. After an error nothing has been given away and the client
// stands where it stood: the right message may still come. Secrets are wiped as soon as they have served.
class ATTUNE_EXPORT AggregationClient {
 public:
  // `number`: the place of this client in round.clients. The executor expands masks; null: the calling thread. Throws
  // Error: invalid_config for a round outside its bounds or one whose sums could overflow, invalid_argument for an
  // identity that is not that of the number, unsupported where the system has no random numbers.
  AggregationClient(AggregationRound round, std::size_t number, const ClientIdentity& identity,
                    Executor* executor = nullptr);
  AggregationClient(AggregationClient&&) noexcept;
  AggregationClient& operator=(AggregationClient&&) noexcept;
  ~AggregationClient();

  std::vector<std::byte> advertise();
  std::vector<std::byte> share(std::span<const std::byte> keys);
  // values: [D], as Quantiser::encode gives them. Throws Error(invalid_argument) for another number of them, or one
  // beyond max_magnitude.
  std::vector<std::byte> mask(std::span<const std::byte> shares, std::span<const std::int64_t> values);
  std::vector<std::byte> confirm(std::span<const std::byte> survivors);
  std::vector<std::byte> unmask(std::span<const std::byte> confirmations);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What the server waits for.
enum class AggregationStage : std::uint8_t { keys, shares, inputs, confirmations, unmasking, done, failed };

ATTUNE_EXPORT const char* to_string(AggregationStage stage) noexcept;

// The server of one round. Stage by stage: receive() what clients send until enough of them did or the host's patience
// ends, advance(), and hand each client its message_for().
class ATTUNE_EXPORT AggregationServer {
 public:
  // The executor reconstructs and expands masks; null: the calling thread. Throws Error as AggregationClient does.
  explicit AggregationServer(AggregationRound round, Executor* executor = nullptr);
  AggregationServer(AggregationServer&&) noexcept;
  AggregationServer& operator=(AggregationServer&&) noexcept;
  ~AggregationServer();

  AggregationStage stage() const noexcept;
  std::size_t expected() const noexcept;  // clients that may still answer in this stage, or did
  std::size_t received() const noexcept;  // clients that did

  // Throws Error and changes nothing: invalid_data for a message that is cut, changed, forged, repeated, of another
  // round, of another stage, or of a client that dropped out; unsupported_version for one of a newer attune.
  void receive(std::span<const std::byte> message);
  // Goes on with the clients that have answered; the others have dropped out. Throws Error(limit_exceeded) while fewer
  // than least_clients() have: more may come, or the host gives up. The last one computes the sum; it throws
  // Error(invalid_data), and the stage is `failed`, where a client has lied about its shares or sent more than it may.
  void advance();
  // For a client that may answer in this stage; empty in the first, where there is nothing to answer to. Throws
  // Error(invalid_argument) for another client.
  std::vector<std::byte> message_for(std::size_t client) const;

  // Once done: [D], of the clients whose numbers contributors() lists in order. Throws Error(invalid_argument) before.
  const std::vector<std::int64_t>& sum() const;
  const std::vector<std::uint32_t>& contributors() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune::inline v0_1
