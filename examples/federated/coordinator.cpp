// SPDX-License-Identifier: Apache-2.0
#include "coordinator.hpp"

#include <attune/error.hpp>
#include <numeric>

namespace {

constexpr std::chrono::seconds kPatience{20};  // with devices that say nothing; those that are gone are noticed at once

attune::FederatedServerOptions server_options() {
  attune::FederatedServerOptions options;
  options.least_clients = 3;
  options.adam.learning_rate = 0.03;
  return options;
}

}  // namespace

Coordinator::Coordinator(PublicKeys keys) : keys_(std::move(keys)), server_(shared_plan(), server_options()) {}

void Coordinator::welcome(Listener& listener, std::size_t devices) {
  while (devices_.size() < devices) {
    bool came = false;
    listen_to({listener.socket()}, kPatience, [&](std::size_t) { return came = true; });
    if (!came) throw std::runtime_error("devices do not come");
    Connection connection = listener.accept();
    const std::optional<Bytes> number = connection.receive();
    std::uint32_t client = 0;
    if (!number || number->size() != sizeof client) continue;
    std::memcpy(&client, number->data(), sizeof client);
    if (client < keys_.size()) devices_.try_emplace(client, std::move(connection));
  }
}

std::optional<attune::FederatedRoundReport> Coordinator::train() {
  std::vector<std::uint64_t> available;
  for (const auto& [client, connection] : devices_) available.push_back(client);
  const std::optional<Sum> sum = secure_sum(Kind::train, server_.begin_round(available));
  if (!sum) {
    server_.abandon_round();
    return std::nullopt;
  }
  server_.add_sum(sum->values, sum->clients);
  return server_.finish_round();
}

std::optional<Coordinator::Hits> Coordinator::measure() {
  std::vector<std::uint64_t> available;
  for (const auto& [client, connection] : devices_) available.push_back(client);
  const std::optional<Sum> sum = secure_sum(Kind::measure, server_.begin_round(available));
  server_.abandon_round();
  if (!sum) return std::nullopt;
  return Hits{sum->values.front(), sum->clients.size()};
}

std::optional<Coordinator::Sum> Coordinator::secure_sum(Kind kind, const attune::FederatedRound& round) {
  Invitation invitation{.kind = kind,
                        .id = attune::AggregationRound::fresh_id(),
                        .clients = {round.clients.begin(), round.clients.end()},
                        .model = round.message};
  attune::AggregationServer sum(aggregation_round(invitation, server_.plan(), keys_));
  const Bytes bytes = to_bytes(invitation);
  for (const std::uint32_t client : invitation.clients) devices_.at(client).send(bytes);
  std::vector<std::size_t> places(invitation.clients.size());
  std::iota(places.begin(), places.end(), std::size_t{0});
  try {
    while (true) {
      places = play_stage(sum, invitation, places);
      sum.advance();
      if (sum.stage() == attune::AggregationStage::done) break;
      for (const std::size_t place : places) {
        Bytes message{static_cast<std::byte>(Kind::stage)};
        append<std::byte>(message, sum.message_for(place));
        devices_.at(invitation.clients[place]).send(message);
      }
    }
  } catch (const attune::Error& error) {
    if (error.code() != attune::ErrorCode::limit_exceeded) throw;
    return std::nullopt;
  }
  Sum result{.values = sum.sum(), .clients = {}};
  for (const std::uint32_t place : sum.contributors()) result.clients.push_back(invitation.clients[place]);
  return result;
}

// Takes what devices send until each at these places has answered or is gone. Returns the places that have answered.
std::vector<std::size_t> Coordinator::play_stage(attune::AggregationServer& sum, const Invitation& invitation,
                                                 const std::vector<std::size_t>& places) {
  std::vector<int> sockets;
  for (const std::size_t place : places) sockets.push_back(devices_.at(invitation.clients[place]).socket());
  std::vector<std::size_t> answered;
  listen_to(sockets, kPatience, [&](std::size_t i) {
    const auto device = devices_.find(invitation.clients[places[i]]);
    const std::optional<Bytes> message = device->second.receive();
    if (!message) {
      devices_.erase(device);
      return true;
    }
    try {
      sum.receive(*message);
    } catch (const attune::Error&) {
      return false;  // late, repeated or forged: what it should say may still come
    }
    answered.push_back(places[i]);
    return true;
  });
  return answered;
}

void Coordinator::end() {
  const Bytes message{static_cast<std::byte>(Kind::end)};
  for (auto& [client, connection] : devices_) connection.send(message);
}
