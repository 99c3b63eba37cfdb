// SPDX-License-Identifier: Apache-2.0
#include "privacy/shamir.hpp"

#include <cstring>

namespace attune::inline v0_1::detail {
namespace {

Secret scalar_of(std::uint32_t number) noexcept {
  Secret scalar;
  std::memcpy(scalar.data(), &number, sizeof number);
  return scalar;
}

void multiply(Secret& a, const Secret& b) noexcept {
  crypto_core_ristretto255_scalar_mul(a.data(), a.data(), b.data());
}

void add(Secret& a, const Secret& b) noexcept { crypto_core_ristretto255_scalar_add(a.data(), a.data(), b.data()); }

}  // namespace

SharingPolynomial SharingPolynomial::random(const Secret& secret, std::size_t threshold) {
  std::vector<Secret> coefficients(threshold);
  coefficients.front() = secret;
  for (std::size_t i = 1; i < threshold; ++i) crypto_core_ristretto255_scalar_random(coefficients[i].data());
  return SharingPolynomial(std::move(coefficients));
}

Secret SharingPolynomial::share(std::uint32_t point) const noexcept {
  const Secret x = scalar_of(point);
  Secret value = coefficients_.back();
  for (std::size_t i = coefficients_.size() - 1; i-- > 0;) {
    multiply(value, x);
    add(value, coefficients_[i]);
  }
  return value;
}

std::vector<Secret> weights_at_zero(std::span<const std::uint32_t> points) {
  std::vector<Secret> weights;
  weights.reserve(points.size());
  for (const std::uint32_t point : points) {
    Secret numerator = scalar_of(1), denominator = scalar_of(1), inverse;
    for (const std::uint32_t other : points) {
      if (other == point) continue;
      const Secret x = scalar_of(other);
      Secret difference;
      crypto_core_ristretto255_scalar_sub(difference.data(), x.data(), scalar_of(point).data());
      multiply(numerator, x);
      multiply(denominator, difference);
    }
    static_cast<void>(crypto_core_ristretto255_scalar_invert(inverse.data(), denominator.data()));
    multiply(numerator, inverse);
    weights.push_back(numerator);
  }
  return weights;
}

Secret combine(std::span<const Secret> weights, std::span<const Secret> shares) noexcept {
  Secret sum;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    Secret part = weights[i];
    multiply(part, shares[i]);
    add(sum, part);
  }
  return sum;
}

}  // namespace attune::inline v0_1::detail
