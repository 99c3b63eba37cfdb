// SPDX-License-Identifier: Apache-2.0
#pragma once

// Noise that keeps its promise on a real computer: whole numbers, drawn exactly, by integer arithmetic, from the
// operating system's generator. Floating-point noise gives its input away in the low bits (Mironov 2012).
// Not synchronised: one source per thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

// Random words.
class ATTUNE_EXPORT RandomWords {
 public:
  RandomWords() = default;                            // the operating system's: nobody can foresee them
  explicit RandomWords(std::uint64_t seed) noexcept;  // the same for the same seed: no privacy at all, for experiments

  bool secure() const noexcept { return !seed_; }
  // Throws Error(io_error) where the operating system gives none.
  std::uint64_t next();
  // Uniform below `bound` > 0, exactly.
  std::uint64_t below(std::uint64_t bound);
  // True with this probability, exactly to 2^-53.
  bool with_probability(double probability);

 private:
  void refill();

  std::optional<std::uint64_t> seed_;
  std::uint64_t drawn_ = 0;  // by a seeded source
  std::array<std::uint64_t, 512> words_;
  std::size_t left_ = 0;
};

// The normal distribution on the integers: n with probability in proportion to exp(-n^2 / (2 s^2)), drawn exactly
// (Canonne, Kamath & Steinke 2020). Added to whole numbers it costs the Renyi divergence that normal noise does. What
// normal noise costs by the tight accountant it costs too, up to a part of dimensions / s^2, which is nothing for s as
// large as noise_scale().
class ATTUNE_EXPORT DiscreteGaussian {
 public:
  // s = numerator / denominator. Precondition: both at least 1, numerator at most 2^24, denominator at most 2^8.
  explicit DiscreteGaussian(std::uint32_t numerator, std::uint32_t denominator = 1) noexcept;

  // Throws what RandomWords::next() throws.
  std::int64_t draw(RandomWords& words) const;

 private:
  std::uint64_t laplace_scale_;
  // A Laplace variable of magnitude y is kept with probability exp(-(y * step_ - peak_)^2 / scale_).
  std::uint64_t step_, peak_, scale_;
};

// Steps of the grid, in a standard deviation of noise, on which sums are published: fine enough for normal and discrete
// noise to be one, coarse enough for sums of 2^46 records to fit.
inline constexpr std::uint32_t noise_scale() noexcept { return 1u << 16; }

}  // namespace attune::inline v0_1
