// SPDX-License-Identifier: Apache-2.0

// How often everybody together has listened to each of five songs, without anybody telling. Client c counts c + 1 of
// the first, c + 2 of the second and so on; some drop out before they send what they have. In real life each client is
// a program of its own, and `post` is a request to the server.
//   private_sum CLIENTS DROPPING

#include <attune/error.hpp>
#include <attune/privacy/secure_aggregation.hpp>
#include <cstdlib>
#include <iostream>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: private_sum CLIENTS DROPPING\n";
    return 2;
  }
  try {
    const std::size_t num_clients = std::strtoul(argv[1], nullptr, 10), dropping = std::strtoul(argv[2], nullptr, 10);

    // Everybody's public key is known from a place that the server cannot change.
    std::vector<attune::ClientIdentity> identities;
    attune::AggregationRound round{
        .id = attune::AggregationRound::fresh_id(), .num_values = 5, .max_magnitude = 10'000};
    for (std::size_t c = 0; c < num_clients; ++c) {
      identities.push_back(attune::ClientIdentity::generate());
      round.clients.push_back(identities.back().public_key);
    }

    attune::AggregationServer server(round);
    std::vector<attune::AggregationClient> clients;
    for (std::size_t c = 0; c < num_clients; ++c) clients.emplace_back(round, c, identities[c]);

    // A server would wait until enough have answered, or as long as it likes, before it advances.
    const auto post = [&](auto client_does) {
      const bool some_left = server.stage() >= attune::AggregationStage::inputs;
      for (std::size_t c = some_left ? dropping : 0; c < num_clients; ++c) {
        server.receive(client_does(c, server.message_for(c)));
      }
      server.advance();
    };
    post([&](std::size_t c, const auto&) { return clients[c].advertise(); });
    post([&](std::size_t c, const auto& keys) { return clients[c].share(keys); });
    post([&](std::size_t c, const auto& shares) {
      std::vector<std::int64_t> counts;
      for (std::size_t song = 1; song <= 5; ++song) counts.push_back(static_cast<std::int64_t>(c + song));
      return clients[c].mask(shares, counts);
    });
    post([&](std::size_t c, const auto& survivors) { return clients[c].confirm(survivors); });
    post([&](std::size_t c, const auto& confirmations) { return clients[c].unmask(confirmations); });

    std::cout << server.contributors().size() << " clients:";
    for (const std::int64_t plays : server.sum()) std::cout << ' ' << plays;
    std::cout << '\n';
  } catch (const attune::Error& error) {
    std::cerr << "private_sum: " << error.what() << '\n';
    return 1;
  }
}
