// SPDX-License-Identifier: Apache-2.0
#pragma once

// Values as integers that can be added under masks and in ciphertexts without error and without overflow. Immutable;
// safe from any number of threads.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

struct QuantiserOptions {
  double clip = 1;                  // values beyond -clip and clip are cut there
  unsigned value_bits = 16;         // 2..32, the sign among them: more is finer, and needs wider sums
  std::uint64_t max_weight = 1;     // that a client may have, say the number of its events
  std::size_t max_clients = 1'000;  // whose integers may be added
};

// A value x of weight w becomes w x / step, rounded at random to one of its two neighbours, so that the mean over many
// clients is that of the values themselves. The largest sum, max_clients * max_weight * 2^(value_bits - 1), is below
// 2^62, and what one client sends at most 2^52, where a double counts without gaps.
class ATTUNE_EXPORT Quantiser {
 public:
  // Throws Error(invalid_config) for options outside these bounds.
  explicit Quantiser(QuantiserOptions options = {});

  const QuantiserOptions& options() const noexcept { return options_; }
  double step() const noexcept { return step_; }                          // of a value of weight 1
  std::int64_t max_magnitude() const noexcept { return max_magnitude_; }  // of one client's integers
  std::int64_t max_sum() const noexcept { return max_sum_; }              // of the integers of all clients
  unsigned sum_bits() const noexcept { return sum_bits_; }                // that hold every sum, the sign among them

  // values: [D]. Returns [D + 1], the weight last. The seed decides how it rounds: another one for every client and
  // round. Throws Error: non_finite for a value that is, invalid_argument for a weight that is not in [1, max_weight].
  std::vector<std::int64_t> encode(std::span<const float> values, std::uint64_t weight, std::uint64_t seed) const;
  // sums: [D + 1], of what clients encoded. Returns their weighted mean, [D]. Throws Error(invalid_argument) for sums
  // that no max_clients clients can have.
  std::vector<float> mean(std::span<const std::int64_t> sums) const;

 private:
  QuantiserOptions options_;
  double step_ = 0;
  std::int64_t max_magnitude_ = 0, max_sum_ = 0;
  unsigned sum_bits_ = 0;
};

}  // namespace attune::inline v0_1
