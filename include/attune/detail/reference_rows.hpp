// SPDX-License-Identifier: Apache-2.0
#pragma once

// Matrix products, rows and elements as the formulas say them: part of reference_kernels.hpp.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "attune/detail/kernel_table.hpp"

namespace attune::inline v0_1::detail::reference {

// A matrix whose element (i, j) is data[i * row + j * column].
template <class T>
struct Strided {
  const T* data;
  std::size_t row, column;
  T operator()(std::size_t i, std::size_t j) const { return data[i * row + j * column]; }
};

template <class T>
void matmul(T* c, std::size_t ldc, Strided<T> a, Strided<T> b, std::size_t m, std::size_t n, std::size_t k,
            bool accumulate) {
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      T sum = 0;
      for (std::size_t p = 0; p < k; ++p) sum += a(i, p) * b(p, j);
      c[i * ldc + j] = accumulate ? c[i * ldc + j] + sum : sum;
    }
  }
}

template <class T>
void matmul_nn(T* c, std::size_t ldc, const T* a, std::size_t lda, const T* b, std::size_t ldb, std::size_t m,
               std::size_t n, std::size_t k, bool accumulate) {
  matmul<T>(c, ldc, {a, lda, 1}, {b, ldb, 1}, m, n, k, accumulate);
}

template <class T>
void matmul_nt(T* c, std::size_t ldc, const T* a, std::size_t lda, const T* b, std::size_t ldb, std::size_t m,
               std::size_t n, std::size_t k, bool accumulate) {
  matmul<T>(c, ldc, {a, lda, 1}, {b, 1, ldb}, m, n, k, accumulate);
}

template <class T>
void matmul_tn(T* c, std::size_t ldc, const T* a, std::size_t lda, const T* b, std::size_t ldb, std::size_t m,
               std::size_t n, std::size_t k, bool accumulate) {
  matmul<T>(c, ldc, {a, 1, lda}, {b, ldb, 1}, m, n, k, accumulate);
}

template <class T>
T dot(const T* x, const T* y, std::size_t dim) {
  T lanes[kLanes] = {};
  for (std::size_t i = 0; i < dim; ++i) lanes[i % kLanes] += x[i] * y[i];
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

template <class T>
void dot_rows(T* scores, const T* query, const T* rows, std::size_t stride, std::size_t dim, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) scores[i] = dot(query, rows + i * stride, dim);
}

template <class T>
void dot_rows_at(T* scores, const T* query, const T* rows, std::size_t stride, std::size_t dim,
                 const std::uint32_t* indices, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) scores[i] = dot(query, rows + indices[i] * stride, dim);
}

template <class T>
std::uint64_t finish_scores(T* scores, T scale, const T* additive, T threshold, std::size_t count) {
  std::uint64_t passed = 0;
  for (std::size_t i = 0; i < count; ++i) {
    scores[i] = scale * scores[i] + (additive ? additive[i] : T(0));
    if (scores[i] >= threshold) passed |= std::uint64_t{1} << i;
  }
  return passed;
}

template <class T>
void layer_norm_forward(T* y, T* mean, T* rstd, const T* x, const T* gamma, const T* beta, std::size_t rows,
                        std::size_t dim, T epsilon) {
  for (std::size_t r = 0; r < rows; ++r, x += dim, y += dim) {
    T sum = 0, squares = 0;
    for (std::size_t i = 0; i < dim; ++i) sum += x[i];
    mean[r] = sum / T(dim);
    for (std::size_t i = 0; i < dim; ++i) squares += (x[i] - mean[r]) * (x[i] - mean[r]);
    rstd[r] = T(1) / std::sqrt(squares / T(dim) + epsilon);
    for (std::size_t i = 0; i < dim; ++i) {
      y[i] = (x[i] - mean[r]) * rstd[r] * (gamma ? gamma[i] : T(1)) + (beta ? beta[i] : T(0));
    }
  }
}

// With g = d_y * gamma and n = (x - mean) * rstd: d_x = rstd * (g - average(g) - n * average(g * n)).
template <class T>
void layer_norm_backward(T* d_x, T* d_gamma, T* d_beta, const T* d_y, const T* x, const T* mean, const T* rstd,
                         const T* gamma, std::size_t rows, std::size_t dim) {
  for (std::size_t r = 0; r < rows; ++r, d_x += dim, d_y += dim, x += dim) {
    T sum_g = 0, sum_gn = 0;
    for (std::size_t i = 0; i < dim; ++i) {
      const T normal = (x[i] - mean[r]) * rstd[r];
      const T g = d_y[i] * (gamma ? gamma[i] : T(1));
      sum_g += g;
      sum_gn += g * normal;
      if (d_gamma) d_gamma[i] += d_y[i] * normal;
      if (d_beta) d_beta[i] += d_y[i];
    }
    for (std::size_t i = 0; i < dim; ++i) {
      const T normal = (x[i] - mean[r]) * rstd[r];
      const T g = d_y[i] * (gamma ? gamma[i] : T(1));
      d_x[i] = rstd[r] * (g - sum_g / T(dim) - normal * (sum_gn / T(dim)));
    }
  }
}

// What softmax subtracts: the maximum, or 0 where every logit is -infinity, so that such a row sums to 0 and not to
// NaN.
template <class T>
T softmax_shift(T maximum) {
  return maximum == -std::numeric_limits<T>::infinity() ? T(0) : maximum;
}

template <class T>
void softmax_row(T* p, std::size_t n, T scale) {
  T maximum = -std::numeric_limits<T>::infinity();
  for (std::size_t j = 0; j < n; ++j) maximum = std::max(maximum, p[j]);
  const T shift = softmax_shift(maximum);
  T sum = 0;
  for (std::size_t j = 0; j < n; ++j) sum += p[j] = std::exp(scale * (p[j] - shift));
  for (std::size_t j = 0; j < n; ++j) p[j] = sum == T(0) ? T(0) : p[j] / sum;
}

template <class T>
void softmax_forward(T* p, std::size_t ld, std::size_t rows, std::size_t cols, T scale, bool causal) {
  for (std::size_t i = 0; i < rows; ++i, p += ld) {
    const std::size_t visible = causal ? std::min(cols, i + 1) : cols;
    softmax_row(p, visible, scale);
    std::fill(p + visible, p + cols, T(0));
  }
}

template <class T>
void softmax_backward(T* d_p, std::size_t ldd, const T* p, std::size_t ldp, std::size_t rows, std::size_t cols, T scale,
                      bool causal) {
  for (std::size_t i = 0; i < rows; ++i, d_p += ldd, p += ldp) {
    const std::size_t visible = causal ? std::min(cols, i + 1) : cols;
    T sum = 0;
    for (std::size_t j = 0; j < visible; ++j) sum += p[j] * d_p[j];
    for (std::size_t j = 0; j < visible; ++j) d_p[j] = scale * p[j] * (d_p[j] - sum);
    std::fill(d_p + visible, d_p + cols, T(0));
  }
}

template <class T>
T exp_sum(T* x, std::size_t n, T scale, T shift) {
  T sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += x[i] = std::exp(scale * x[i] - shift);
  return sum;
}

template <class T>
T max(const T* x, std::size_t n) {
  T maximum = -std::numeric_limits<T>::infinity();
  for (std::size_t i = 0; i < n; ++i) maximum = std::max(maximum, x[i]);
  return maximum;
}

template <class T>
T sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

// The share of the standard normal distribution below x, and its density at x.
template <class T>
T normal_cdf(T x) {
  return T(0.5) * (T(1) + std::erf(x * T(0.70710678118654752440)));
}
template <class T>
T normal_pdf(T x) {
  return T(0.39894228040143267794) * std::exp(T(-0.5) * x * x);
}

template <class T>
void activation_forward(Activation kind, T* y, const T* x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    switch (kind) {
      case Activation::relu: y[i] = x[i] < T(0) ? T(0) : x[i]; break;
      case Activation::gelu: y[i] = x[i] * normal_cdf(x[i]); break;
      case Activation::silu: y[i] = x[i] * sigmoid(x[i]); break;
      case Activation::tanh: y[i] = std::tanh(x[i]); break;
      case Activation::sigmoid: y[i] = sigmoid(x[i]); break;
    }
  }
}

template <class T>
T activation_slope(Activation kind, T x) {
  switch (kind) {
    case Activation::gelu: return normal_cdf(x) + x * normal_pdf(x);
    case Activation::silu: return sigmoid(x) * (T(1) + x * (T(1) - sigmoid(x)));
    case Activation::tanh: return T(1) - std::tanh(x) * std::tanh(x);
    case Activation::sigmoid: return sigmoid(x) * (T(1) - sigmoid(x));
    case Activation::relu: break;
  }
  return x > T(0) ? T(1) : T(0);
}

template <class T>
void activation_backward(Activation kind, T* d_x, const T* d_y, const T* x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) d_x[i] = d_y[i] * activation_slope(kind, x[i]);
}

template <class T>
void add(T* y, const T* x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] += x[i];
}

template <class T>
void scaled_add(T* y, T a, const T* x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] += a * x[i];
}

template <class T>
void scale(T* y, T a, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] *= a;
}

template <class T>
void add_rows(T* y, const T* bias, std::size_t rows, std::size_t dim) {
  for (std::size_t r = 0; r < rows; ++r) add(y + r * dim, bias, dim);
}

template <class T>
void sum_rows(T* sum, const T* x, std::size_t rows, std::size_t dim) {
  for (std::size_t r = 0; r < rows; ++r) add(sum, x + r * dim, dim);
}

template <class T>
void adam(T* w, T* m, T* v, const T* g, std::size_t n, const AdamStep<T>& step) {
  for (std::size_t i = 0; i < n; ++i) {
    const T gradient = g[i] * step.gradient_scale;
    m[i] = step.beta1 * m[i] + (T(1) - step.beta1) * gradient;
    v[i] = step.beta2 * v[i] + (T(1) - step.beta2) * gradient * gradient;
    w[i] = w[i] * (T(1) - step.decay) -
           step.step_size * m[i] / (std::sqrt(v[i]) * step.inverse_sqrt_correction + step.epsilon);
  }
}

}  // namespace attune::inline v0_1::detail::reference
