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

// x[i] = exp(exponent(x[i])); returns the sum.
template <class Exponent>
inline float exp_sum_of(float* x, std::size_t n, Exponent exponent) {
  Vec total = Vec::zero();
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    const Vec e = exp(exponent(lanes.load(x + i)));
    lanes.store(x + i, e);
    total = total + lanes.keep(e);
  });
  return sum(total);
}

// x[i] = exp(scale * x[i] - shift); returns the sum.
inline float exp_sum(float* x, std::size_t n, float scale, float shift) {
  const Vec scales = Vec::broadcast(scale), shifts = Vec::broadcast(-shift);
  return exp_sum_of(x, n, [&](Vec v) { return fma(v, scales, shifts); });
}

// p [n] becomes exp(scale * (p - maximum)), which is the softmax times the returned sum. The difference comes first:
// of huge logits, scale * p and scale * maximum round by more than the exponent may. Where every logit is -infinity,
// p and the sum are 0.
inline float softmax_weights(float* p, std::size_t n, float scale) {
  const float most = maximum(p, n);
  const Vec scales = Vec::broadcast(scale), subtracted = Vec::broadcast(most == -kInfinity ? 0.0f : most);
  return exp_sum_of(p, n, [&](Vec v) { return scales * (v - subtracted); });
}

inline void scale_by(float* y, float a, std::size_t n) {
  const Vec factor = Vec::broadcast(a);
  for_each_vector(n, [&](std::size_t i, auto lanes) { lanes.store(y + i, factor * lanes.load(y + i)); });
}

inline float inverse_or_zero(float x) { return x == 0.0f ? 0.0f : 1.0f / x; }

}  // namespace
}  // namespace attune::inline v0_1::detail
