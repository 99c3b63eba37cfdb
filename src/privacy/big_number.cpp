// SPDX-License-Identifier: Apache-2.0
#include "privacy/big_number.hpp"

#include <sodium.h>

#include <algorithm>

namespace attune::inline v0_1::detail {
namespace {

// Uniform in [0, 2^bits).
BigNumber random_bits(std::size_t bits) {
  std::vector<std::byte> bytes((bits + 7) / 8);
  randombytes_buf(bytes.data(), bytes.size());
  BigNumber number{std::span<const std::byte>(bytes)};
  sodium_memzero(bytes.data(), bytes.size());
  mpz_fdiv_r_2exp(number.get(), number.get(), bits);
  return number;
}

}  // namespace

BigNumber::BigNumber(std::span<const std::byte> little_endian) noexcept {
  mpz_init(number_);
  mpz_import(number_, little_endian.size(), -1, 1, 0, 0, little_endian.data());
}

BigNumber::~BigNumber() {
  const auto allocated = static_cast<mp_size_t>(number_->_mp_alloc);
  if (allocated > 0) sodium_memzero(number_->_mp_d, static_cast<std::size_t>(allocated) * sizeof(mp_limb_t));
  mpz_clear(number_);
}

void BigNumber::write(std::span<std::byte> bytes) const noexcept {
  std::ranges::fill(bytes, std::byte{0});
  mpz_export(bytes.data(), nullptr, -1, 1, 0, 0, number_);
}

BigNumber power_of_secret(const BigNumber& base, const BigNumber& exponent, const BigNumber& modulus) noexcept {
  BigNumber power;
  mpz_powm_sec(power.get(), base.get(), exponent.get(), modulus.get());
  return power;
}

BigNumber inverse(const BigNumber& number, const BigNumber& modulus) noexcept {
  BigNumber result;
  mpz_invert(result.get(), number.get(), modulus.get());
  return result;
}

BigNumber greatest_common_divisor(const BigNumber& a, const BigNumber& b) noexcept {
  BigNumber result;
  mpz_gcd(result.get(), a.get(), b.get());
  return result;
}

BigNumber random_below(const BigNumber& limit) {
  BigNumber number;
  do number = random_bits(limit.bits());
  while (number.is_zero() || !(number < limit));
  return number;
}

BigNumber random_prime(unsigned bits) {
  constexpr int kRounds = 40;  // Baillie-PSW, and Miller-Rabin beyond it
  BigNumber number;
  do {
    number = random_bits(bits);
    for (const unsigned bit : {bits - 1, bits - 2, 0u}) mpz_setbit(number.get(), bit);
  } while (mpz_probab_prime_p(number.get(), kRounds) == 0);
  return number;
}

}  // namespace attune::inline v0_1::detail
