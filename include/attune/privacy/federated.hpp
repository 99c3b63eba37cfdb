// SPDX-License-Identifier: Apache-2.0
#pragma once

// Training where histories stay with their users (McMahan et al. 2017): a server sends its model, a client answers with
// what a history would change, the server takes the mean and steps. The encoder and all item rows are common; a user
// vector is computed from the history, and never leaves. An update covers every weight and every row, so that its form
// says nothing of its user's items. Its values do: whoever should not see them gets sums by secure aggregation.
// Messages are bytes; how they travel, and how long anybody waits, is the host's. Classes are not synchronised. Who
// learns what: docs/privacy.md.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "attune/executor.hpp"
#include "attune/model/sequence_encoder.hpp"
#include "attune/privacy/quantiser.hpp"
#include "attune/training/objective.hpp"
#include "attune/training/optimizer.hpp"

namespace attune::inline v0_1 {

// What all who take part know beforehand. Every message carries a fingerprint of it.
struct ATTUNE_EXPORT FederatedPlan {
  std::size_t num_items = 0;  // V: a handle means the same item everywhere
  EncoderConfig encoder;
  ObjectiveConfig objective;  // negatives are drawn uniformly: counts would tell of others

  std::size_t clients_per_round = 128;  // at most; sampled from those that are there
  // Of gradient descent on a client's own history. One step, with Adam on the server, is training in batches of
  // clients, and comes to what central training does; more take fewer rounds and drift apart.
  std::size_t local_steps = 1;
  double local_learning_rate = 0.1;  // from the second step on
  double clip = 5.0;                 // bound on the L2 norm of an update: what a single client can do to the model
  // An update weighs as many events as it learned from, up to this: more follows the active, 1 treats all alike.
  std::uint64_t max_weight = 200;
  unsigned value_bits = 16;  // of a value in an update

  // Throws Error: invalid_config naming the field, what is allowed and what was given; unsupported for an objective
  // whose negatives tell of others.
  void validate() const;
  std::size_t num_values() const;                                // D: dense weights, then rows [V, width]
  Quantiser quantiser() const;                                   // for clients_per_round
  unsigned word_bits() const;                                    // 32 or 64: a sum of updates needs so many
  std::unique_ptr<SequenceEncoder<float>> make_encoder() const;  // all zeros
};

// How messages prove where they come from, where the channel does not; with none, any that fits is taken. Both throw
// nothing.
struct FederatedAuthentication {
  static constexpr std::size_t kMostTagBytes = 1'024;
  static constexpr std::uint64_t kServer = ~std::uint64_t{0};  // as a sender

  // Returns what is put behind a message of one's own: a signature, a MAC; at most kMostTagBytes.
  std::function<std::vector<std::byte>(std::span<const std::byte> message)> sign = {};
  // Whether the tag is what `sender` puts behind this message.
  std::function<bool(std::uint64_t sender, std::span<const std::byte> message, std::span<const std::byte> tag)> verify =
      {};
};

// Whose history a client learns from. A view: valid during the call it is passed to.
struct FederatedUser {
  // By which the server knows the client; any but FederatedAuthentication::kServer.
  std::uint64_t client = 0;
  HistoryView history;     // events on items beyond the plan's are left out
  std::uint64_t seed = 0;  // of dropout and rounding. On a device: random, and known to nobody else
};

// The device's side: the newest model it was sent, and updates of it.
class ATTUNE_EXPORT FederatedClient {
 public:
  // Throws Error(invalid_config).
  explicit FederatedClient(const FederatedPlan& plan, FederatedAuthentication authentication = {});
  FederatedClient(FederatedClient&&) noexcept;
  FederatedClient& operator=(FederatedClient&&) noexcept;
  ~FederatedClient();

  // Takes the model of a round. Throws Error and keeps the one it has: invalid_data for a message that is cut, changed,
  // too long, not authentic, of another plan, holds weights that are not finite, or is of a round no newer than the
  // last; unsupported_version for one of a newer attune.
  void begin(std::span<const std::byte> round);
  std::uint64_t round() const noexcept;  // 0: none yet
  const FederatedPlan& plan() const noexcept;
  // The model, zeros before the first round: for answering on the device.
  const SequenceEncoder<float>& encoder() const noexcept;

  // What the history would change, as FederatedServer::add() takes it. The same history, seed and round give the same
  // bits. Throws Error: invalid_argument before the first round; invalid_data for a history with fewer than two events
  // to learn from, or without times where the encoder reads them; non_finite where it diverges.
  std::vector<std::byte> update(const FederatedUser& user);
  // The same for secure aggregation, which no server can read: [D + 1], for AggregationClient::mask().
  std::vector<std::int64_t> contribution(const FederatedUser& user);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

enum class ServerOptimizer : std::uint8_t { sgd, adam };

struct FederatedServerOptions {
  std::size_t least_clients = 1;  // a round with fewer updates changes nothing
  ServerOptimizer optimizer = ServerOptimizer::adam;
  AdamOptions adam{.learning_rate = 3e-3};
  // With one local step this is central gradient descent; with several, the local learning rate gives federated
  // averaging.
  double sgd_learning_rate = 1.0;
  double sgd_momentum = 0.0;
  // Of the learning rate: it grows over the first warmup_rounds, and falls as a cosine to a share of
  // final_learning_rate at round `rounds`. 0 rounds: it stays.
  std::size_t rounds = 0;
  std::size_t warmup_rounds = 0;
  double final_learning_rate = 0.02;
  std::uint64_t seed = 1;        // of initial weights and sampling
  Executor* executor = nullptr;  // sums updates; null: the calling thread

  // Throws Error(invalid_config).
  ATTUNE_EXPORT void validate() const;
};

enum class FederatedStage : std::uint8_t { idle, collecting };

// What goes out for a round.
struct FederatedRound {
  std::uint64_t number = 0;            // from 1
  std::vector<std::uint64_t> clients;  // that are asked, ascending
  std::vector<std::byte> message;      // for each of them
};

struct FederatedRoundReport {
  std::uint64_t number = 0;
  std::size_t asked = 0, clients = 0;  // that were sampled, and whose updates were taken
  std::uint64_t weight = 0;            // events that they learned from
  double update_norm = 0;              // L2 norm of the mean
};

// The server's side. begin_round(), then add() what clients send in any order until enough have or patience ends, then
// finish_round() or abandon_round(). Clients that drop out, at any point, simply have not sent anything.
class ATTUNE_EXPORT FederatedServer {
 public:
  // Starts from fresh weights, or from those of `start`. Throws Error: invalid_config; invalid_argument for an encoder
  // that is not the plan's.
  FederatedServer(const FederatedPlan& plan, const FederatedServerOptions& options,
                  FederatedAuthentication authentication = {}, const SequenceEncoder<float>* start = nullptr);
  FederatedServer(FederatedServer&&) noexcept;
  FederatedServer& operator=(FederatedServer&&) noexcept;
  ~FederatedServer();

  FederatedStage stage() const noexcept;
  std::uint64_t round() const noexcept;   // the one in progress, else the last
  std::size_t received() const noexcept;  // clients whose updates are there
  const FederatedPlan& plan() const noexcept;
  const SequenceEncoder<float>& encoder() const noexcept;  // as of the last finished round

  // Samples clients of those that are there, uniformly; a function of seed and round. Throws Error: invalid_argument
  // while a round is in progress; limit_exceeded where fewer than least_clients are there, or the memory of updates.
  FederatedRound begin_round(std::span<const std::uint64_t> available);
  // Keeps the update, in 4 bytes a value, until the round ends. Throws Error and changes nothing: invalid_data for a
  // message that is cut, changed, too long, not authentic, of another plan, round or model, of a client that was not
  // asked or has answered, or beyond the bound on an update; unsupported_version for one of a newer attune.
  void add(std::span<const std::byte> update);
  // Instead of single updates: the sum of `contributors`, sampled ones, from secure aggregation. sums: [D + 1]. Throws
  // Error(invalid_data) and changes nothing where it can be none of so many updates, or an update is there already.
  void add_sum(std::span<const std::int64_t> sums, std::span<const std::uint64_t> contributors);
  // Drops what is pending of a client, who is not asked again in this round: its update, or the whole of a sum that
  // it is in. Returns whether there was something. What earlier rounds learned stays.
  bool forget(std::uint64_t client);

  // Steps by the mean. Throws Error and leaves the round open: invalid_argument where there is none, limit_exceeded
  // with fewer than least_clients; non_finite, with the weights as they were and the round abandoned, for a step that
  // diverges.
  FederatedRoundReport finish_round();
  // The weights stay; late updates are of another round.
  void abandon_round() noexcept;

  // What the next round depends on, for a server that starts anew: the weights, the optimiser, the number of the round.
  // Pending updates are left out, so a round in progress is abandoned for whoever restores it. To be kept after each
  // begin_round(): clients take no round twice.
  std::vector<std::byte> state() const;
  // Goes on from state() of a server of the same plan and optimiser, in its last round. Throws Error and changes
  // nothing: invalid_argument while a round is in progress; invalid_data for bytes that are cut, changed, of another
  // plan or optimiser, or hold weights that are not finite; unsupported_version for those of a newer attune.
  void restore(std::span<const std::byte> state);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune::inline v0_1
