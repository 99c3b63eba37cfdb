// SPDX-License-Identifier: Apache-2.0
#include "privacy/aggregation_round.hpp"

#include <algorithm>
#include <string>

#include "attune/error.hpp"

namespace attune::inline v0_1 {

ClientIdentity ClientIdentity::generate() {
  detail::prepare_sodium();
  ClientIdentity identity;
  crypto_sign_keypair(detail::raw(identity.public_key.data()), detail::raw(identity.secret_key.data()));
  return identity;
}

ClientIdentity::~ClientIdentity() { sodium_memzero(secret_key.data(), secret_key.size()); }

std::array<std::byte, 16> AggregationRound::fresh_id() {
  detail::prepare_sodium();
  std::array<std::byte, 16> id;
  randombytes_buf(id.data(), id.size());
  return id;
}

std::array<std::byte, 32> AggregationRound::hash_of(std::span<const std::byte> bytes) {
  return detail::Hasher().add(bytes).hash();
}

const char* to_string(AggregationStage stage) noexcept {
  switch (stage) {
    case AggregationStage::keys: return "keys";
    case AggregationStage::shares: return "shares";
    case AggregationStage::inputs: return "inputs";
    case AggregationStage::confirmations: return "confirmations";
    case AggregationStage::unmasking: return "unmasking";
    case AggregationStage::done: return "done";
    case AggregationStage::failed: return "failed";
  }
  return "unknown";
}

}  // namespace attune::inline v0_1

namespace attune::inline v0_1::detail {
namespace {

constexpr std::string_view kProtocol = "attune secure aggregation 1";

void require(bool holds, const std::string& problem) {
  if (!holds) throw Error(ErrorCode::invalid_config, "AggregationRound::" + problem);
}

Secret derive(const Secret& key, std::string_view purpose, const Bytes32& domain, std::uint32_t a,
              std::uint32_t b) noexcept {
  return Hasher(key.bytes()).add(purpose.size()).add(purpose).add(domain).add(a).add(b).secret();
}

}  // namespace

void check_round(const AggregationRound& round) {
  const std::size_t n = round.clients.size();
  require(n >= 3 && n <= AggregationRound::kMostClients,
          "clients: expected 3 to " + std::to_string(AggregationRound::kMostClients) + ", found " + std::to_string(n));
  require(round.num_values >= 1 && round.num_values <= AggregationRound::kMostValues,
          "num_values: expected 1 to " + std::to_string(AggregationRound::kMostValues) + ", found " +
              std::to_string(round.num_values));
  require(round.word_bits == 32 || round.word_bits == 64,
          "word_bits: expected 32 or 64, found " + std::to_string(round.word_bits));
  const std::size_t least = round.least_clients();
  require(least > n / 2 && least <= n, "threshold: expected more than half of " + std::to_string(n) +
                                           " clients and at most all, found " + std::to_string(least));
  const std::uint64_t largest_sum = (std::uint64_t{1} << (round.word_bits - 1)) - 1;
  const std::uint64_t largest = largest_sum / n;
  require(round.max_magnitude >= 1 && static_cast<std::uint64_t>(round.max_magnitude) <= largest,
          "max_magnitude: expected 1 to " + std::to_string(largest) + ", beyond which the sum of " + std::to_string(n) +
              " clients overflows " + std::to_string(round.word_bits) + " bits, found " +
              std::to_string(round.max_magnitude));
  auto keys = round.clients;
  std::ranges::sort(keys);
  require(std::ranges::adjacent_find(keys) == keys.end(), "clients: expected a public key of its own for each");
}

Bytes32 context_of(const AggregationRound& round) noexcept {
  Hasher hasher;
  hasher.add(kProtocol).add(round.id).add(round.model_hash).add(round.num_values).add(round.word_bits);
  hasher.add(static_cast<std::uint64_t>(round.max_magnitude)).add(round.least_clients()).add(round.clients.size());
  for (const auto& key : round.clients) hasher.add(key);
  return hasher.hash();
}

Bytes32 transcript_of(const Bytes32& context, std::span<const std::byte> keys) noexcept {
  return Hasher(context).add("keys").add(keys).hash();
}

Bytes32 statement_of(const Bytes32& transcript, std::span<const std::uint32_t> sharers,
                     std::span<const std::uint32_t> survivors) noexcept {
  Hasher hasher(transcript);
  hasher.add("survivors");
  for (const auto set : {sharers, survivors}) hasher.add(set.size()).add(std::as_bytes(set));
  return hasher.hash();
}

KeyPair masking_keys(const Secret& seed, const Bytes32& context, std::uint32_t client) noexcept {
  KeyPair keys{derive(seed, "masking keys", context, client, client), {}};
  crypto_scalarmult_base(raw(keys.public_key.data()), keys.secret_key.data());
  return keys;
}

KeyPair channel_keys() noexcept {
  KeyPair keys;
  randombytes_buf(keys.secret_key.data(), Secret::kSize);
  crypto_scalarmult_base(raw(keys.public_key.data()), keys.secret_key.data());
  return keys;
}

Secret random_seed() noexcept {
  Secret seed;
  randombytes_buf(seed.data(), Secret::kSize - 1);
  return seed;
}

std::optional<Secret> agree(const Secret& secret_key, const Bytes32& public_key) noexcept {
  Secret agreed;
  if (crypto_scalarmult(agreed.data(), secret_key.data(), raw(public_key.data())) != 0) return std::nullopt;
  return agreed;
}

Secret channel_key(const Secret& agreed, const Bytes32& transcript, std::uint32_t from, std::uint32_t to) noexcept {
  return derive(agreed, "channel", transcript, from, to);
}

Secret pair_mask_seed(const Secret& agreed, const Bytes32& transcript, std::uint32_t a, std::uint32_t b) noexcept {
  return derive(agreed, "pair mask", transcript, std::min(a, b), std::max(a, b));
}

Secret own_mask_seed(const Secret& seed, const Bytes32& transcript, std::uint32_t client) noexcept {
  return derive(seed, "own mask", transcript, client, client);
}

Bytes32 commitment_to(const Secret& seed, const Bytes32& transcript, std::uint32_t client) noexcept {
  return Hasher(seed.bytes()).add("commitment").add(transcript).add(client).hash();
}

}  // namespace attune::inline v0_1::detail
