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

using Stage = AggregationStage;

MessageKind kind_at(Stage stage) {
  switch (stage) {
    case Stage::keys: return MessageKind::keys;
    case Stage::shares: return MessageKind::shares;
    case Stage::inputs: return MessageKind::input;
    case Stage::confirmations: return MessageKind::confirmation;
    case Stage::unmasking: return MessageKind::unmasking;
    case Stage::done:
    case Stage::failed: break;
  }
  throw Error(ErrorCode::invalid_data, "AggregationServer: expected no more message, found one");
}

// What a client has said so far.
struct Record {
  bool answered = false;             // in this stage
  std::vector<std::byte> keys;       // its whole message
  std::vector<std::byte> sealed;     // shares for each other client that advertised, in order
  Bytes32 commitment{};              // to the seed of its own mask
  std::vector<std::byte> signature;  // of its confirmation
  std::vector<Secret> shares;        // of each client that shared, in order
};

[[noreturn]] void fail_sum(const char* problem) {
  throw Error(ErrorCode::invalid_data, std::string("secure aggregation: no sum, since ") + problem);
}

}  // namespace

struct AggregationServer::Impl {
  Impl(AggregationRound the_round, Executor* host_executor) : round(std::move(the_round)), executor(host_executor) {
    prepare_sodium();
    check_round(round);
    context = context_of(round);
    records.resize(round.clients.size());
    sums.resize(round.num_values);
    for (std::uint32_t client = 0; client < round.clients.size(); ++client) active.push_back(client);
  }

  std::size_t body_bytes(Stage at) const noexcept;
  void check_keys(const PeerKeys& keys) const;
  void take(Record& record, std::uint32_t client, std::span<const std::byte> body, std::span<const std::byte> message);
  void close();
  void list_keys();
  std::vector<std::byte> shares_for(std::uint32_t client) const;
  void list_survivors();
  void list_confirmations();
  void reconstruct();
  void take_off_masks(std::span<const std::uint32_t> responders);
  std::vector<Mask> masks_of(std::size_t i, const Secret& secret) const;
  void run(std::size_t tasks, TaskRef body) const {
    InlineExecutor here;
    (executor != nullptr ? *executor : here).run(tasks, body);
  }

  const AggregationRound round;
  Executor* const executor;
  Bytes32 context{}, transcript{};
  Stage stage = Stage::keys;
  std::vector<Record> records;        // by client
  std::vector<std::uint32_t> active;  // who may answer in this stage
  std::size_t num_answered = 0;
  std::vector<std::byte> announcement;                         // to all who may
  std::vector<std::uint32_t> advertisers, sharers, survivors;  // U1, U2, U3
  std::vector<std::uint64_t> sums;
  std::vector<std::int64_t> result;
};

std::size_t AggregationServer::Impl::body_bytes(Stage at) const noexcept {
  switch (at) {
    case Stage::keys: return 2 * Secret::kSize;
    case Stage::shares: return MessageList::bytes(advertisers.size() - 1, kSealedBytes);
    case Stage::inputs: return Secret::kSize + round.num_values * round.word_bits / 8;
    case Stage::confirmations: return Secret::kSize;
    case Stage::unmasking: return sharers.size() * Secret::kSize;
    case Stage::done:
    case Stage::failed: break;
  }
  return 0;
}

// One client could make all others refuse the list.
void AggregationServer::Impl::check_keys(const PeerKeys& keys) const {
  if (!agree({}, keys.channel) || !agree({}, keys.masking)) {
    refuse_message(MessageKind::keys, "keys that are not of low order");
  }
  bool fresh = keys.channel != keys.masking;
  for (const Record& other : records) {
    if (!other.answered) continue;
    const PeerKeys known = keys_in(other.keys);
    for (const Bytes32& key : {known.channel, known.masking}) fresh &= key != keys.channel && key != keys.masking;
  }
  if (!fresh) refuse_message(MessageKind::keys, "keys of which no two are the same");
}

// Throws before it changes anything.
void AggregationServer::Impl::take(Record& record, std::uint32_t client, std::span<const std::byte> body,
                                   std::span<const std::byte> message) {
  switch (stage) {
    case Stage::keys:
      check_keys(keys_in(message));
      record.keys.assign(message.begin(), message.end());
      break;
    case Stage::shares: {
      const MessageList list(MessageKind::shares, body, kSealedBytes, records.size());
      std::vector<std::uint32_t> others = advertisers;
      std::erase(others, client);
      if (list.clients() != others) refuse_message(MessageKind::shares, "shares for every other client");
      std::vector<std::byte> boxes;
      boxes.reserve(others.size() * kSealedBytes);
      for (std::size_t i = 0; i < others.size(); ++i) {
        boxes.insert(boxes.end(), list.entry(i).begin(), list.entry(i).end());
      }
      record.sealed = std::move(boxes);
      break;
    }
    case Stage::inputs:
      std::ranges::copy(body.first(Secret::kSize), record.commitment.begin());
      add_words(sums, body.subspan(Secret::kSize), round.word_bits);
      break;
    case Stage::confirmations:
      if (!std::ranges::equal(body, statement_of(transcript, sharers, survivors))) {
        refuse_message(MessageKind::confirmation, "a confirmation of the survivors that this server announced");
      }
      record.signature.assign(message.end() - kSignatureBytes, message.end());
      break;
    case Stage::unmasking:
      record.shares.reserve(sharers.size());
      for (std::size_t i = 0; i < sharers.size(); ++i) {
        record.shares.emplace_back(body.subspan(i * Secret::kSize).first<Secret::kSize>());
      }
      break;
    case Stage::done:
    case Stage::failed: break;
  }
}

void AggregationServer::Impl::list_keys() {
  announcement = new_message(MessageKind::key_list, round, kEverybody, MessageList::bytes(active.size(), kKeysBytes));
  append_number(announcement, static_cast<std::uint32_t>(active.size()));
  for (const std::uint32_t client : active) {
    append_number(announcement, client);
    announcement.insert(announcement.end(), records[client].keys.begin(), records[client].keys.end());
  }
  transcript = transcript_of(context, unsigned_body(announcement));
}

std::vector<std::byte> AggregationServer::Impl::shares_for(std::uint32_t client) const {
  std::vector<std::byte> message =
      new_message(MessageKind::share_list, round, client, MessageList::bytes(sharers.size() - 1, kSealedBytes));
  append_number(message, static_cast<std::uint32_t>(sharers.size() - 1));
  for (const std::uint32_t from : sharers) {
    if (from == client) continue;
    append_number(message, from);
    // A sender has left itself out.
    auto place = static_cast<std::size_t>(std::ranges::lower_bound(advertisers, client) - advertisers.begin());
    if (from < client) --place;
    const auto box = std::span(records[from].sealed).subspan(place * kSealedBytes, kSealedBytes);
    message.insert(message.end(), box.begin(), box.end());
  }
  return message;
}

void AggregationServer::Impl::list_survivors() {
  announcement = new_message(MessageKind::survivors, round, kEverybody, MessageList::bytes(active.size(), 0));
  append_number(announcement, static_cast<std::uint32_t>(active.size()));
  append_array(announcement, std::span<const std::uint32_t>(active));
  for (Record& record : records) record.sealed = {};
}

void AggregationServer::Impl::list_confirmations() {
  announcement = new_message(MessageKind::confirmation_list, round, kEverybody,
                             MessageList::bytes(active.size(), kSignatureBytes));
  append_number(announcement, static_cast<std::uint32_t>(active.size()));
  for (const std::uint32_t client : active) {
    append_number(announcement, client);
    announcement.insert(announcement.end(), records[client].signature.begin(), records[client].signature.end());
  }
}

// The masks that are left in the sum because of client `i` of those that shared. Throws where the secret is not its
// own.
std::vector<Mask> AggregationServer::Impl::masks_of(std::size_t i, const Secret& secret) const {
  const std::uint32_t client = sharers[i];
  if (contains(survivors, client)) {
    if (commitment_to(secret, transcript, client) != records[client].commitment) {
      fail_sum("a share of a survivor's mask is wrong");
    }
    return {{own_mask_seed(secret, transcript, client), false}};
  }
  const KeyPair keys = masking_keys(secret, context, client);
  if (keys.public_key != keys_in(records[client].keys).masking) fail_sum("a share of a dropped client's key is wrong");
  std::vector<Mask> masks;
  masks.reserve(survivors.size());
  for (const std::uint32_t other : survivors) {
    const std::optional<Secret> agreed = agree(keys.secret_key, keys_in(records[other].keys).masking);
    if (!agreed) fail_sum("a client's key has low order");
    masks.push_back({pair_mask_seed(*agreed, transcript, client, other), adds(client, other)});
  }
  return masks;
}

void AggregationServer::Impl::take_off_masks(std::span<const std::uint32_t> responders) {
  std::vector<std::uint32_t> points;
  for (const std::uint32_t client : responders) points.push_back(point_of(client));
  const std::vector<Secret> weights = weights_at_zero(points);
  std::vector<std::vector<Mask>> masks_of_each(sharers.size());
  run(sharers.size(), [&](std::size_t i, std::size_t) {
    std::vector<Secret> shares;
    shares.reserve(responders.size());
    for (const std::uint32_t client : responders) shares.push_back(records[client].shares[i]);
    masks_of_each[i] = masks_of(i, combine(weights, shares));
  });
  std::vector<Mask> masks;
  std::size_t num_masks = 0;
  for (const auto& some : masks_of_each) num_masks += some.size();
  masks.reserve(num_masks);
  for (const auto& some : masks_of_each) masks.insert(masks.end(), some.begin(), some.end());
  apply_masks(sums, masks, round.word_bits, executor);
}

void AggregationServer::Impl::reconstruct() {
  stage = Stage::failed;
  take_off_masks(std::span<const std::uint32_t>(active).first(round.least_clients()));
  const std::int64_t largest = round.max_magnitude * static_cast<std::int64_t>(survivors.size());
  result.reserve(sums.size());
  for (const std::uint64_t sum : sums) {
    const std::int64_t value = round.word_bits == 32 ? static_cast<std::int32_t>(sum) : static_cast<std::int64_t>(sum);
    if (value < -largest || value > largest) fail_sum("it is beyond what the clients may send");
    result.push_back(value);
  }
  sums = {};
  records.clear();
  announcement.clear();
  stage = Stage::done;
}

// The clients that have answered are those that may in the next stage.
void AggregationServer::Impl::close() {
  std::erase_if(active, [&](std::uint32_t client) { return !records[client].answered; });
  for (Record& record : records) record.answered = false;
  num_answered = 0;
  switch (stage) {
    case Stage::keys:
      advertisers = active;
      list_keys();
      stage = Stage::shares;
      break;
    case Stage::shares:
      sharers = active;
      announcement.clear();
      stage = Stage::inputs;
      break;
    case Stage::inputs:
      survivors = active;
      list_survivors();
      stage = Stage::confirmations;
      break;
    case Stage::confirmations:
      list_confirmations();
      stage = Stage::unmasking;
      break;
    case Stage::unmasking: reconstruct(); break;
    case Stage::done:
    case Stage::failed: break;
  }
}

AggregationServer::AggregationServer(AggregationRound round, Executor* executor)
    : impl_(std::make_unique<Impl>(std::move(round), executor)) {}
AggregationServer::AggregationServer(AggregationServer&&) noexcept = default;
AggregationServer& AggregationServer::operator=(AggregationServer&&) noexcept = default;
AggregationServer::~AggregationServer() = default;

AggregationStage AggregationServer::stage() const noexcept { return impl_->stage; }
std::size_t AggregationServer::expected() const noexcept { return impl_->active.size(); }
std::size_t AggregationServer::received() const noexcept { return impl_->num_answered; }

void AggregationServer::receive(std::span<const std::byte> message) {
  Impl& self = *impl_;
  const MessageKind kind = kind_at(self.stage);
  const std::uint32_t client = check_header(message, kind, self.round);
  const std::size_t size = kHeaderBytes + self.body_bytes(self.stage) + kSignatureBytes;
  if (message.size() != size) {
    refuse_message(kind, std::to_string(size) + " bytes, found " + std::to_string(message.size()));
  }
  if (!contains(self.active, client)) refuse_message(kind, "a client of this stage");
  Record& record = self.records[client];
  if (record.answered) refuse_message(kind, "one of each client, found a second");
  const Bytes32& domain = self.stage == Stage::keys ? self.context : self.transcript;
  if (!is_signed(message, domain, self.round.clients[client])) {
    refuse_message(kind, "the signature of its client, for this round, its model and its keys");
  }
  self.take(record, client, signed_body(message), message);
  record.answered = true;
  ++self.num_answered;
}

void AggregationServer::advance() {
  Impl& self = *impl_;
  kind_at(self.stage);
  if (self.num_answered < self.round.least_clients()) {
    throw Error(ErrorCode::limit_exceeded, std::string("secure aggregation, stage '") + to_string(self.stage) +
                                               "': expected at least " + std::to_string(self.round.least_clients()) +
                                               " clients, found " + std::to_string(self.num_answered));
  }
  self.close();
}

std::vector<std::byte> AggregationServer::message_for(std::size_t client) const {
  const Impl& self = *impl_;
  if (client >= self.round.clients.size() || !contains(self.active, static_cast<std::uint32_t>(client))) {
    throw Error(ErrorCode::invalid_argument, "AggregationServer: expected a client of this stage");
  }
  if (self.stage == Stage::inputs) return self.shares_for(static_cast<std::uint32_t>(client));
  return self.announcement;
}

const std::vector<std::int64_t>& AggregationServer::sum() const {
  if (impl_->stage != Stage::done) {
    throw Error(ErrorCode::invalid_argument,
                std::string("AggregationServer: expected the stage 'done', found '") + to_string(impl_->stage) + "'");
  }
  return impl_->result;
}

const std::vector<std::uint32_t>& AggregationServer::contributors() const {
  sum();
  return impl_->survivors;
}

}  // namespace attune::inline v0_1
