// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/generic/exp.hpp"

namespace attune::inline v0_1::detail {
namespace {

inline constexpr float kInfinity = __builtin_inff();

inline float maximum(const float* x, std::size_t n) {
  Vec most = Vec::broadcast(-kInfinity);
  for_each_vector(n, [&](std::size_t i, auto lanes) { most = max(lanes.load(x + i, -kInfinity), most); });
  return maximum(most);
}

// x[i] = exp(scale * x[i] - shift); returns the sum.
inline float exp_sum(float* x, std::size_t n, float scale, float shift) {
  const Vec scales = Vec::broadcast(scale), shifts = Vec::broadcast(-shift);
  Vec total = Vec::zero();
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    const Vec e = exp(fma(lanes.load(x + i), scales, shifts));
    lanes.store(x + i, e);
    total = total + lanes.keep(e);
  });
  return sum(total);
}

// p [n] becomes exp(scale * p - maximum), which is the softmax times the returned sum. Where every logit is -infinity,
// p and the sum are 0.
inline float softmax_weights(float* p, std::size_t n, float scale) {
  const float most = scale * maximum(p, n);
  return exp_sum(p, n, scale, most == -kInfinity ? 0.0f : most);
}

inline void scale_by(float* y, float a, std::size_t n) {
  const Vec factor = Vec::broadcast(a);
  for_each_vector(n, [&](std::size_t i, auto lanes) { lanes.store(y + i, factor * lanes.load(y + i)); });
}

inline float inverse_or_zero(float x) { return x == 0.0f ? 0.0f : 1.0f / x; }

}  // namespace
}  // namespace attune::inline v0_1::detail
