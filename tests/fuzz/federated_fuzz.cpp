// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "attune/error.hpp"
#include "fuzz/verdict.hpp"
#include "privacy/federated_messages.hpp"

namespace {

using namespace attune;
using test::accepted;
using test::require;

using Message = std::vector<std::byte>;

// The bytes alone, or a message with bytes of it changed; with the checksum that it should have, if asked for.
Message forged(Message message, bool whole, bool sealed, std::span<const std::uint8_t> bytes) {
  if (whole) {
    const auto* const from = reinterpret_cast<const std::byte*>(bytes.data());
    message.assign(from, from + bytes.size());
  } else {
    for (std::size_t i = 0; i + 2 < bytes.size(); i += 3) {
      message[(bytes[i] * 256u + bytes[i + 1]) % message.size()] ^= std::byte{bytes[i + 2]};
    }
  }
  if (sealed && message.size() >= detail::kFederatedSumBytes) {
    message.resize(message.size() - detail::kFederatedSumBytes);
    detail::seal_message(message, {});
  }
  return message;
}

FederatedPlan plan() {
  FederatedPlan plan;
  plan.num_items = 3;
  plan.encoder = {.embedding_dim = 4, .num_blocks = 1, .num_heads = 1, .inner_dim = 4, .max_sequence_length = 4};
  plan.clients_per_round = 2;
  return plan;
}

}  // namespace

// The first byte chooses who is given the rest, and how. Whatever it is, it is taken or refused; if it was refused the
// round ends as without it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool to_server = data[0] % 2 == 0, whole = data[0] / 2 % 2 == 0, sealed = data[0] / 4 % 2 == 0,
             restored = data[0] / 8 % 2 == 1;
  const std::span<const std::uint8_t> rest(data + 1, size - 1);
  const std::vector<std::uint64_t> clients{0, 1};
  const std::vector<ItemHandle> history{0, 1, 2};
  const FederatedUser user{.client = 0, .history = {.items = history}};
  FederatedServer server(plan(), {});
  FederatedClient client(plan());
  if (restored) {
    FederatedServer again(plan(), {});
    if (accepted([&] { again.restore(forged(again.state(), whole, sealed, rest)); })) again.begin_round(clients);
    return 0;
  }
  const FederatedRound round = server.begin_round(clients);
  if (!to_server) {
    FederatedClient told(plan());
    if (accepted([&] { told.begin(forged(round.message, whole, sealed, rest)); })) {
      Message answer;
      try {
        answer = told.update(user);
      } catch (const Error& error) {
        require(error.code() == ErrorCode::non_finite);  // weights may be finite and too large to compute with
      }
      accepted([&] { server.add(answer); });
    }
  }
  client.begin(round.message);
  const Message update = client.update(user);
  if (to_server) accepted([&] { server.add(forged(update, whole, sealed, rest)); });
  if (server.received() == 0) server.add(update);
  require(server.finish_round().clients == 1);
  return 0;
}
