// SPDX-License-Identifier: Apache-2.0
#pragma once

// What tests of searches through rows ask with, and how they keep what was found.

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "attune/types.hpp"

namespace attune::test {

// A bitmap of `count` rows, each with a chance of `share`.
inline std::vector<std::uint64_t> make_eligible(std::size_t count, double share, std::mt19937_64& random) {
  std::vector<std::uint64_t> bits((count + 63) / 64);
  std::bernoulli_distribution keep(share);
  for (std::size_t i = 0; i < count; ++i) bits[i / 64] |= std::uint64_t{keep(random)} << (i % 64);
  return bits;
}

inline std::vector<ScoredHandle> copied(std::span<const ScoredHandle> found) { return {found.begin(), found.end()}; }

}  // namespace attune::test
