// SPDX-License-Identifier: Apache-2.0
#pragma once

// Dropout from a counter-based generator: whether an element is kept depends on (seed, step, sequence key, site,
// position in the sequence) alone, so that the order and the number of threads do not matter and the backward pass
// draws the same mask again.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "attune/data/sequence_batch.hpp"
#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

// SplitMix64 (Steele, Lea & Flood 2014) as a hash.
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept { return mix(mix(a) ^ b); }

// What random numbers are for. Each purpose draws from streams of its own: the n-th of one never says anything about
// the n-th of another.
enum class Purpose : std::uint64_t {
  initial_values = 1,
  shuffle,
  dropout,
  bootstrap,
  windows,
  candidates,
  search,
  clusters,
  rounding
};
constexpr std::uint64_t stream_of(std::uint64_t seed, Purpose purpose, std::uint64_t n) noexcept {
  return mix(mix(seed, static_cast<std::uint64_t>(purpose)), n);
}

// Names a place of dropout: block 0 is the input; row tells the rows of attention weights apart.
constexpr std::uint64_t dropout_site(std::size_t block, std::size_t part, std::size_t row = 0) noexcept {
  return std::uint64_t{block} << 48 | std::uint64_t{part} << 32 | row;
}

struct Dropout {
  static constexpr double kLeastRate = 1.0 / 512;  // rates are rounded to 1/256: a smaller one would drop nothing

  double rate = 0.0;            // of activations
  double attention_rate = 0.0;  // of attention weights
  std::uint64_t stream = 0;     // of the step

  bool active() const noexcept { return rate > 0.0 || attention_rate > 0.0; }

  // In place: zeroes elements with probability `rate` (rounded to 1/256) and scales the kept ones so that the
  // expectation stays. x holds the n elements of one sequence; `sequence` is its key, `site` names layer and place.
  template <class T>
  static void apply(T* x, std::size_t n, double rate, std::uint64_t stream, std::uint64_t sequence,
                    std::uint64_t site) {
    const auto drop = static_cast<unsigned char>(rate * 256.0 + 0.5);
    if (drop == 0) return;
    const T keep_scale = static_cast<T>(256.0 / (256.0 - drop));
    const std::uint64_t key = mix(mix(stream, sequence), site);
    constexpr std::size_t kBytes = 256;  // drawn at a time, one for each element
    for (std::size_t first = 0; first < n; first += kBytes, x += kBytes) {
      std::uint64_t words[kBytes / 8];
      for (std::size_t w = 0; w < kBytes / 8; ++w) words[w] = mix(key + first + 8 * w);
      const auto* bytes = reinterpret_cast<const unsigned char*>(words);
      const std::size_t count = std::min(kBytes, n - first);
      for (std::size_t i = 0; i < count; ++i) x[i] *= bytes[i] < drop ? T(0) : keep_scale;
    }
  }

  // To x [N, D], each sequence on its own. Forward and backward are the same.
  template <class T>
  void apply_rows(T* x, const SequenceBatch& batch, std::size_t dim, std::uint64_t site) const {
    if (rate == 0.0) return;
    for (std::size_t s = 0; s < batch.num_sequences(); ++s) {
      apply(x + batch.begin(s) * dim, batch.length(s) * dim, rate, stream, batch.keys()[s], site);
    }
  }
};

}  // namespace attune::inline v0_1::detail
