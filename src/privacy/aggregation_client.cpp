// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "attune/error.hpp"
#include "data/little_endian.hpp"
#include "privacy/aggregation_messages.hpp"
#include "privacy/aggregation_round.hpp"
#include "privacy/masks.hpp"
#include "privacy/shamir.hpp"

namespace attune::inline v0_1 {

using namespace detail;

namespace {

enum class Step : std::uint8_t { advertise, share, mask, confirm, unmask, over };

const char* to_string(Step step) noexcept {
  switch (step) {
    case Step::advertise: return "advertise";
    case Step::share: return "share";
    case Step::mask: return "mask";
    case Step::confirm: return "confirm";
    case Step::unmask: return "unmask";
    case Step::over: return "no more call";
  }
  return "unknown";
}

// Another client, and what is agreed with it.
struct Peer {
  std::uint32_t client;
  Secret sealing_key, unsealing_key;  // of the channel to it, and from it
  Secret mask_seed;
};

}  // namespace

struct AggregationClient::Impl {
  Impl(AggregationRound the_round, std::size_t place, const ClientIdentity& host_identity, Executor* host_executor)
      : round(std::move(the_round)), identity(host_identity), executor(host_executor) {
    prepare_sodium();
    check_round(round);
    if (place >= round.clients.size() || round.clients[place] != identity.public_key) {
      throw Error(ErrorCode::invalid_argument, "AggregationClient: expected the identity of a client of the round");
    }
    number = static_cast<std::uint32_t>(place);
    context = context_of(round);
  }

  void require(Step called) const {
    if (called == step) return;
    throw Error(ErrorCode::invalid_argument, std::string("AggregationClient: expected ") + to_string(step) +
                                                 "(), found " + to_string(called) + "()");
  }
  // What a list of the server must have, whatever it is of.
  void check_list(MessageKind kind, const MessageList& list, std::size_t least) const {
    if (list.clients().size() < least) {
      refuse_message(kind,
                     "at least " + std::to_string(least) + " clients, found " + std::to_string(list.clients().size()));
    }
  }
  std::span<const std::byte> body_of(MessageKind kind, std::span<const std::byte> message,
                                     std::uint32_t receiver) const {
    if (check_header(message, kind, round) != receiver) refuse_message(kind, "a message to this client");
    return unsigned_body(message);
  }

  void check_keys(const MessageList& list) const;
  std::vector<Peer> agree_with(const MessageList& list, const Bytes32& the_transcript) const;
  std::vector<SharePair> open_shares(const MessageList& list) const;
  std::vector<Mask> masks_with(std::span<const std::uint32_t> others) const;

  const AggregationRound round;
  const ClientIdentity identity;
  Executor* const executor;
  std::uint32_t number = 0;
  Bytes32 context{}, transcript{};
  Step step = Step::advertise;

  KeyPair channel, masking;
  Secret masking_seed, own_seed;
  std::vector<std::byte> advertised;
  std::vector<Peer> peers;               // by number; without this client
  std::vector<std::uint32_t> sharers;    // U2, this client among them
  std::vector<SharePair> shares;         // of each of them
  std::vector<std::uint32_t> survivors;  // U3
};

// Everybody's keys are signed, and no two are the same.
void AggregationClient::Impl::check_keys(const MessageList& list) const {
  constexpr MessageKind kKind = MessageKind::key_list;
  std::vector<Bytes32> keys;
  keys.reserve(2 * list.clients().size());
  for (std::size_t i = 0; i < list.clients().size(); ++i) {
    const std::uint32_t client = list.clients()[i];
    const std::span<const std::byte> message = list.entry(i);
    if (check_header(message, MessageKind::keys, round) != client ||
        !is_signed(message, context, round.clients[client])) {
      refuse_message(kKind, "keys that their client has signed for this round and model");
    }
    if (client == number && !std::ranges::equal(message, advertised)) refuse_message(kKind, "this client's own keys");
    const PeerKeys both = keys_in(message);
    keys.insert(keys.end(), {both.channel, both.masking});
  }
  if (!contains(list.clients(), number)) refuse_message(kKind, "this client among the others");
  std::ranges::sort(keys);
  if (std::ranges::adjacent_find(keys) != keys.end()) refuse_message(kKind, "keys of which no two are the same");
}

std::vector<Peer> AggregationClient::Impl::agree_with(const MessageList& list, const Bytes32& the_transcript) const {
  std::vector<Peer> agreed;
  agreed.reserve(list.clients().size());
  for (std::size_t i = 0; i < list.clients().size(); ++i) {
    const std::uint32_t client = list.clients()[i];
    if (client == number) continue;
    const PeerKeys keys = keys_in(list.entry(i));
    const std::optional<Secret> by_channel = agree(channel.secret_key, keys.channel);
    const std::optional<Secret> by_masking = agree(masking.secret_key, keys.masking);
    if (!by_channel || !by_masking) refuse_message(MessageKind::key_list, "keys that are not of low order");
    agreed.push_back({client, channel_key(*by_channel, the_transcript, number, client),
                      channel_key(*by_channel, the_transcript, client, number),
                      pair_mask_seed(*by_masking, the_transcript, number, client)});
  }
  return agreed;
}

// Room for one more, so that no copy is left where a vector grows.
std::vector<SharePair> AggregationClient::Impl::open_shares(const MessageList& list) const {
  std::vector<SharePair> opened;
  opened.reserve(list.clients().size() + 1);
  for (std::size_t i = 0; i < list.clients().size(); ++i) {
    const auto peer = std::ranges::lower_bound(peers, list.clients()[i], {}, &Peer::client);
    if (peer == peers.end() || peer->client != list.clients()[i]) {
      refuse_message(MessageKind::share_list, "shares of others that have advertised keys");
    }
    opened.push_back(unsealed(list.entry(i), peer->unsealing_key));
  }
  return opened;
}

std::vector<Mask> AggregationClient::Impl::masks_with(std::span<const std::uint32_t> others) const {
  std::vector<Mask> masks;
  masks.reserve(others.size());
  masks.push_back({own_mask_seed(own_seed, transcript, number), true});
  for (const Peer& peer : peers) {
    if (contains(others, peer.client)) masks.push_back({peer.mask_seed, adds(number, peer.client)});
  }
  return masks;
}

AggregationClient::AggregationClient(AggregationRound round, std::size_t number, const ClientIdentity& identity,
                                     Executor* executor)
    : impl_(std::make_unique<Impl>(std::move(round), number, identity, executor)) {}
AggregationClient::AggregationClient(AggregationClient&&) noexcept = default;
AggregationClient& AggregationClient::operator=(AggregationClient&&) noexcept = default;
AggregationClient::~AggregationClient() = default;

std::vector<std::byte> AggregationClient::advertise() {
  Impl& self = *impl_;
  self.require(Step::advertise);
  self.masking_seed = random_seed();
  self.own_seed = random_seed();
  self.channel = channel_keys();
  self.masking = masking_keys(self.masking_seed, self.context, self.number);
  std::vector<std::byte> message = new_message(MessageKind::keys, self.round, self.number, 2 * Secret::kSize);
  message.insert(message.end(), self.channel.public_key.begin(), self.channel.public_key.end());
  message.insert(message.end(), self.masking.public_key.begin(), self.masking.public_key.end());
  sign_message(message, self.context, self.identity);
  self.advertised = message;
  self.step = Step::share;
  return message;
}

std::vector<std::byte> AggregationClient::share(std::span<const std::byte> keys) {
  Impl& self = *impl_;
  self.require(Step::share);
  const std::span<const std::byte> body = self.body_of(MessageKind::key_list, keys, kEverybody);
  const MessageList list(MessageKind::key_list, body, kKeysBytes, self.round.clients.size());
  self.check_list(MessageKind::key_list, list, self.round.least_clients());
  self.check_keys(list);
  const Bytes32 transcript = transcript_of(self.context, body);
  std::vector<Peer> peers = self.agree_with(list, transcript);

  const auto of_masking = SharingPolynomial::random(self.masking_seed, self.round.least_clients());
  const auto of_own = SharingPolynomial::random(self.own_seed, self.round.least_clients());
  std::vector<std::byte> message =
      new_message(MessageKind::shares, self.round, self.number, MessageList::bytes(peers.size(), kSealedBytes));
  append_number(message, static_cast<std::uint32_t>(peers.size()));
  for (const Peer& peer : peers) {
    const std::uint32_t point = point_of(peer.client);
    append_number(message, peer.client);
    const std::vector<std::byte> box = sealed({of_masking.share(point), of_own.share(point)}, peer.sealing_key);
    message.insert(message.end(), box.begin(), box.end());
  }
  sign_message(message, transcript, self.identity);

  self.shares.assign(1, {of_masking.share(point_of(self.number)), of_own.share(point_of(self.number))});
  self.peers = std::move(peers);
  self.transcript = transcript;
  self.masking_seed = {};
  self.channel = self.masking = {};
  self.step = Step::mask;
  return message;
}

std::vector<std::byte> AggregationClient::mask(std::span<const std::byte> shares,
                                               std::span<const std::int64_t> values) {
  Impl& self = *impl_;
  self.require(Step::mask);
  if (values.size() != self.round.num_values) {
    throw Error(ErrorCode::invalid_argument, "AggregationClient: expected " + std::to_string(self.round.num_values) +
                                                 " values, found " + std::to_string(values.size()));
  }
  const std::int64_t largest = self.round.max_magnitude;
  if (!std::ranges::all_of(values, [&](std::int64_t value) { return value >= -largest && value <= largest; })) {
    throw Error(ErrorCode::invalid_argument,
                "AggregationClient: expected values within max_magnitude, found one beyond");
  }
  const MessageList list(MessageKind::share_list, self.body_of(MessageKind::share_list, shares, self.number),
                         kSealedBytes, self.round.clients.size());
  self.check_list(MessageKind::share_list, list, self.round.least_clients() - 1);
  std::vector<SharePair> received = self.open_shares(list);
  std::vector<std::uint32_t> sharers = list.clients();
  const auto place = std::ranges::lower_bound(sharers, self.number) - sharers.begin();
  sharers.insert(sharers.begin() + place, self.number);
  received.insert(received.begin() + place, self.shares.front());

  std::vector<std::uint64_t> words(values.begin(), values.end());
  apply_masks(words, self.masks_with(sharers), self.round.word_bits, self.executor);
  std::vector<std::byte> message =
      new_message(MessageKind::input, self.round, self.number, Secret::kSize + words.size() * self.round.word_bits / 8);
  const Bytes32 commitment = commitment_to(self.own_seed, self.transcript, self.number);
  message.insert(message.end(), commitment.begin(), commitment.end());
  append_words(message, words, self.round.word_bits);
  sign_message(message, self.transcript, self.identity);

  self.sharers = std::move(sharers);
  self.shares = std::move(received);
  self.peers.clear();
  self.own_seed = {};
  self.step = Step::confirm;
  return message;
}

std::vector<std::byte> AggregationClient::confirm(std::span<const std::byte> survivors) {
  Impl& self = *impl_;
  self.require(Step::confirm);
  constexpr MessageKind kKind = MessageKind::survivors;
  const MessageList list(kKind, self.body_of(kKind, survivors, kEverybody), 0, self.round.clients.size());
  self.check_list(kKind, list, self.round.least_clients());
  if (!std::ranges::includes(self.sharers, list.clients())) refuse_message(kKind, "clients that have shared");
  if (!contains(list.clients(), self.number)) refuse_message(kKind, "this client among the others");
  self.survivors = list.clients();
  std::vector<std::byte> message = new_message(MessageKind::confirmation, self.round, self.number, Secret::kSize);
  const Bytes32 statement = statement_of(self.transcript, self.sharers, self.survivors);
  message.insert(message.end(), statement.begin(), statement.end());
  sign_message(message, self.transcript, self.identity);
  self.step = Step::unmask;
  return message;
}

std::vector<std::byte> AggregationClient::unmask(std::span<const std::byte> confirmations) {
  Impl& self = *impl_;
  self.require(Step::unmask);
  constexpr MessageKind kKind = MessageKind::confirmation_list;
  const MessageList list(kKind, self.body_of(kKind, confirmations, kEverybody), kSignatureBytes,
                         self.round.clients.size());
  self.check_list(kKind, list, self.round.least_clients());
  if (!std::ranges::includes(self.survivors, list.clients())) refuse_message(kKind, "clients that have survived");
  const Bytes32 statement = statement_of(self.transcript, self.sharers, self.survivors);
  for (std::size_t i = 0; i < list.clients().size(); ++i) {
    const std::uint32_t client = list.clients()[i];
    std::vector<std::byte> signed_by_it =
        new_message(MessageKind::confirmation, self.round, client, Secret::kSize + kSignatureBytes);
    signed_by_it.insert(signed_by_it.end(), statement.begin(), statement.end());
    signed_by_it.insert(signed_by_it.end(), list.entry(i).begin(), list.entry(i).end());
    if (!is_signed(signed_by_it, self.transcript, self.round.clients[client])) {
      refuse_message(kKind, "signatures of the survivors that this client was told of");
    }
  }

  // Of each client one of the two secrets: with both the server could take off every mask of it.
  std::vector<std::byte> message =
      new_message(MessageKind::unmasking, self.round, self.number, self.sharers.size() * Secret::kSize);
  for (std::size_t i = 0; i < self.sharers.size(); ++i) {
    const bool survived = contains(self.survivors, self.sharers[i]);
    const Secret& share = survived ? self.shares[i].own_seed : self.shares[i].masking_seed;
    message.insert(message.end(), share.bytes().begin(), share.bytes().end());
  }
  sign_message(message, self.transcript, self.identity);
  self.shares.clear();
  self.step = Step::over;
  return message;
}

}  // namespace attune::inline v0_1
