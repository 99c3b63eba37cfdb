// SPDX-License-Identifier: Apache-2.0

// What a server, a client or whoever is in between may try. Every attempt is refused with a defined error, and where
// one only lied to somebody, the round goes on as if nothing had happened.

#include <algorithm>
#include <cstring>

#include "catch.hpp"
#include "data/little_endian.hpp"
#include "privacy/aggregation_messages.hpp"
#include "privacy/aggregation_round.hpp"
#include "privacy/shamir.hpp"
#include "privacy/simulated_round.hpp"

using namespace attune;
using namespace attune::detail;
using namespace attune::test;

namespace {

using Stage = AggregationStage;

template <class Call>
bool refused(Call call, ErrorCode code = ErrorCode::invalid_data) {
  try {
    call();
  } catch (const Error& error) {
    return error.code() == code;
  }
  return false;
}

// The rest of the round, with everybody; true where the sum is right.
bool ends_well(SimulatedRound& round) {
  round.play_until(Stage::done);
  std::vector<std::int64_t> expected(round.round.num_values);
  for (const auto& values : round.values) {
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += values[i];
  }
  return round.server.sum() == expected;
}

using Entries = std::vector<std::pair<std::uint32_t, Message>>;

// A list of the server, taken apart and put together again.
Entries entries_of(const Message& message, std::size_t entry_bytes) {
  const MessageList list(MessageKind::key_list, unsigned_body(message), entry_bytes, AggregationRound::kMostClients);
  Entries entries;
  for (std::size_t i = 0; i < list.clients().size(); ++i) {
    entries.emplace_back(list.clients()[i], Message(list.entry(i).begin(), list.entry(i).end()));
  }
  return entries;
}

Message with_entries(const Message& original, const Entries& entries) {
  Message message(original.begin(), original.begin() + kHeaderBytes);
  append_number(message, static_cast<std::uint32_t>(entries.size()));
  for (const auto& [client, bytes] : entries) {
    append_number(message, client);
    message.insert(message.end(), bytes.begin(), bytes.end());
  }
  return message;
}

// The server's next message to a client, with its list changed.
template <class Change>
Message changed(const SimulatedRound& round, std::size_t client, std::size_t entry_bytes, Change change) {
  const Message message = round.server.message_for(client);
  Entries entries = entries_of(message, entry_bytes);
  change(entries);
  return with_entries(message, entries);
}

// Keys of a client that is in league with the server, or is the attacker itself.
Message keys_by(const SimulatedRound& round, std::size_t client, const Bytes32& channel, const Bytes32& masking) {
  Message message = new_message(MessageKind::keys, round.round, static_cast<std::uint32_t>(client), 64);
  message.insert(message.end(), channel.begin(), channel.end());
  message.insert(message.end(), masking.begin(), masking.end());
  sign_message(message, context_of(round.round), identities(round.clients.size())[client]);
  return message;
}

Bytes32 transcript(const SimulatedRound& round, const Message& keys) {
  return transcript_of(context_of(round.round), unsigned_body(keys));
}

SimulatedRound at(Stage stage, std::size_t n = 4) {
  SimulatedRound round(round_of(n, 3));
  round.play_until(stage);
  return round;
}

}  // namespace

TEST_CASE("A client refuses keys that another has not signed", "[privacy][attack]") {
  SimulatedRound round = at(Stage::shares);
  const KeyPair servers = channel_keys(), further = channel_keys();
  const auto attempt = [&](auto change) {
    const Message list = changed(round, 0, kKeysBytes, change);
    return refused([&] { round.clients[0].share(list); });
  };
  // The server takes another client's place.
  CHECK(attempt([&](Entries& e) { std::ranges::copy(servers.public_key, e[1].second.begin() + kHeaderBytes); }));
  // It signs with an identity of its own.
  CHECK(attempt([&](Entries& e) {
    Message forged = new_message(MessageKind::keys, round.round, 1, 64);
    forged.insert(forged.end(), servers.public_key.begin(), servers.public_key.end());
    forged.insert(forged.end(), further.public_key.begin(), further.public_key.end());
    sign_message(forged, context_of(round.round), ClientIdentity::generate());
    e[1].second = forged;
  }));
  // One client's signed keys under another's number.
  CHECK(attempt([&](Entries& e) { e[1].second = e[2].second; }));
  CHECK(attempt([&](Entries& e) { e[0].second = e[2].second; }));
  CHECK(ends_well(round));
}

TEST_CASE("A client refuses keys of low order, and keys that two share", "[privacy][attack]") {
  SimulatedRound round = at(Stage::shares);
  const KeyPair one = channel_keys(), two = channel_keys();
  Bytes32 low{};
  const auto attempt = [&](const Bytes32& channel, const Bytes32& masking) {
    const Message list =
        changed(round, 0, kKeysBytes, [&](Entries& e) { e[2].second = keys_by(round, 2, channel, masking); });
    return refused([&] { round.clients[0].share(list); });
  };
  CHECK(attempt(low, two.public_key));
  CHECK(attempt(one.public_key, low));
  low[0] = std::byte{1};
  CHECK(attempt(one.public_key, low));
  CHECK(attempt(one.public_key, one.public_key));
  const PeerKeys others = keys_in(entries_of(round.server.message_for(0), kKeysBytes)[3].second);
  CHECK(attempt(others.channel, two.public_key));
  CHECK(attempt(one.public_key, others.masking));
  CHECK(ends_well(round));
}

TEST_CASE("A client refuses keys of another round and of another model", "[privacy][attack]") {
  SimulatedRound round = at(Stage::shares), earlier = at(Stage::shares);
  const Entries old = entries_of(earlier.server.message_for(0), kKeysBytes);
  const Message replayed = changed(round, 0, kKeysBytes, [&](Entries& e) { e[1].second = old[1].second; });
  CHECK(refused([&] { round.clients[0].share(replayed); }));
  CHECK(refused([&] { round.clients[0].share(earlier.server.message_for(0)); }));

  // The server gave client 1 a model of its own, under the same round.
  AggregationRound other_model = round.round;
  other_model.model_hash = AggregationRound::hash_of(round.server.message_for(0));
  AggregationClient misled(other_model, 1, identities(4)[1]);
  const Message its_keys = misled.advertise();
  const Message list = changed(round, 0, kKeysBytes, [&](Entries& e) { e[1].second = its_keys; });
  CHECK(refused([&] { round.clients[0].share(list); }));
  CHECK(refused([&] { misled.share(list); }));
  CHECK(refused([&] { SimulatedRound(round.round).server.receive(its_keys); }));
  CHECK(ends_well(round));
}

TEST_CASE("A client refuses a list of keys that is short or without it", "[privacy][attack]") {
  SimulatedRound round = at(Stage::shares);
  const auto attempt = [&](auto change) {
    const Message list = changed(round, 0, kKeysBytes, change);
    return refused([&] { round.clients[0].share(list); });
  };
  CHECK(attempt([](Entries& e) { e.resize(2); }));
  CHECK(attempt([](Entries& e) { e.erase(e.begin()); }));
  CHECK(attempt([](Entries& e) { std::swap(e[1], e[2]); }));
  CHECK(attempt([](Entries& e) { e[2] = e[1]; }));
  CHECK(attempt([](Entries& e) { e[3].first = 4; }));
  CHECK(ends_well(round));
}

TEST_CASE("Clients that were shown different keys do not open each other's shares", "[privacy][attack]") {
  SimulatedRound round = at(Stage::shares, 5);
  const Message all = round.server.message_for(0);
  const Message fewer = changed(round, 0, kKeysBytes, [](Entries& e) { e.erase(e.begin() + 4); });
  const Message first = round.clients[0].share(fewer), second = round.clients[1].share(all);
  CHECK(refused([&] { round.server.receive(first); }));
  // A server that does not mind hands them on.
  round.server.receive(second);
  for (const std::size_t c : {2u, 3u, 4u}) round.server.receive(round.answer(c));
  round.server.advance();
  const MessageList boxes(MessageKind::shares, signed_body(first), kSealedBytes, 5);
  const Message given = changed(round, 1, kSealedBytes, [&](Entries& e) {
    e.insert(e.begin(), {0, Message(boxes.entry(0).begin(), boxes.entry(0).end())});
  });
  CHECK(refused([&] { round.clients[1].mask(given, round.values[1]); }));
}

TEST_CASE("A client refuses shares that were changed, swapped, short or of strangers", "[privacy][attack]") {
  SimulatedRound round = at(Stage::inputs);
  const auto attempt = [&](auto change) {
    const Message list = changed(round, 0, kSealedBytes, change);
    return refused([&] { round.clients[0].mask(list, round.values[0]); });
  };
  for (std::size_t at = 0; at < kSealedBytes; at += 7) {
    CHECK(attempt([&](Entries& e) { e[1].second[at] ^= std::byte{1}; }));
  }
  CHECK(attempt([](Entries& e) { std::swap(e[0].second, e[1].second); }));
  CHECK(attempt([](Entries& e) { e.resize(1); }));
  CHECK(attempt([](Entries& e) { e.insert(e.begin(), {0, e[0].second}); }));
  CHECK(refused([&] { round.clients[0].mask(round.server.message_for(1), round.values[0]); }));
  CHECK(ends_well(round));
}

TEST_CASE("A client refuses survivors that are few, strangers or without it", "[privacy][attack]") {
  SimulatedRound round(round_of(5, 3));
  round.play_until(Stage::shares);
  round.play({0, 1, 2, 3});
  round.play({0, 1, 2, 3});
  const auto attempt = [&](auto change) {
    const Message list = changed(round, 0, 0, change);
    return refused([&] { round.clients[0].confirm(list); });
  };
  CHECK(attempt([](Entries& e) { e.resize(3); }));
  CHECK(attempt([](Entries& e) { e[3].first = 4; }));
  CHECK(attempt([](Entries& e) { e.erase(e.begin()); }));
  CHECK(attempt([](Entries& e) { e.clear(); }));
  round.play({0, 1, 2, 3});
  round.play({0, 1, 2, 3});
  CHECK(round.server.sum().size() == 3);
}

TEST_CASE("Nobody gives shares for a set of survivors that others did not confirm", "[privacy][attack]") {
  // n = 5: of four or five survivors. The server tells clients 0 and 1 that 4 dropped out, the others that it did not.
  SimulatedRound round = at(Stage::confirmations, 5);
  const Message all = round.server.message_for(0);
  const Message without = changed(round, 0, 0, [](Entries& e) { e.resize(4); });
  std::vector<Message> confirmations;
  for (std::size_t c = 0; c < 5; ++c) confirmations.push_back(round.clients[c].confirm(c < 2 ? without : all));
  CHECK(refused([&] { round.server.receive(confirmations[0]); }));
  const auto signatures = [&](const std::vector<std::uint32_t>& who) {
    Message message = new_message(MessageKind::confirmation_list, round.round, kEverybody, 0);
    Entries entries;
    for (const std::uint32_t c : who) {
      entries.emplace_back(c, Message(confirmations[c].end() - kSignatureBytes, confirmations[c].end()));
    }
    return with_entries(message, entries);
  };
  for (std::size_t c = 0; c < 5; ++c) {
    CHECK(refused([&] { round.clients[c].unmask(signatures({0, 1, 2, 3, 4})); }));
    CHECK(refused([&] { round.clients[c].unmask(signatures({0, 1, 2, 3})); }));
    CHECK(refused([&] { round.clients[c].unmask(signatures({2, 3, 4})); }));
    CHECK(refused([&] { round.clients[c].unmask(signatures({0, 1})); }));
    // And nobody confirms twice.
    CHECK(refused([&] { round.clients[c].confirm(all); }, ErrorCode::invalid_argument));
  }
}

TEST_CASE("A client gives its shares once, and of each client one kind", "[privacy][attack]") {
  SimulatedRound round(round_of(4, 3));
  round.play_until(Stage::inputs);
  round.play({0, 1, 2});
  round.play({0, 1, 2});
  const Message list = round.server.message_for(0);
  const Message shares = round.clients[0].unmask(list);
  CHECK(shares.size() == kHeaderBytes + 4 * Secret::kSize + kSignatureBytes);
  CHECK(refused([&] { round.clients[0].unmask(list); }, ErrorCode::invalid_argument));
  const auto attempt = [&](auto change) {
    const Message forged = changed(round, 1, kSignatureBytes, change);
    return refused([&] { round.clients[1].unmask(forged); });
  };
  CHECK(attempt([](Entries& e) { e.resize(2); }));
  CHECK(attempt([](Entries& e) { e[2] = e[1]; }));
  CHECK(attempt([](Entries& e) { e[2].second = e[1].second; }));
  CHECK(attempt([](Entries& e) { e[2].first = 3; }));
  CHECK(attempt([](Entries& e) { e[0].second[5] ^= std::byte{4}; }));
  CHECK_NOTHROW(round.clients[1].unmask(list));
}

TEST_CASE("The server refuses keys that would make others refuse the list", "[privacy][attack]") {
  SimulatedRound round(round_of(4, 3));
  const KeyPair one = channel_keys(), two = channel_keys();
  const Message honest = round.answer(0);
  round.server.receive(honest);
  const PeerKeys known = keys_in(honest);
  for (const auto& [channel, masking] : {std::pair{Bytes32{}, one.public_key},
                                         {one.public_key, Bytes32{}},
                                         {one.public_key, one.public_key},
                                         {known.masking, one.public_key},
                                         {one.public_key, known.masking},
                                         {known.channel, two.public_key}}) {
    const Message keys = keys_by(round, 1, channel, masking);
    CHECK(refused([&] { round.server.receive(keys); }));
  }
  CHECK(round.server.received() == 1);
  for (const std::size_t c : {1u, 2u, 3u}) round.server.receive(round.answer(c));
  round.server.advance();
  CHECK(ends_well(round));
}

TEST_CASE("The server refuses what is repeated, late, foreign, out of order or forged", "[privacy][attack]") {
  SimulatedRound round(round_of(5, 3)), foreign(round_of(5, 3));
  std::vector<Message> sent;
  while (round.server.stage() != Stage::done) {
    const Stage stage = round.server.stage();
    INFO("stage " << to_string(stage));
    const Message message = round.answer(0), of_foreign = foreign.answer(0);
    for (const Message& earlier : sent) CHECK(refused([&] { round.server.receive(earlier); }));
    CHECK(refused([&] { round.server.receive(of_foreign); }));
    for (std::size_t at = 0; at < message.size(); ++at) {
      Message flipped = message;
      flipped[at] ^= std::byte{0x20};
      const ErrorCode code = at == 4 ? ErrorCode::unsupported_version : ErrorCode::invalid_data;
      if (!refused([&] { round.server.receive(flipped); }, code)) FAIL("byte " << at);
      if (!refused([&] { round.server.receive(std::span(message).first(at)); })) FAIL("cut to " << at);
    }
    Message longer = message, as_other = message;
    longer.resize(longer.size() + 1);
    CHECK(refused([&] { round.server.receive(longer); }));
    as_other[24] = std::byte{1};
    CHECK(refused([&] { round.server.receive(as_other); }));
    CHECK(round.server.received() == 0);
    round.server.receive(message);
    CHECK(refused([&] { round.server.receive(message); }));
    sent.push_back(message);

    // Client 4 advertises keys, and comes too late with its shares.
    for (const std::size_t c : {1u, 2u, 3u}) round.server.receive(round.answer(c));
    if (stage == Stage::keys) round.server.receive(round.answer(4));
    const Message late = stage == Stage::shares ? round.answer(4) : Message{};
    round.server.advance();
    CHECK(refused([&] { round.server.receive(late); }));
    if (stage != Stage::keys) CHECK(refused([&] { round.server.message_for(4); }, ErrorCode::invalid_argument));
    foreign.server.receive(of_foreign);
    for (const std::size_t c : {1u, 2u, 3u, 4u}) foreign.server.receive(foreign.answer(c));
    foreign.server.advance();
  }
  CHECK(round.server.sum().size() == 3);
}

TEST_CASE("Clients refuse what is cut, changed, longer or of another round at every byte", "[privacy][attack]") {
  SimulatedRound round(round_of(4, 2)), foreign(round_of(4, 2));
  const auto give = [&](const Message& message) {
    switch (round.server.stage()) {
      case Stage::shares: round.clients[0].share(message); break;
      case Stage::inputs: round.clients[0].mask(message, round.values[0]); break;
      case Stage::confirmations: round.clients[0].confirm(message); break;
      default: round.clients[0].unmask(message); break;
    }
  };
  round.play_until(Stage::shares);
  foreign.play_until(Stage::shares);
  while (round.server.stage() != Stage::done) {
    const Message message = round.server.message_for(0);
    INFO("stage " << to_string(round.server.stage()));
    CHECK(refused([&] { give(foreign.server.message_for(0)); }));
    for (std::size_t at = 0; at < message.size(); ++at) {
      Message flipped = message;
      flipped[at] ^= std::byte{0x20};
      // The version of the message, and those of the clients' own messages in the list of keys.
      const bool inner = round.server.stage() == Stage::shares && at > 32 && (at - 32) % (4 + kKeysBytes) == 8;
      const ErrorCode code = at == 4 || inner ? ErrorCode::unsupported_version : ErrorCode::invalid_data;
      if (!refused([&] { give(flipped); }, code)) FAIL("byte " << at);
      if (!refused([&] { give(Message(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(at))); })) {
        FAIL("cut to " << at);
      }
    }
    Message longer = message;
    longer.resize(longer.size() + 3);
    CHECK(refused([&] { give(longer); }));
    for (SimulatedRound* each : {&foreign, &round}) {
      for (std::size_t c = 0; c < 4; ++c) each->server.receive(each->answer(c));
      each->server.advance();
    }
  }
  CHECK(round.server.sum().size() == 2);
}

TEST_CASE("A client that lies about a share ends the round without a sum", "[privacy][attack]") {
  for (const bool dropped : {false, true}) {
    AggregationRound setting = round_of(4, 3);
    setting.max_magnitude = 0x7FFF'FFFF / 4;  // no sum is beyond what the clients may send
    SimulatedRound round(setting);
    round.play_until(Stage::shares);
    const Bytes32 domain = transcript(round, round.server.message_for(0));
    round.play({0, 1, 2, 3});
    std::vector<std::size_t> who{0, 1, 2};
    if (!dropped) who.push_back(3);
    round.play(who);
    round.play(who);
    for (const std::size_t c : who) {
      Message message = round.answer(c);
      if (c == 1) {
        message.resize(message.size() - kSignatureBytes);
        message[message.size() - Secret::kSize] ^= std::byte{1};  // of client 3
        sign_message(message, domain, identities(4)[1]);
      }
      round.server.receive(message);
    }
    CHECK(refused([&] { round.server.advance(); }));
    CHECK(round.server.stage() == Stage::failed);
    CHECK(refused([&] { round.server.sum(); }, ErrorCode::invalid_argument));
    CHECK(refused([&] { round.server.advance(); }));
  }
}

TEST_CASE("A client that sends more than it may ends the round without a sum", "[privacy][attack]") {
  SimulatedRound round = at(Stage::shares);
  const Bytes32 domain = transcript(round, round.server.message_for(0));
  round.play({0, 1, 2, 3});
  for (std::size_t c = 0; c < 4; ++c) {
    Message message = round.answer(c);
    if (c == 2) {
      message.resize(message.size() - kSignatureBytes);
      message.back() ^= std::byte{0x40};
      sign_message(message, domain, identities(4)[2]);
    }
    round.server.receive(message);
  }
  round.server.advance();
  round.play({0, 1, 2, 3});
  CHECK(refused([&] { round.play({0, 1, 2, 3}); }));
  CHECK(round.server.stage() == Stage::failed);
}

TEST_CASE("Shares for other clients than those that advertised are refused", "[privacy][attack]") {
  SimulatedRound round = at(Stage::shares, 5);
  const Bytes32 domain = transcript(round, round.server.message_for(0));
  const Message honest = round.answer(0);
  const MessageList list(MessageKind::shares, signed_body(honest), kSealedBytes, 5);
  const auto attempt = [&](std::initializer_list<std::uint32_t> receivers) {
    Message message = new_message(MessageKind::shares, round.round, 0, honest.size());
    append_number(message, static_cast<std::uint32_t>(receivers.size()));
    for (const std::uint32_t receiver : receivers) {
      append_number(message, receiver);
      message.insert(message.end(), list.entry(0).begin(), list.entry(0).end());
    }
    sign_message(message, domain, identities(5)[0]);
    return refused([&] { round.server.receive(message); });
  };
  CHECK(attempt({0, 1, 2, 3}));
  CHECK(attempt({1, 2, 3, 3}));
  CHECK(attempt({1, 2, 3}));
  CHECK(attempt({1, 2, 3, 5}));
  CHECK(attempt({4, 3, 2, 1}));
  round.server.receive(honest);
  CHECK(round.server.received() == 1);
}

TEST_CASE("No message of an error has a byte of a secret or of an identity in it", "[privacy][attack]") {
  SimulatedRound round = at(Stage::inputs);
  Message list = round.server.message_for(0);
  list.back() ^= std::byte{1};
  try {
    round.clients[0].mask(list, round.values[0]);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(std::string(error.what()) ==
          "secure aggregation, message of kind 'share list': expected shares that were "
          "sealed for this client and round");
  }
}
