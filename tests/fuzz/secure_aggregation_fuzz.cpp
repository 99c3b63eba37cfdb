// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstring>

#include "fuzz/verdict.hpp"
#include "privacy/aggregation_messages.hpp"
#include "privacy/aggregation_round.hpp"
#include "privacy/simulated_round.hpp"

namespace {

using namespace attune;
using namespace attune::detail;
using namespace attune::test;

using Stage = AggregationStage;
using Input = std::span<const std::uint8_t>;

// The bytes as they are, as a change of a message, or as what follows the header of one.
Message forged(const Message& message, unsigned way, Input bytes) {
  Message result = message;
  if (way == 0) result.clear();
  if (way == 1) {
    for (std::size_t i = 0; i + 2 < bytes.size(); i += 3) {
      if (!result.empty()) result[(bytes[i] * 256u + bytes[i + 1]) % result.size()] ^= std::byte{bytes[i + 2]};
    }
    return result;
  }
  if (way == 2) result.resize(std::min(result.size(), kHeaderBytes));
  const auto* const from = reinterpret_cast<const std::byte*>(bytes.data());
  result.insert(result.end(), from, from + bytes.size());
  return result;
}

Message resigned(const SimulatedRound& round, Message message, const Bytes32& domain, bool cut) {
  if (cut) message.resize(message.size() - std::min(message.size(), kSignatureBytes));
  sign_message(message, domain, identities(round.clients.size())[0]);
  return message;
}

}  // namespace

// The first byte chooses who is given the rest, and how. Whatever it is, it is taken or refused, and if it was refused
// the round ends as without it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const unsigned choice = data[0];
  const auto stage = static_cast<Stage>(choice % 5);
  const unsigned way = choice / 5 % 3;
  const bool to_server = choice / 15 % 2 == 0, sign = choice / 30 % 2 == 0;
  SimulatedRound round(round_of(3, 3, 32, 2));
  Bytes32 domain = context_of(round.round);
  while (round.server.stage() != stage) {
    for (std::size_t c = 0; c < 3; ++c) round.server.receive(round.answer(c));
    round.server.advance();
    if (round.server.stage() == Stage::shares) {
      domain = transcript_of(domain, unsigned_body(round.server.message_for(0)));
    }
  }
  bool taken = false;
  const Input rest(data + 1, size - 1);
  if (to_server) {
    const Message message = round.answer(0);
    Message bytes = forged(message, way, rest);
    if (sign) bytes = resigned(round, std::move(bytes), domain, way == 1);
    taken = accepted([&] { round.server.receive(bytes); });
    if (!taken) round.server.receive(message);
  } else {
    const Message message = forged(round.server.message_for(0), way, rest);
    Message answer;
    taken = accepted([&] {
      switch (stage) {
        case Stage::shares: answer = round.clients[0].share(message); break;
        case Stage::inputs: answer = round.clients[0].mask(message, round.values[0]); break;
        case Stage::confirmations: answer = round.clients[0].confirm(message); break;
        case Stage::unmasking: answer = round.clients[0].unmask(message); break;
        default: break;
      }
    });
    if (taken && stage != Stage::keys) accepted([&] { round.server.receive(answer); });
    if (!taken || stage == Stage::keys) round.server.receive(round.answer(0));
  }
  if (taken) return 0;
  for (std::size_t c = 1; c < 3; ++c) round.server.receive(round.answer(c));
  round.server.advance();
  round.play_until(Stage::done);
  for (std::size_t i = 0; i < 3; ++i) {
    require(round.server.sum()[i] == round.values[0][i] + round.values[1][i] + round.values[2][i]);
  }
  return 0;
}
