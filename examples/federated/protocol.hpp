// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the server and the devices of this example know beforehand, and what they say to each other.

#include <attune/privacy/federated.hpp>
#include <attune/privacy/secure_aggregation.hpp>
#include <cstring>
#include <stdexcept>

#include "transport.hpp"

inline attune::FederatedPlan shared_plan() {
  attune::FederatedPlan plan;
  plan.num_items = 30;
  plan.encoder.embedding_dim = 16;
  plan.encoder.num_blocks = 1;
  plan.encoder.inner_dim = 16;
  plan.encoder.max_sequence_length = 10;
  plan.encoder.dropout = 0.1;
  plan.clients_per_round = 50;
  plan.max_weight = 10;
  return plan;
}

// A message of the server begins with its kind.
enum class Kind : std::uint8_t {
  train = 1,  // an invitation to a secure sum of updates
  measure,    // an invitation to a secure sum of hits
  stage,      // what a stage of secure aggregation has for a client
  end
};

// To a secure sum. Whoever accepts it checks the list of clients against the keys it knows.
struct Invitation {
  Kind kind = Kind::train;
  std::array<std::byte, 16> id{};
  std::vector<std::uint32_t> clients;  // that take part, ascending
  Bytes model;                         // FederatedRound::message
};

template <class T>
void append(Bytes& message, std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  message.insert(message.end(), bytes.begin(), bytes.end());
}

inline Bytes to_bytes(const Invitation& invitation) {
  Bytes message{static_cast<std::byte>(invitation.kind)};
  append<std::byte>(message, invitation.id);
  const auto count = static_cast<std::uint32_t>(invitation.clients.size());
  append(message, std::span(&count, 1));
  append<std::uint32_t>(message, invitation.clients);
  append<std::byte>(message, invitation.model);
  return message;
}

inline Invitation to_invitation(std::span<const std::byte> message) {
  const auto take = [&message](void* to, std::size_t size) {
    if (size > message.size()) throw std::runtime_error("an invitation is cut");
    if (size > 0) std::memcpy(to, message.data(), size);
    message = message.subspan(size);
  };
  Invitation invitation;
  std::uint32_t count = 0;
  take(&invitation.kind, sizeof invitation.kind);
  take(invitation.id.data(), invitation.id.size());
  take(&count, sizeof count);
  if (count > attune::AggregationRound::kMostClients) throw std::runtime_error("an invitation to too many");
  invitation.clients.resize(count);
  take(invitation.clients.data(), count * sizeof(std::uint32_t));
  invitation.model.assign(message.begin(), message.end());
  return invitation;
}

using PublicKeys = std::vector<std::array<std::byte, 32>>;  // by number of client

// The same on both sides, or messages are refused: the hash of the model is in it.
inline attune::AggregationRound aggregation_round(const Invitation& invitation, const attune::FederatedPlan& plan,
                                                  const PublicKeys& keys) {
  const bool train = invitation.kind == Kind::train;
  attune::AggregationRound round;
  round.id = invitation.id;
  round.model_hash = attune::AggregationRound::hash_of(invitation.model);
  for (const std::uint32_t client : invitation.clients) round.clients.push_back(keys.at(client));
  round.num_values = train ? plan.num_values() + 1 : 1;
  round.max_magnitude = train ? plan.quantiser().max_magnitude() : 1;
  round.word_bits = train ? plan.word_bits() : 32;
  return round;
}
