// SPDX-License-Identifier: Apache-2.0
#pragma once

// Encoders with weights large enough that every part of them matters, and histories to run through them.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/model/transformer_encoder.hpp"

namespace attune::test {

// Matrices and rows with deviation of about 0.3, norms around 1, biases around 0.
template <class T, template <class> class Block = SasrecBlock>
TransformerEncoder<T, Block> random_encoder(const EncoderConfig& config, std::size_t num_items,
                                            std::uint64_t seed = 1) {
  TransformerEncoder<T, Block> encoder(config, num_items);
  encoder.initialize(seed);
  for (std::size_t i = 0; i < encoder.weights().size(); ++i) {
    const bool normal = encoder.parameters().owner(i).initial == Initial::normal;
    encoder.weights()[i] *= normal ? T(15) : T(1);
    encoder.weights()[i] += normal ? T(0) : static_cast<T>(0.1 * detail::truncated_normal(detail::mix(seed + 1, i)));
  }
  for (std::size_t r = 0; r < num_items; ++r) {
    for (T& value : encoder.items().row(r)) value *= T(15);
  }
  return encoder;
}

inline std::vector<ItemHandle> random_items(std::size_t count, std::size_t num_items, std::uint64_t seed) {
  std::vector<ItemHandle> items(count);
  for (std::size_t i = 0; i < count; ++i) items[i] = static_cast<ItemHandle>(detail::mix(seed, i) % num_items);
  return items;
}

template <class T>
double largest_difference(std::span<const T> a, std::span<const T> b) {
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(difference <= largest)) largest = difference;  // NaN counts
  }
  return largest;
}

}  // namespace attune::test
