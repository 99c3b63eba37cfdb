// SPDX-License-Identifier: Apache-2.0
#pragma once

// A user's device: it alone has his events, and answers with sums that nobody can take apart.

#include <optional>

#include "protocol.hpp"

struct DeviceOptions {
  std::uint32_t number = 0;
  const attune::ClientIdentity& identity;
  const PublicKeys& keys;  // of all, from a place that the server cannot change
  std::uint16_t port = 0;
  // Where its user switches it off: in this round, before he would send the message of this stage. 0: never.
  std::uint64_t leaves_in_round = 0;
  int leaves_in_stage = 0;
};

// Returns when the server says so or is gone, or when the device is switched off.
void run_device(const DeviceOptions& options);
