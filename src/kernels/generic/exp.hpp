// SPDX-License-Identifier: Apache-2.0
#pragma once

// exp for a vector: relative error below 1e-7 for x in [-87.3, 88.3], 0 below -87.7 (also at -infinity), infinity above
// 88.4, NaN for NaN.

#include "kernels/generic/vectors.hpp"

namespace attune::inline v0_1::detail {
namespace {

// exp(x) = 2^n exp(f) with n = round(x / ln 2) and |f| <= ln 2 / 2.
[[gnu::always_inline]] inline Vec exp(Vec x) {
  x = max(Vec::broadcast(-88.0f), min(Vec::broadcast(89.0f), x));  // 2^n is 0 or infinity at the ends; NaN stays
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits; 127 on top makes that the exponent of 2^n.
  const Vec rounder = Vec::broadcast(12582912.0f + 127.0f);
  const Vec rounded = fma(x, Vec::broadcast(1.44269504f), rounder);
  const Vec power = shift_into_exponent(rounded);
  const Vec n = rounded - rounder;
  // ln 2 in two parts: the product of n with the first is exact.
  const Vec f = fma(n, Vec::broadcast(2.12194440e-4f), fma(n, Vec::broadcast(-0.693359375f), x));
  // exp(f) = 1 + f + f^2 q(f), q by Remez exchange for the relative error of exp (3e-9).
  Vec q = Vec::broadcast(0.00138145406f);
  q = fma(q, f, Vec::broadcast(0.00836874545f));
  q = fma(q, f, Vec::broadcast(0.0416683890f));
  q = fma(q, f, Vec::broadcast(0.166665211f));
  q = fma(q, f, Vec::broadcast(0.49999994f));
  return (Vec::broadcast(1.0f) + fma(f * f, q, f)) * power;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
