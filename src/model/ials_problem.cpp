// SPDX-License-Identifier: Apache-2.0
#include "model/ials_problem.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "attune/detail/kernels.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::size_t kBlock = 64;  // observations that one matrix product adds

}  // namespace

std::vector<float> gramian_of(std::span<const float> factors, std::size_t dim) {
  std::vector<float> gramian(dim * dim);
  kernels<float>().matmul_tn(gramian.data(), dim, factors.data(), dim, factors.data(), dim, dim, dim,
                             factors.size() / dim, false);
  return gramian;
}

IalsProblem::IalsProblem(const IalsOptions& options, std::span<const float> gramian, Buffer<float>& scratch)
    : options_(options), dim_(options.embedding_dim) {
  const std::span<float> memory = scratch.take(dim_ * (dim_ + 1 + kBlock));
  matrix_ = memory.first(dim_ * dim_);
  right_ = memory.subspan(dim_ * dim_, dim_);
  block_ = memory.subspan(dim_ * (dim_ + 1), kBlock * dim_);
  const auto weight = static_cast<float>(options.unobserved_weight);
  for (std::size_t i = 0; i < matrix_.size(); ++i) matrix_[i] = weight * gramian[i];
  std::ranges::fill(right_, 0.0f);
}

void IalsProblem::add(std::span<const float> factor, float weight) {
  const float root = std::sqrt(weight);
  float* const observation = block_.data() + waiting_ * dim_;
  for (std::size_t d = 0; d < dim_; ++d) {
    observation[d] = root * factor[d];
    right_[d] += weight * factor[d];
  }
  observed_ += static_cast<double>(weight);
  if (++waiting_ == kBlock) flush();
}

void IalsProblem::flush() {
  if (waiting_ == 0) return;
  kernels<float>().matmul_tn(matrix_.data(), dim_, block_.data(), dim_, block_.data(), dim_, dim_, dim_, waiting_,
                             true);
  waiting_ = 0;
}

// Adds r to the diagonal, or as much as rounding leaves room for, so that the matrix stays positive definite in float.
void IalsProblem::add_ridge(std::size_t other_side) {
  constexpr double kRounding = 1e-5;
  double largest = 0;
  for (std::size_t k = 0; k < dim_; ++k) largest = std::max(largest, static_cast<double>(row(k)[k]));
  const double events = observed_ + options_.unobserved_weight * static_cast<double>(other_side);
  const double ridge = options_.regularization * std::pow(events, options_.regularization_power);
  for (std::size_t k = 0; k < dim_; ++k) row(k)[k] += static_cast<float>(std::max(ridge, kRounding * largest));
}

// Cholesky: matrix = U^T U, U in place of the upper triangle.
void IalsProblem::factorise() {
  for (std::size_t k = 0; k < dim_; ++k) {
    float* const pivot_row = row(k);
    const float pivot = std::sqrt(std::max(pivot_row[k], std::numeric_limits<float>::min()));
    pivot_row[k] = pivot;
    for (std::size_t j = k + 1; j < dim_; ++j) pivot_row[j] /= pivot;
    for (std::size_t i = k + 1; i < dim_; ++i) {
      kernels<float>().scaled_add(row(i) + i, -pivot_row[i], pivot_row + i, dim_ - i);
    }
  }
}

void IalsProblem::solve(std::span<float> vector, std::size_t other_side) {
  std::ranges::fill(vector, 0.0f);
  if (observed_ == 0) return;
  flush();
  add_ridge(other_side);
  factorise();
  for (std::size_t k = 0; k < dim_; ++k) {  // U^T y = right, in place
    right_[k] /= row(k)[k];
    for (std::size_t j = k + 1; j < dim_; ++j) right_[j] -= right_[k] * row(k)[j];
  }
  for (std::size_t k = dim_; k-- > 0;) {  // U w = y
    float sum = right_[k];
    for (std::size_t j = k + 1; j < dim_; ++j) sum -= row(k)[j] * vector[j];
    vector[k] = sum / row(k)[k];
  }
}

}  // namespace attune::inline v0_1::detail
