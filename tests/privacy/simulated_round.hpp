// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rounds of secure aggregation within one process.

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "attune/privacy/secure_aggregation.hpp"

namespace attune::test {

using Message = std::vector<std::byte>;

// Identities are made once: they take longer than rounds.
inline const std::vector<ClientIdentity>& identities(std::size_t n) {
  static std::vector<ClientIdentity> known;
  while (known.size() < n) known.push_back(ClientIdentity::generate());
  return known;
}

inline AggregationRound round_of(std::size_t n, std::size_t num_values, unsigned word_bits = 32,
                                 std::size_t threshold = 0) {
  AggregationRound round{.id = AggregationRound::fresh_id(),
                         .model_hash = {},
                         .clients = {},
                         .num_values = num_values,
                         .max_magnitude = 100'000,
                         .word_bits = word_bits,
                         .threshold = threshold};
  for (std::size_t c = 0; c < n; ++c) round.clients.push_back(identities(n)[c].public_key);
  return round;
}

inline std::vector<std::int64_t> values_of(const AggregationRound& round, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::int64_t> any(-round.max_magnitude, round.max_magnitude);
  std::vector<std::int64_t> values(round.num_values);
  for (std::int64_t& value : values) value = any(random);
  return values;
}

// A server and its clients. `sends[c]` says how many messages client c sends before it drops out, 5: all.
struct SimulatedRound {
  SimulatedRound(AggregationRound the_round, Executor* executor = nullptr)
      : round(the_round), server(the_round, executor) {
    for (std::size_t c = 0; c < round.clients.size(); ++c) {
      clients.emplace_back(round, c, identities(round.clients.size())[c]);
      values.push_back(values_of(round, c));
    }
  }

  Message answer(std::size_t client) {
    switch (server.stage()) {
      case AggregationStage::keys: return clients[client].advertise();
      case AggregationStage::shares: return clients[client].share(server.message_for(client));
      case AggregationStage::inputs: return clients[client].mask(server.message_for(client), values[client]);
      case AggregationStage::confirmations: return clients[client].confirm(server.message_for(client));
      case AggregationStage::unmasking: return clients[client].unmask(server.message_for(client));
      default: return {};
    }
  }
  // One stage, in which these answer. Throws as the server and the clients do.
  void play(const std::vector<std::size_t>& who) {
    for (const std::size_t client : who) server.receive(answer(client));
    server.advance();
  }
  // Up to a stage, with everybody.
  void play_until(AggregationStage stage) {
    std::vector<std::size_t> all(clients.size());
    for (std::size_t c = 0; c < all.size(); ++c) all[c] = c;
    while (server.stage() != stage) play(all);
  }
  // What is wrong with the outcome; empty where the sum is that of the clients that sent an input, or where the round
  // ended because fewer than it takes were left.
  std::string outcome(const std::vector<int>& sends) {
    std::vector<std::int64_t> expected(round.num_values);
    for (int stage = 0; stage < 5; ++stage) {
      std::vector<std::size_t> who;
      for (std::size_t c = 0; c < clients.size(); ++c) {
        if (sends[c] > stage) who.push_back(c);
      }
      if (who.size() >= round.least_clients()) {
        play(who);
        if (stage != 2) continue;
        for (const std::size_t c : who) {
          for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += values[c][i];
        }
        continue;
      }
      try {
        play(who);
      } catch (const Error& error) {
        return error.code() == ErrorCode::limit_exceeded ? "" : error.what();
      }
      return "fewer than it takes were enough";
    }
    return server.sum() == expected ? "" : "the sum is wrong";
  }

  AggregationRound round;
  AggregationServer server;
  std::vector<AggregationClient> clients;
  std::vector<std::vector<std::int64_t>> values;
};

// Pattern number `number` of the 6^n in which n clients can drop out.
inline std::vector<int> dropouts(std::size_t n, std::uint64_t number) {
  std::vector<int> sends(n);
  for (int& count : sends) {
    count = static_cast<int>(number % 6);
    number /= 6;
  }
  return sends;
}

// A pattern of n clients of which about `share` stay to the end.
inline std::vector<int> random_dropouts(std::size_t n, double share, std::mt19937& random) {
  std::vector<int> sends(n);
  for (int& count : sends) {
    count = std::bernoulli_distribution(share)(random) ? 5 : std::uniform_int_distribution<int>(0, 4)(random);
  }
  return sends;
}

}  // namespace attune::test
