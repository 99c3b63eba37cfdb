// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/noise.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <span>

#include "attune/detail/dropout.hpp"
#include "platform/random.hpp"

namespace attune::inline v0_1 {
namespace {

// True with probability exp(-numerator / denominator), for numerator <= denominator: the first k at which a draw with
// probability numerator / (denominator * k) fails is odd so often.
bool decays_within_one(std::uint64_t numerator, std::uint64_t denominator, RandomWords& words) {
  std::uint64_t k = 1;
  while (words.below(denominator * k) < numerator) ++k;
  return k % 2 == 1;
}

bool decays(std::uint64_t numerator, std::uint64_t denominator, RandomWords& words) {
  for (; numerator > denominator; numerator -= denominator) {
    if (!decays_within_one(1, 1, words)) return false;
  }
  return decays_within_one(numerator, denominator, words);
}

// n with probability in proportion to exp(-|n| / scale).
std::int64_t discrete_laplace(std::uint64_t scale, RandomWords& words) {
  while (true) {
    const std::uint64_t rest = words.below(scale);
    if (!decays_within_one(rest, scale, words)) continue;
    std::uint64_t magnitude = rest;
    while (decays_within_one(1, 1, words)) magnitude += scale;
    const bool negative = words.next() % 2 != 0;
    if (negative && magnitude == 0) continue;
    return negative ? -static_cast<std::int64_t>(magnitude) : static_cast<std::int64_t>(magnitude);
  }
}

}  // namespace

RandomWords::RandomWords(std::uint64_t seed) noexcept : seed_(seed) {}

void RandomWords::refill() {
  if (seed_) {
    for (std::uint64_t& word : words_) word = detail::mix(*seed_, drawn_++);
  } else {
    platform::random_bytes(std::as_writable_bytes(std::span(words_)));
  }
  left_ = words_.size();
}

std::uint64_t RandomWords::next() {
  if (left_ == 0) refill();
  return words_[--left_];
}

std::uint64_t RandomWords::below(std::uint64_t bound) {
  if (bound == 1) return 0;
  const int unused = std::countl_zero(bound - 1);
  while (true) {
    if (const std::uint64_t word = next() >> unused; word < bound) return word;
  }
}

bool RandomWords::with_probability(double probability) {
  return static_cast<double>(next() >> 11) < probability * 0x1p53;
}

// With n / d the deviation and t the scale of the Laplace variable, (y - (n / d)^2 / t)^2 / (2 (n / d)^2) is
// (y t d^2 - n^2)^2 / (2 n^2 t^2 d^2), from which the square of the common divisor of t d^2 and n^2 is taken.
DiscreteGaussian::DiscreteGaussian(std::uint32_t numerator, std::uint32_t denominator) noexcept
    : laplace_scale_(std::max(1u, numerator / denominator)) {
  const std::uint64_t variance = std::uint64_t{numerator} * numerator;
  const std::uint64_t scaled = laplace_scale_ * denominator * denominator;
  const std::uint64_t common = std::gcd(scaled, variance);
  step_ = scaled / common;
  peak_ = variance / common;
  scale_ = 2 * peak_ * step_ * laplace_scale_;
}

std::int64_t DiscreteGaussian::draw(RandomWords& words) const {
  while (true) {
    const std::int64_t value = discrete_laplace(laplace_scale_, words);
    const std::uint64_t magnitude = static_cast<std::uint64_t>(value < 0 ? -value : value) * step_;
    const std::uint64_t distance = magnitude > peak_ ? magnitude - peak_ : peak_ - magnitude;
    if (decays(distance * distance, scale_, words)) return value;
  }
}

}  // namespace attune::inline v0_1
