// SPDX-License-Identifier: Apache-2.0
#include "privacy/aggregation_messages.hpp"

#include <algorithm>
#include <cstring>

#include "attune/error.hpp"
#include "data/little_endian.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::array<std::byte, 4> kMagic{std::byte{'A'}, std::byte{'T'}, std::byte{'S'}, std::byte{'A'}};
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kVersionAt = 4, kKindAt = 5, kZerosAt = 6, kRoundAt = 8, kClientAt = 24;

Bytes32 signed_hash(std::span<const std::byte> message, const Bytes32& domain) noexcept {
  return Hasher(domain).add("signed").add(message).hash();
}

template <class Word>
void append_words_of(std::vector<std::byte>& message, std::span<const std::uint64_t> values) {
  const std::size_t before = message.size();
  message.resize(before + values.size() * sizeof(Word));
  std::byte* out = message.data() + before;
  for (const std::uint64_t value : values) {
    const auto word = static_cast<Word>(value);
    std::memcpy(out, &word, sizeof word);
    out += sizeof word;
  }
}

template <class Word>
void add_words_of(std::span<std::uint64_t> sums, const std::byte* words) noexcept {
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += load_number<Word>(words + i * sizeof(Word));
}

}  // namespace

const char* to_string(MessageKind kind) noexcept {
  switch (kind) {
    case MessageKind::keys: return "keys";
    case MessageKind::key_list: return "key list";
    case MessageKind::shares: return "shares";
    case MessageKind::share_list: return "share list";
    case MessageKind::input: return "input";
    case MessageKind::survivors: return "survivors";
    case MessageKind::confirmation: return "confirmation";
    case MessageKind::confirmation_list: return "confirmation list";
    case MessageKind::unmasking: return "unmasking";
  }
  return "unknown";
}

void refuse_message(MessageKind kind, const std::string& problem) {
  throw Error(ErrorCode::invalid_data,
              std::string("secure aggregation, message of kind '") + to_string(kind) + "': expected " + problem);
}

std::vector<std::byte> new_message(MessageKind kind, const AggregationRound& round, std::uint32_t client,
                                   std::size_t body_bytes) {
  std::vector<std::byte> message;
  message.reserve(kHeaderBytes + body_bytes + kSignatureBytes);
  append_array(message, std::span<const std::byte>(kMagic));
  append_number(message, kVersion);
  append_number(message, kind);
  append_number(message, std::uint16_t{0});
  append_array(message, std::span<const std::byte>(round.id));
  append_number(message, client);
  return message;
}

std::uint32_t check_header(std::span<const std::byte> message, MessageKind kind, const AggregationRound& round) {
  if (message.size() < kHeaderBytes) {
    refuse_message(kind,
                   "at least " + std::to_string(kHeaderBytes) + " bytes, found " + std::to_string(message.size()));
  }
  if (!std::ranges::equal(message.first(kMagic.size()), kMagic)) refuse_message(kind, "\"ATSA\" at the beginning");
  if (const auto version = std::to_integer<unsigned>(message[kVersionAt]); version != kVersion) {
    const std::string problem = "version 1, found " + std::to_string(version);
    if (version < kVersion) refuse_message(kind, problem);
    throw Error(ErrorCode::unsupported_version, "secure aggregation: expected a message of " + problem);
  }
  if (message[kKindAt] != static_cast<std::byte>(kind)) refuse_message(kind, "this kind, found another");
  if (load_number<std::uint16_t>(message.data() + kZerosAt) != 0) refuse_message(kind, "zeros in the header");
  if (!std::ranges::equal(message.subspan(kRoundAt, round.id.size()), round.id)) {
    refuse_message(kind, "the id of this round, found another");
  }
  return load_number<std::uint32_t>(message.data() + kClientAt);
}

std::span<const std::byte> signed_body(std::span<const std::byte> message) noexcept {
  return message.subspan(kHeaderBytes, message.size() - kHeaderBytes - kSignatureBytes);
}

std::span<const std::byte> unsigned_body(std::span<const std::byte> message) noexcept {
  return message.subspan(kHeaderBytes);
}

void sign_message(std::vector<std::byte>& message, const Bytes32& domain, const ClientIdentity& identity) {
  const Bytes32 hash = signed_hash(message, domain);
  std::array<std::byte, kSignatureBytes> signature;
  crypto_sign_detached(raw(signature.data()), nullptr, raw(hash.data()), hash.size(), raw(identity.secret_key.data()));
  append_array(message, std::span<const std::byte>(signature));
}

bool is_signed(std::span<const std::byte> message, const Bytes32& domain, const Bytes32& public_key) noexcept {
  if (message.size() < kSignatureBytes) return false;
  const Bytes32 hash = signed_hash(message.first(message.size() - kSignatureBytes), domain);
  return crypto_sign_verify_detached(raw(message.last(kSignatureBytes).data()), raw(hash.data()), hash.size(),
                                     raw(public_key.data())) == 0;
}

MessageList::MessageList(MessageKind kind, std::span<const std::byte> body, std::size_t entry_bytes,
                         std::size_t num_clients)
    : entry_bytes_(entry_bytes) {
  if (body.size() < sizeof(std::uint32_t)) refuse_message(kind, "a list, found no length");
  const auto count = load_number<std::uint32_t>(body.data());
  if (count > num_clients) {
    refuse_message(kind, "at most " + std::to_string(num_clients) + " entries, found " + std::to_string(count));
  }
  if (body.size() != bytes(count, entry_bytes)) {
    refuse_message(kind,
                   std::to_string(bytes(count, entry_bytes)) + " bytes of list, found " + std::to_string(body.size()));
  }
  entries_ = body.subspan(sizeof count);
  clients_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto client = load_number<std::uint32_t>(entry(i).data() - sizeof(std::uint32_t));
    if (client >= num_clients || (i != 0 && client <= clients_.back())) {
      refuse_message(kind, "numbers of clients in ascending order");
    }
    clients_.push_back(client);
  }
}

std::span<const std::byte> MessageList::entry(std::size_t i) const noexcept {
  constexpr std::size_t kNumber = sizeof(std::uint32_t);
  return entries_.subspan(i * (kNumber + entry_bytes_) + kNumber, entry_bytes_);
}

PeerKeys keys_in(std::span<const std::byte> message) noexcept {
  const std::span<const std::byte> body = signed_body(message);
  PeerKeys keys;
  std::ranges::copy(body.first<Secret::kSize>(), keys.channel.begin());
  std::ranges::copy(body.last<Secret::kSize>(), keys.masking.begin());
  return keys;
}

std::vector<std::byte> sealed(const SharePair& shares, const Secret& key) {
  std::array<unsigned char, 2 * Secret::kSize> plain;
  std::copy_n(shares.masking_seed.data(), Secret::kSize, plain.begin());
  std::copy_n(shares.own_seed.data(), Secret::kSize, plain.begin() + Secret::kSize);
  std::vector<std::byte> box(kSealedBytes);
  randombytes_buf(box.data(), kNonceBytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(raw(box.data() + kNonceBytes), nullptr, plain.data(), plain.size(),
                                             nullptr, 0, nullptr, raw(box.data()), key.data());
  sodium_memzero(plain.data(), plain.size());
  return box;
}

SharePair unsealed(std::span<const std::byte> bytes, const Secret& key) {
  std::array<std::byte, 2 * Secret::kSize> plain;
  const auto box = bytes.subspan(kNonceBytes);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(raw(plain.data()), nullptr, nullptr, raw(box.data()), box.size(),
                                                 nullptr, 0, raw(bytes.data()), key.data()) != 0) {
    refuse_message(MessageKind::share_list, "shares that were sealed for this client and round");
  }
  const std::span<const std::byte, 2 * Secret::kSize> both(plain);
  SharePair shares{Secret(both.first<Secret::kSize>()), Secret(both.last<Secret::kSize>())};
  sodium_memzero(plain.data(), plain.size());
  return shares;
}

void append_words(std::vector<std::byte>& message, std::span<const std::uint64_t> values, unsigned word_bits) {
  if (word_bits == 32) {
    append_words_of<std::uint32_t>(message, values);
  } else {
    append_words_of<std::uint64_t>(message, values);
  }
}

void add_words(std::span<std::uint64_t> sums, std::span<const std::byte> words, unsigned word_bits) noexcept {
  if (word_bits == 32) {
    add_words_of<std::uint32_t>(sums, words.data());
  } else {
    add_words_of<std::uint64_t>(sums, words.data());
  }
}

}  // namespace attune::inline v0_1::detail
