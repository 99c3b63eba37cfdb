// SPDX-License-Identifier: Apache-2.0
#pragma once

// Row by row: layer norm, softmax, sums.

#include "kernels/generic/softmax.hpp"

namespace attune::inline v0_1::detail {
namespace {

// kRows rows at a time, because each waits for its own mean and then for its variance.
template <std::size_t kRows>
inline void normalise(float* y, float* mean, float* rstd, const float* x, const float* gamma, const float* beta,
                      std::size_t dim, float epsilon) {
  const float share = 1.0f / static_cast<float>(dim);
  Vec total[kRows], center[kRows], inverse[kRows];
  unroll<kRows>([&](auto r) { total[r] = Vec::zero(); });
  for_each_vector(dim, [&](std::size_t i, auto lanes) {
    unroll<kRows>([&](auto r) { total[r] = total[r] + lanes.load(x + r * dim + i); });
  });
  unroll<kRows>([&](auto r) {
    mean[r] = sum(total[r]) * share;
    center[r] = Vec::broadcast(mean[r]);
    total[r] = Vec::zero();
  });
  for_each_vector(dim, [&](std::size_t i, auto lanes) {
    unroll<kRows>([&](auto r) {
      const Vec d = lanes.keep(lanes.load(x + r * dim + i) - center[r]);
      total[r] = fma(d, d, total[r]);
    });
  });
  unroll<kRows>([&](auto r) {
    rstd[r] = 1.0f / __builtin_sqrtf(sum(total[r]) * share + epsilon);
    inverse[r] = Vec::broadcast(rstd[r]);
  });
  for_each_vector(dim, [&](std::size_t i, auto lanes) {
    const Vec weight = gamma ? lanes.load(gamma + i) : Vec::broadcast(1.0f);
    const Vec bias = beta ? lanes.load(beta + i) : Vec::zero();
    unroll<kRows>([&](auto r) {
      const Vec normal = (lanes.load(x + r * dim + i) - center[r]) * inverse[r];
      lanes.store(y + r * dim + i, fma(normal, weight, bias));
    });
  });
}

void layer_norm_forward(float* y, float* mean, float* rstd, const float* x, const float* gamma, const float* beta,
                        std::size_t rows, std::size_t dim, float epsilon) {
  std::size_t r = 0;
  const auto rows_of = [&](auto together) {
    for (; r + together <= rows; r += together) {
      normalise<together>(y + r * dim, mean + r, rstd + r, x + r * dim, gamma, beta, dim, epsilon);
    }
  };
  rows_of(Index<4>{});
  rows_of(Index<1>{});
}

// With g = d_y * gamma and n = (x - mean) * rstd: d_x = rstd * (g - average(g) - n * average(g * n)).
void layer_norm_backward(float* d_x, float* d_gamma, float* d_beta, const float* d_y, const float* x, const float* mean,
                         const float* rstd, const float* gamma, std::size_t rows, std::size_t dim) {
  const float share = 1.0f / static_cast<float>(dim);
  for (std::size_t r = 0; r < rows; ++r, d_x += dim, d_y += dim, x += dim) {
    const Vec center = Vec::broadcast(mean[r]), inverse = Vec::broadcast(rstd[r]);
    Vec total = Vec::zero(), product = Vec::zero();
    for_each_vector(dim, [&](std::size_t i, auto lanes) {
      const Vec slope = lanes.load(d_y + i);
      const Vec normal = (lanes.load(x + i) - center) * inverse;
      const Vec g = gamma ? slope * lanes.load(gamma + i) : slope;
      total = total + g;
      product = fma(g, normal, product);
      if (d_gamma) lanes.store(d_gamma + i, fma(slope, normal, lanes.load(d_gamma + i)));
      if (d_beta) lanes.store(d_beta + i, lanes.load(d_beta + i) + slope);
    });
    const Vec average = Vec::broadcast(sum(total) * share), average_product = Vec::broadcast(sum(product) * share);
    for_each_vector(dim, [&](std::size_t i, auto lanes) {
      const Vec slope = lanes.load(d_y + i);
      const Vec normal = (lanes.load(x + i) - center) * inverse;
      const Vec g = gamma ? slope * lanes.load(gamma + i) : slope;
      lanes.store(d_x + i, inverse * (g - average - normal * average_product));
    });
  }
}

inline std::size_t visible_in_row(std::size_t row, std::size_t cols, bool causal) {
  return causal ? smaller(row + 1, cols) : cols;
}

void softmax_forward(float* p, std::size_t ld, std::size_t rows, std::size_t cols, float scale, bool causal) {
  for (std::size_t r = 0; r < rows; ++r, p += ld) {
    const std::size_t visible = visible_in_row(r, cols, causal);
    scale_by(p, inverse_or_zero(softmax_weights(p, visible, scale)), visible);
    zero(p + visible, cols - visible);
  }
}

void softmax_backward(float* d_p, std::size_t ldd, const float* p, std::size_t ldp, std::size_t rows, std::size_t cols,
                      float scale, bool causal) {
  for (std::size_t r = 0; r < rows; ++r, d_p += ldd, p += ldp) {
    const std::size_t visible = visible_in_row(r, cols, causal);
    Vec product = Vec::zero();
    for_each_vector(visible,
                    [&](std::size_t j, auto lanes) { product = fma(lanes.load(p + j), lanes.load(d_p + j), product); });
    const Vec average = Vec::broadcast(sum(product)), factor = Vec::broadcast(scale);
    for_each_vector(visible, [&](std::size_t j, auto lanes) {
      lanes.store(d_p + j, factor * lanes.load(p + j) * (lanes.load(d_p + j) - average));
    });
    zero(d_p + visible, cols - visible);
  }
}

void add_rows(float* y, const float* bias, std::size_t rows, std::size_t dim) {
  for (std::size_t r = 0; r < rows; ++r, y += dim) {
    for_each_vector(dim,
                    [&](std::size_t i, auto lanes) { lanes.store(y + i, lanes.load(y + i) + lanes.load(bias + i)); });
  }
}

// sum [D] += column sums of x [rows, D], four vectors of columns at a time.
void sum_rows(float* sum, const float* x, std::size_t rows, std::size_t dim) {
  constexpr std::size_t kVectors = 4;
  std::size_t i = 0;
  for (; i + kVectors * Vec::kWidth <= dim; i += kVectors * Vec::kWidth) {
    Vec total[kVectors];
    unroll<kVectors>([&](auto v) { total[v] = Vec::load(sum + i + v * Vec::kWidth); });
    for (std::size_t r = 0; r < rows; ++r) {
      unroll<kVectors>([&](auto v) { total[v] = total[v] + Vec::load(x + r * dim + i + v * Vec::kWidth); });
    }
    unroll<kVectors>([&](auto v) { total[v].store(sum + i + v * Vec::kWidth); });
  }
  for_each_vector(dim - i, [&](std::size_t j, auto lanes) {
    Vec total = lanes.load(sum + i + j);
    for (std::size_t r = 0; r < rows; ++r) total = total + lanes.load(x + r * dim + i + j);
    lanes.store(sum + i + j, total);
  });
}

void set_rows(KernelTable<float>& table) {
  table.layer_norm_forward = layer_norm_forward;
  table.layer_norm_backward = layer_norm_backward;
  table.softmax_forward = softmax_forward;
  table.softmax_backward = softmax_backward;
  table.add_rows = add_rows;
  table.sum_rows = sum_rows;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
