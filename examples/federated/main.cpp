// SPDX-License-Identifier: Apache-2.0

// A recommender that learns from devices which keep their events to themselves: docs/privacy.md. Each device is a
// process, all of them reach the server over TCP, and what the server learns are sums by secure aggregation.
//   federated DEVICES ROUNDS SWITCHED_OFF
// Of the devices, so many are switched off on the way, in different rounds and at different stages of a sum.

#include <sys/wait.h>

#include <cstdlib>
#include <iostream>

#include "coordinator.hpp"
#include "device.hpp"

namespace {

void print(const char* when, const std::optional<Coordinator::Hits>& hits) {
  if (!hits) throw std::runtime_error("too few devices stayed to measure");
  std::cout << when << ": the next item is among the best 3 for " << hits->hits << " of " << hits->devices
            << " devices\n";
}

void serve(Listener& listener, const PublicKeys& keys, std::size_t rounds) {
  Coordinator coordinator(keys);
  coordinator.welcome(listener, keys.size());
  print("before", coordinator.measure());
  for (std::size_t round = 1; round <= rounds; ++round) {
    const std::size_t there = coordinator.connected();
    const std::optional<attune::FederatedRoundReport> report = coordinator.train();
    std::cout << "round " << round << ": ";
    if (report) {
      std::cout << report->clients << " of " << there << " devices, " << report->weight << " events\n";
    } else {
      std::cout << "too few of " << there << " devices stayed, nothing was learned\n";
    }
  }
  print("after", coordinator.measure());
  coordinator.end();
}

// Returns the status of the device's process.
int play(const DeviceOptions& options) {
  try {
    run_device(options);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "federated, a device: " << error.what() << '\n';
    return 1;
  }
}

int run(std::size_t devices, std::size_t rounds, std::size_t switched_off) {
  // Made where the server has no hand in it: with the devices, say, or by who sells them.
  std::vector<attune::ClientIdentity> identities;
  PublicKeys keys;
  for (std::size_t d = 0; d < devices; ++d) {
    identities.push_back(attune::ClientIdentity::generate());
    keys.push_back(identities.back().public_key);
  }
  Listener listener;
  for (std::size_t d = 0; d < devices; ++d) {
    const bool leaves = d < switched_off;
    const DeviceOptions options{.number = static_cast<std::uint32_t>(d),
                                .identity = identities[d],
                                .keys = keys,
                                .port = listener.port(),
                                .leaves_in_round = leaves ? 2 + d % rounds : 0,  // the first is that of measuring
                                .leaves_in_stage = static_cast<int>(d % 5)};
    const pid_t process = ::fork();
    if (process < 0) throw std::runtime_error("no more processes");
    if (process == 0) ::_exit(play(options));
  }
  identities.clear();
  serve(listener, keys, rounds);
  bool fine = true;
  for (int status = 0; ::wait(&status) > 0;) fine = fine && status == 0;
  return fine ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int at) { return static_cast<std::size_t>(std::strtoul(argv[at], nullptr, 10)); };
  if (argc != 4 || number(1) < 3 || number(1) > shared_plan().clients_per_round || number(2) < 1 ||
      number(3) > number(1)) {
    std::cerr << "usage: federated DEVICES ROUNDS SWITCHED_OFF, 3 to " << shared_plan().clients_per_round
              << " devices\n";
    return 2;
  }
  try {
    return run(number(1), number(2), number(3));
  } catch (const std::exception& error) {
    std::cerr << "federated: " << error.what() << '\n';
    return 1;
  }
}
