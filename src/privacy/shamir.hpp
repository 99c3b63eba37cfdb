// SPDX-License-Identifier: Apache-2.0
#pragma once

// Shamir's secret sharing modulo the order of ristretto255, about 2^252: any `threshold` shares give the secret, fewer
// say nothing about it (Shamir, CACM 1979). Time does not depend on secrets.

#include <cstdint>
#include <span>
#include <vector>

#include "privacy/secrets.hpp"

namespace attune::inline v0_1::detail {

// f(0) is the secret, f(point) a share. Points begin at 1.
class SharingPolynomial {
 public:
  // From the constant coefficient on; at least one, each below the order.
  explicit SharingPolynomial(std::vector<Secret> coefficients) noexcept : coefficients_(std::move(coefficients)) {}
  // All coefficients but the first are random. Preconditions: the secret is below the order; threshold >= 1.
  static SharingPolynomial random(const Secret& secret, std::size_t threshold);

  Secret share(std::uint32_t point) const noexcept;

 private:
  std::vector<Secret> coefficients_;
};

// What to multiply the shares of these points with, so that they add up to the secret. Points are distinct, none is 0.
std::vector<Secret> weights_at_zero(std::span<const std::uint32_t> points);

// The sum of weights[i] * shares[i].
Secret combine(std::span<const Secret> weights, std::span<const Secret> shares) noexcept;

}  // namespace attune::inline v0_1::detail
