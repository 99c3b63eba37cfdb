// SPDX-License-Identifier: Apache-2.0
#pragma once

// The server: it knows how to reach the devices, and learns from sums.

#include <map>
#include <optional>

#include "protocol.hpp"

class Coordinator {
 public:
  explicit Coordinator(PublicKeys keys);

  // Waits for so many devices.
  void welcome(Listener& listener, std::size_t devices);
  // A round of training with whoever is there. Nothing where too few stayed to the end: the model is as it was.
  std::optional<attune::FederatedRoundReport> train();
  // How many devices find their newest event among the best answers, and how many took part.
  struct Hits {
    std::int64_t hits = 0;
    std::size_t devices = 0;
  };
  std::optional<Hits> measure();
  void end();
  std::size_t connected() const { return devices_.size(); }

 private:
  struct Sum {
    std::vector<std::int64_t> values;
    std::vector<std::uint64_t> clients;
  };
  std::optional<Sum> secure_sum(Kind kind, const attune::FederatedRound& round);
  std::vector<std::size_t> play_stage(attune::AggregationServer& sum, const Invitation& invitation,
                                      const std::vector<std::size_t>& places);

  const PublicKeys keys_;
  attune::FederatedServer server_;
  std::map<std::uint32_t, Connection> devices_;
};
