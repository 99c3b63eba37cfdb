// SPDX-License-Identifier: Apache-2.0
#pragma once

// Whole numbers of any size, wiped when they go. GMP's own scratch memory is not, and its functions take a time that
// depends on their operands unless they are named for it: power_of_secret() is.

#include <gmp.h>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

class BigNumber {
 public:
  BigNumber() noexcept { mpz_init(number_); }
  explicit BigNumber(unsigned long value) noexcept { mpz_init_set_ui(number_, value); }
  // Decimal digits.
  explicit BigNumber(const char* digits) noexcept { mpz_init_set_str(number_, digits, 10); }
  explicit BigNumber(std::span<const std::byte> little_endian) noexcept;
  BigNumber(const BigNumber& other) noexcept { mpz_init_set(number_, other.number_); }
  BigNumber(BigNumber&& other) noexcept : BigNumber() { mpz_swap(number_, other.number_); }
  BigNumber& operator=(BigNumber other) noexcept {
    mpz_swap(number_, other.number_);
    return *this;
  }
  ~BigNumber();

  mpz_ptr get() noexcept { return number_; }
  mpz_srcptr get() const noexcept { return number_; }
  std::size_t bits() const noexcept { return mpz_sgn(number_) == 0 ? 0 : mpz_sizeinbase(number_, 2); }
  bool is_zero() const noexcept { return mpz_sgn(number_) == 0; }
  bool is_odd() const noexcept { return mpz_odd_p(number_) != 0; }

  // Little-endian. Precondition: the number fits.
  void write(std::span<std::byte> bytes) const noexcept;

  friend bool operator==(const BigNumber& a, const BigNumber& b) noexcept { return mpz_cmp(a.number_, b.number_) == 0; }
  friend bool operator<(const BigNumber& a, const BigNumber& b) noexcept { return mpz_cmp(a.number_, b.number_) < 0; }

  friend BigNumber operator+(BigNumber a, const BigNumber& b) noexcept {
    mpz_add(a.number_, a.number_, b.number_);
    return a;
  }
  friend BigNumber operator-(BigNumber a, const BigNumber& b) noexcept {
    mpz_sub(a.number_, a.number_, b.number_);
    return a;
  }
  friend BigNumber operator*(BigNumber a, const BigNumber& b) noexcept {
    mpz_mul(a.number_, a.number_, b.number_);
    return a;
  }
  // In [0, b), also of a negative number.
  friend BigNumber operator%(BigNumber a, const BigNumber& b) noexcept {
    mpz_mod(a.number_, a.number_, b.number_);
    return a;
  }
  // Precondition: without remainder.
  friend BigNumber operator/(BigNumber a, const BigNumber& b) noexcept {
    mpz_divexact(a.number_, a.number_, b.number_);
    return a;
  }

 private:
  mpz_t number_;
};

// base^exponent mod an odd modulus, in a time that does not depend on the values of base and exponent. Precondition:
// exponent > 0.
BigNumber power_of_secret(const BigNumber& base, const BigNumber& exponent, const BigNumber& modulus) noexcept;
// Precondition: it exists.
BigNumber inverse(const BigNumber& number, const BigNumber& modulus) noexcept;
BigNumber greatest_common_divisor(const BigNumber& a, const BigNumber& b) noexcept;

// From the generator of the system: uniform in [1, limit), and a prime with its two highest bits set.
BigNumber random_below(const BigNumber& limit);
BigNumber random_prime(unsigned bits);

}  // namespace attune::inline v0_1::detail
