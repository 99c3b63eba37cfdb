// SPDX-License-Identifier: Apache-2.0
#pragma once

// Loops over rows of floats for the bodies in this folder. Those are written once over a level's `Vec`
// (scalar/vec.hpp says what a Vec offers) and compiled once per level. Everything is in an unnamed namespace: no symbol
// of one level can stand in for another's.

#include <cstddef>
#include <cstdint>

#include "kernels/generic/unroll.hpp"

namespace attune::inline v0_1::detail {
namespace {

inline std::size_t smaller(std::size_t a, std::size_t b) { return a < b ? a : b; }

// The two kinds of step in a loop over n elements: a whole vector, and the first `count` lanes of the last one.
struct Whole {
  static Vec load(const float* p) { return Vec::load(p); }
  static Vec load(const float* p, float) { return Vec::load(p); }
  static Vec load(const std::uint16_t* p) { return Vec::from_bfloat16(p); }
  static Vec lookup(const float* table, const std::uint8_t* index) { return detail::lookup(table, index); }
  static void store(float* p, Vec v) { v.store(p); }
  static Vec keep(Vec v) { return v; }
};
struct First {
  std::size_t count;
  Vec load(const float* p) const { return Vec::load_first(p, count); }
  Vec load(const float* p, float beyond) const { return Vec::load_first(p, count).or_beyond(count, beyond); }
  Vec load(const std::uint16_t* p) const { return Vec::from_first_bfloat16(p, count); }
  Vec lookup(const float* table, const std::uint8_t* index) const {
    std::uint8_t whole[Vec::kWidth] = {};
    for (std::size_t i = 0; i < count; ++i) whole[i] = index[i];
    return detail::lookup(table, whole);
  }
  void store(float* p, Vec v) const { v.store_first(p, count); }
  Vec keep(Vec v) const { return v.or_beyond(count, 0.0f); }  // zero in the lanes beyond
};

// Calls body(i, lanes) for i = 0, width, 2 width, ... below n.
template <class Body>
[[gnu::always_inline]] inline void for_each_vector(std::size_t n, Body body) {
  std::size_t i = 0;
  for (; i + Vec::kWidth <= n; i += Vec::kWidth) body(i, Whole{});
  if (i < n) body(i, First{n - i});
}

inline void zero(float* y, std::size_t n) {
  for_each_vector(n, [&](std::size_t i, auto lanes) { lanes.store(y + i, Vec::zero()); });
}

}  // namespace
}  // namespace attune::inline v0_1::detail
