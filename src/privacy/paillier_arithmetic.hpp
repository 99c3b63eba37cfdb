// SPDX-License-Identifier: Apache-2.0
#pragma once

// Paillier's cryptosystem with g = n + 1, and how integers share a plaintext. Keys of any length, from given primes:
// only tests make short ones, with this header, which is not installed; the public classes refuse them.

#include <cstdint>
#include <span>
#include <vector>

#include "privacy/big_number.hpp"

namespace attune::inline v0_1::detail {

struct PaillierModulus {
  explicit PaillierModulus(BigNumber modulus) : n(std::move(modulus)), n_squared(n * n) {}

  // (1 + n m) r^n mod n^2, for a plaintext in [0, n).
  BigNumber encrypt(const BigNumber& plaintext, const BigNumber& r) const {
    return (BigNumber(1) + n * plaintext) * power_of_secret(r, n, n_squared) % n_squared;
  }
  // Of the sum of two plaintexts.
  BigNumber add(const BigNumber& a, const BigNumber& b) const { return a * b % n_squared; }

  BigNumber n, n_squared;
};

// Decrypts by the Chinese remainder theorem.
class PaillierPrimes {
 public:
  // Precondition: two different odd primes of the same number of bits.
  PaillierPrimes(const BigNumber& p, const BigNumber& q);

  const PaillierModulus& modulus() const noexcept { return modulus_; }
  const BigNumber& p() const noexcept { return of_p_.prime; }
  const BigNumber& q() const noexcept { return of_q_.prime; }
  // Precondition: a ciphertext in (0, n^2) without a common divisor with n.
  BigNumber decrypt(const BigNumber& ciphertext) const;

 private:
  // What one prime says of the plaintext.
  struct Half {
    Half(const BigNumber& prime, const BigNumber& other);
    BigNumber decrypt(const BigNumber& ciphertext) const;

    BigNumber prime, prime_squared, prime_minus_one, factor;
  };

  Half of_p_, of_q_;
  PaillierModulus modulus_;
  BigNumber p_inverse_;  // modulo q
};

// Slots of one plaintext, the first in the highest place. Preconditions: each is below 2^slot_bits.
BigNumber packed(std::span<const std::uint64_t> slots, unsigned slot_bits);
// The opposite. False where the plaintext is more than so many slots hold.
bool unpack(const BigNumber& plaintext, std::span<std::uint64_t> slots, unsigned slot_bits);
// How many slots a plaintext below 2^(key_bits - 2) holds.
constexpr std::size_t slots_of(unsigned key_bits, unsigned slot_bits) noexcept { return (key_bits - 2) / slot_bits; }

}  // namespace attune::inline v0_1::detail
