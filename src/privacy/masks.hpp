// SPDX-License-Identifier: Apache-2.0
#pragma once

// Masks of values: words of ChaCha20 under a seed, little-endian, as randombytes_buf_deterministic gives them.

#include <cstdint>
#include <span>
#include <vector>

#include "attune/executor.hpp"
#include "privacy/secrets.hpp"

namespace attune::inline v0_1::detail {

struct Mask {
  Secret seed;
  bool add = true;  // or subtract
};

// values[i] += or -= word i of each mask, modulo 2^64: with words of 32 bits the lower halves of the values are right
// modulo 2^32. The same bits for any number of threads. Null executor: the calling thread.
void apply_masks(std::span<std::uint64_t> values, std::span<const Mask> masks, unsigned word_bits, Executor* executor);

}  // namespace attune::inline v0_1::detail
