// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "attune/error.hpp"
#include "data/little_endian.hpp"
#include "privacy/paillier_messages.hpp"

namespace attune::inline v0_1 {

using namespace detail;

namespace {

// Primes that differ in their higher halves: n is not to be found near the square of its root (Fermat).
bool far_apart(const BigNumber& p, const BigNumber& q, unsigned bits) {
  constexpr unsigned kLeastDistance = 100;
  return (p < q ? q - p : p - q).bits() > bits / 2 - kLeastDistance;
}

}  // namespace

PaillierPublicKey PaillierPublicKey::from_bytes(std::span<const std::byte> bytes) {
  const std::span<const std::byte> body = paillier_body(bytes, PaillierKind::public_key);
  const unsigned bits = key_bits(body, 2);
  BigNumber n(body.subspan(sizeof(std::uint32_t)));
  if (n.bits() != bits || !n.is_odd()) refuse_paillier("an odd n of exactly " + std::to_string(bits) + " bits");
  return PaillierPublicKey(std::make_shared<const PaillierKeyParts>(std::move(n)));
}

std::vector<std::byte> PaillierPublicKey::to_bytes() const {
  std::vector<std::byte> message = new_paillier_message(PaillierKind::public_key);
  append_number(message, std::uint32_t{bits()});
  message.resize(message.size() + bits() / 8);
  parts_->modulus.n.write(std::span(message).last(bits() / 8));
  return message;
}

unsigned PaillierPublicKey::bits() const noexcept { return parts_->bits(); }
const std::array<std::byte, 32>& PaillierPublicKey::fingerprint() const noexcept { return parts_->fingerprint; }

struct PaillierPrivateKey::Impl {
  Impl(const BigNumber& p, const BigNumber& q)
      : primes(p, q), public_key(std::make_shared<const PaillierKeyParts>(primes.modulus().n)) {}

  PaillierPrimes primes;
  PaillierPublicKey public_key;
};

PaillierPrivateKey PaillierPrivateKey::generate(unsigned bits) {
  if (bits < PaillierPublicKey::kLeastBits || bits > PaillierPublicKey::kMostBits || bits % 16 != 0) {
    throw Error(ErrorCode::invalid_argument,
                "PaillierPrivateKey: expected 2048 to 8192 bits, a multiple of 16, found " + std::to_string(bits));
  }
  prepare_sodium();
  BigNumber p, q;
  do {
    p = random_prime(bits / 2);
    q = random_prime(bits / 2);
  } while (!far_apart(p, q, bits));
  return PaillierPrivateKey(std::make_shared<const Impl>(p, q));
}

PaillierPrivateKey PaillierPrivateKey::from_bytes(std::span<const std::byte> bytes) {
  const std::span<const std::byte> body = paillier_body(bytes, PaillierKind::private_key);
  const unsigned bits = key_bits(body, 2);
  const BigNumber p(body.subspan(sizeof(std::uint32_t), bits / 16)), q(body.last(bits / 16));
  constexpr int kRounds = 25;
  const bool primes = mpz_probab_prime_p(p.get(), kRounds) != 0 && mpz_probab_prime_p(q.get(), kRounds) != 0;
  if (!primes || (p * q).bits() != bits || !far_apart(p, q, bits)) {
    refuse_paillier("two primes whose product has " + std::to_string(bits) + " bits");
  }
  return PaillierPrivateKey(std::make_shared<const Impl>(p, q));
}

std::vector<std::byte> PaillierPrivateKey::to_bytes() const {
  const std::size_t size = public_key().bits() / 16;
  std::vector<std::byte> message = new_paillier_message(PaillierKind::private_key);
  message.reserve(message.size() + sizeof(std::uint32_t) + 2 * size);
  append_number(message, std::uint32_t{public_key().bits()});
  message.resize(message.size() + 2 * size);
  impl_->primes.p().write(std::span(message).last(2 * size).first(size));
  impl_->primes.q().write(std::span(message).last(size));
  return message;
}

const PaillierPublicKey& PaillierPrivateKey::public_key() const noexcept { return impl_->public_key; }

PaillierPrivateKey::Sum PaillierPrivateKey::decrypt(const PaillierRound& round, std::span<const std::byte> message,
                                                    Executor* executor) const {
  check_round(round);
  const PaillierLayout layout(*public_key().parts_, round);
  const std::vector<BigNumber> ciphertexts = layout.ciphertexts_in(message, PaillierKind::sum);
  std::vector<std::uint64_t> integers(layout.num_integers());
  InlineExecutor here;
  (executor != nullptr ? *executor : here).run(ciphertexts.size(), [&](std::size_t i, std::size_t) {
    const auto slots = std::span(integers).subspan(layout.first(i), layout.slots(i));
    if (!unpack(impl_->primes.decrypt(ciphertexts[i]), slots, round.slot_bits)) {
      refuse_paillier("a sum that fits its slots");
    }
  });
  Sum sum{.clients = integers.front(), .values = {}};
  if (sum.clients < 1 || sum.clients > round.max_clients) refuse_paillier("a sum of at most max_clients clients");
  sum.values.reserve(round.num_values);
  const std::int64_t offset = static_cast<std::int64_t>(sum.clients) * round.max_magnitude;
  for (std::size_t i = 1; i < integers.size(); ++i) {
    const auto value = static_cast<std::int64_t>(integers[i]) - offset;
    if (value > offset) refuse_paillier("sums of values within max_magnitude");
    sum.values.push_back(value);
  }
  return sum;
}

}  // namespace attune::inline v0_1
