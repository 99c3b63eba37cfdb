// SPDX-License-Identifier: Apache-2.0
#include "privacy/paillier_messages.hpp"

#include <algorithm>
#include <array>

#include "attune/error.hpp"
#include "data/little_endian.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::array<std::byte, 4> kMagic{std::byte{'A'}, std::byte{'T'}, std::byte{'P'}, std::byte{'L'}};
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kVersionAt = 4, kKindAt = 5, kZerosAt = 6;

void require(bool holds, const std::string& problem) {
  if (!holds) throw Error(ErrorCode::invalid_config, "PaillierRound::" + problem);
}

}  // namespace

PaillierKeyParts::PaillierKeyParts(BigNumber n) : modulus(std::move(n)) {
  std::vector<std::byte> bytes(bits() / 8);
  modulus.n.write(bytes);
  fingerprint = Hasher().add("attune paillier 1").add(bytes).hash();
}

void refuse_paillier(const std::string& problem) {
  throw Error(ErrorCode::invalid_data, "homomorphic aggregation: expected " + problem);
}

std::vector<std::byte> new_paillier_message(PaillierKind kind) {
  std::vector<std::byte> message;
  append_array(message, std::span<const std::byte>(kMagic));
  append_number(message, kVersion);
  append_number(message, kind);
  append_number(message, std::uint16_t{0});
  return message;
}

std::span<const std::byte> paillier_body(std::span<const std::byte> message, PaillierKind kind) {
  if (message.size() < kPaillierHeaderBytes || !std::ranges::equal(message.first(kMagic.size()), kMagic)) {
    refuse_paillier("a message that begins with \"ATPL\"");
  }
  if (const auto version = std::to_integer<unsigned>(message[kVersionAt]); version != kVersion) {
    const std::string problem = "a message of version 1, found " + std::to_string(version);
    if (version < kVersion) refuse_paillier(problem);
    throw Error(ErrorCode::unsupported_version, "homomorphic aggregation: expected " + problem);
  }
  if (message[kKindAt] != static_cast<std::byte>(kind) || load_number<std::uint16_t>(message.data() + kZerosAt) != 0) {
    refuse_paillier("a message of kind " + std::to_string(static_cast<unsigned>(kind)) + ", found another");
  }
  return message.subspan(kPaillierHeaderBytes);
}

unsigned key_bits(std::span<const std::byte> body, std::size_t bytes_per_16_bits) {
  if (body.size() < sizeof(std::uint32_t)) refuse_paillier("a key, found no length");
  const auto bits = load_number<std::uint32_t>(body.data());
  if (bits < PaillierPublicKey::kLeastBits || bits > PaillierPublicKey::kMostBits || bits % 16 != 0) {
    refuse_paillier("a key of 2048 to 8192 bits, found " + std::to_string(bits));
  }
  const std::size_t size = sizeof bits + bits / 16 * bytes_per_16_bits;
  if (body.size() != size) {
    refuse_paillier("a key of " + std::to_string(size) + " bytes, found " + std::to_string(body.size()));
  }
  return bits;
}

void check_round(const PaillierRound& round) {
  require(round.num_values >= 1 && round.num_values <= PaillierRound::kMostValues,
          "num_values: expected 1 to " + std::to_string(PaillierRound::kMostValues) + ", found " +
              std::to_string(round.num_values));
  require(round.slot_bits >= 8 && round.slot_bits <= 62,
          "slot_bits: expected 8 to 62, found " + std::to_string(round.slot_bits));
  const std::uint64_t room = std::uint64_t{1} << round.slot_bits;
  require(round.max_clients >= 1 && round.max_clients <= room / 3,
          "max_clients: expected 1 to " + std::to_string(room / 3) + " with such slots, found " +
              std::to_string(round.max_clients));
  const std::uint64_t largest = (room / round.max_clients - 1) / 2;
  require(round.max_magnitude >= 1 && static_cast<std::uint64_t>(round.max_magnitude) <= largest,
          "max_magnitude: expected 1 to " + std::to_string(largest) + ", beyond which the sum of " +
              std::to_string(round.max_clients) + " clients overflows a slot, found " +
              std::to_string(round.max_magnitude));
}

PaillierLayout::PaillierLayout(const PaillierKeyParts& key, const PaillierRound& round)
    : modulus_(key.modulus),
      domain_(Hasher(key.fingerprint)
                  .add(round.id)
                  .add(round.num_values)
                  .add(static_cast<std::uint64_t>(round.max_magnitude))
                  .add(round.max_clients)
                  .add(round.slot_bits)
                  .hash()),
      slots_per_ciphertext_(slots_of(key.bits(), round.slot_bits)),
      num_integers_(round.num_values + 1),
      num_ciphertexts_((num_integers_ + slots_per_ciphertext_ - 1) / slots_per_ciphertext_),
      ciphertext_bytes_(key.bits() / 4) {}

std::size_t PaillierLayout::slots(std::size_t ciphertext) const noexcept {
  return std::min(slots_per_ciphertext_, num_integers_ - first(ciphertext));
}

std::vector<std::byte> PaillierLayout::message_of(PaillierKind kind, std::span<const BigNumber> ciphertexts) const {
  std::vector<std::byte> message = new_paillier_message(kind);
  append_array(message, std::span<const std::byte>(domain_));
  const std::size_t begin = message.size();
  message.resize(begin + ciphertexts.size() * ciphertext_bytes_);
  for (std::size_t i = 0; i < ciphertexts.size(); ++i) {
    ciphertexts[i].write(std::span(message).subspan(begin + i * ciphertext_bytes_, ciphertext_bytes_));
  }
  return message;
}

std::vector<BigNumber> PaillierLayout::ciphertexts_in(std::span<const std::byte> message, PaillierKind kind) const {
  const std::span<const std::byte> body = paillier_body(message, kind);
  const std::size_t size = domain_.size() + num_ciphertexts_ * ciphertext_bytes_;
  if (body.size() != size) {
    refuse_paillier("a message of " + std::to_string(kPaillierHeaderBytes + size) + " bytes, found " +
                    std::to_string(message.size()));
  }
  if (!std::ranges::equal(body.first(domain_.size()), domain_)) refuse_paillier("a message of this round and key");
  std::vector<BigNumber> ciphertexts;
  ciphertexts.reserve(num_ciphertexts_);
  BigNumber product(1);  // has a common divisor with n where one of them has
  for (std::size_t i = 0; i < num_ciphertexts_; ++i) {
    ciphertexts.emplace_back(body.subspan(domain_.size() + i * ciphertext_bytes_, ciphertext_bytes_));
    if (!(ciphertexts.back() < modulus_.n_squared)) refuse_paillier("ciphertexts below n^2");
    product = product * ciphertexts.back() % modulus_.n;
  }
  if (!(greatest_common_divisor(product, modulus_.n) == BigNumber(1))) {
    refuse_paillier("ciphertexts without a common divisor with n");
  }
  return ciphertexts;
}

}  // namespace attune::inline v0_1::detail
