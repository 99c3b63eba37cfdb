// SPDX-License-Identifier: Apache-2.0
#include "privacy/paillier_arithmetic.hpp"

namespace attune::inline v0_1::detail {

// L(x) = (x - 1) / p. With g = n + 1, L(g^(p-1) mod p^2) is (p - 1) q = -q modulo p.
PaillierPrimes::Half::Half(const BigNumber& a_prime, const BigNumber& other)
    : prime(a_prime),
      prime_squared(prime * prime),
      prime_minus_one(prime - BigNumber(1)),
      factor(inverse((prime - other % prime) % prime, prime)) {}

BigNumber PaillierPrimes::Half::decrypt(const BigNumber& ciphertext) const {
  const BigNumber power = power_of_secret(ciphertext % prime_squared, prime_minus_one, prime_squared);
  return (power - BigNumber(1)) / prime * factor % prime;
}

PaillierPrimes::PaillierPrimes(const BigNumber& p, const BigNumber& q)
    : of_p_(p, q), of_q_(q, p), modulus_(p * q), p_inverse_(inverse(p % q, q)) {}

BigNumber PaillierPrimes::decrypt(const BigNumber& ciphertext) const {
  const BigNumber by_p = of_p_.decrypt(ciphertext), by_q = of_q_.decrypt(ciphertext);
  return by_p + (by_q - by_p) * p_inverse_ % q() * p();
}

BigNumber packed(std::span<const std::uint64_t> slots, unsigned slot_bits) {
  BigNumber plaintext;
  for (const std::uint64_t slot : slots) {
    mpz_mul_2exp(plaintext.get(), plaintext.get(), slot_bits);
    mpz_add_ui(plaintext.get(), plaintext.get(), slot);
  }
  return plaintext;
}

bool unpack(const BigNumber& plaintext, std::span<std::uint64_t> slots, unsigned slot_bits) {
  BigNumber rest = plaintext, slot;
  for (std::size_t i = slots.size(); i-- > 0;) {
    mpz_fdiv_r_2exp(slot.get(), rest.get(), slot_bits);
    mpz_fdiv_q_2exp(rest.get(), rest.get(), slot_bits);
    slots[i] = mpz_get_ui(slot.get());
  }
  return rest.is_zero();
}

}  // namespace attune::inline v0_1::detail
