// SPDX-License-Identifier: Apache-2.0
#pragma once

// Vectors as a cosine sees them, and gradients taken back through that.

#include <cmath>
#include <cstddef>

namespace attune::inline v0_1::detail {

template <class T>
T dot(const T* x, const T* y, std::size_t n) {
  T sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// 1 / |x|, and 0 for a vector too short to have a direction (the engine's rule). In double, so that no finite vector
// overflows; NaN stays NaN.
template <class T>
T inverse_norm(const T* x, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum < 1e-60 ? T(0) : static_cast<T>(1.0 / std::sqrt(sum));
}

// y = x / |x|, in place; returns 1 / |x|.
template <class T>
T normalize_forward(T* x, std::size_t dim) {
  const T inverse = inverse_norm(x, dim);
  for (std::size_t i = 0; i < dim; ++i) x[i] *= inverse;
  return inverse;
}

// d_x += (d_y - y (y . d_y)) / |x|, all [D].
template <class T>
void normalize_backward(T* d_x, const T* d_y, const T* y, T inverse, std::size_t dim) {
  const T along = dot(y, d_y, dim);
  for (std::size_t i = 0; i < dim; ++i) d_x[i] += (d_y[i] - y[i] * along) * inverse;
}

}  // namespace attune::inline v0_1::detail
