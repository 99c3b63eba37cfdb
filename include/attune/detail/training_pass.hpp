// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the layers of one pass share: in training over a packed batch, in serving over a few more rows of one sequence.

#include <concepts>
#include <cstddef>
#include <cstdint>

#include "attune/data/sequence_batch.hpp"
#include "attune/detail/dropout.hpp"
#include "attune/detail/layers.hpp"
#include "attune/model/sequence_state.hpp"

namespace attune::inline v0_1 {

// How a training pass differs from what is served.
struct TrainingMode {
  TrainingMode(detail::Dropout drop = {}, detail::Precision products = detail::Precision::full) noexcept
      : dropout(drop), precision(products) {}
  detail::Dropout dropout;
  detail::Precision precision;
};

namespace detail {

template <class T>
struct TrainingPass {
  const SequenceBatch& batch;
  const TrainingMode& mode;
  const T* parameters;  // the dense array of the encoder
  // Per sequence of L events, back to back, [L, L]: the bucket of the gap in time between a row and a key, for keys
  // that the row may see. Null where the encoder reads no times.
  const std::uint8_t* gaps = nullptr;
};

// R more rows at positions position ... position + R - 1 of a sequence.
template <class T>
struct ServingPass {
  KeyValueCache<T> cache;
  std::size_t rows, position;
  const T* parameters;
  const std::uint8_t* gaps;  // [R, gap_stride], as above; null where the encoder reads no times
  std::size_t gap_stride;

  ServingPass part(std::size_t first, std::size_t count) const noexcept {
    ServingPass some = *this;
    some.rows = count;
    some.position += first;
    if (gaps != nullptr) some.gaps += first * gap_stride;
    return some;
  }
};

// Of two kernels the one for caches whose elements are S.
template <class S, class T>
auto for_elements(auto* exact, auto* rounded) noexcept {
  if constexpr (std::same_as<S, T>)
    return exact;
  else
    return rounded;
}

// Elements of scratch that attention to a cache takes for its scores.
inline std::size_t cache_scores_size(std::size_t heads, std::size_t window) noexcept {
  return kMaxCacheQueries * (heads + 1) * (window + kLanes);
}

}  // namespace detail
}  // namespace attune::inline v0_1
