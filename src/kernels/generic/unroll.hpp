// SPDX-License-Identifier: Apache-2.0
#pragma once

// Loops whose index is a constant, so that an array of vectors lives in registers.

#include <cstddef>

namespace attune::inline v0_1::detail {
namespace {

template <std::size_t I>
struct Index {
  constexpr operator std::size_t() const { return I; }
};

// body(Index<0>), ..., body(Index<N - 1>)
template <std::size_t N, std::size_t I = 0, class Body>
[[gnu::always_inline]] inline void unroll(const Body& body) {
  if constexpr (I < N) {
    body(Index<I>{});
    unroll<N, I + 1>(body);
  }
}

}  // namespace
}  // namespace attune::inline v0_1::detail
