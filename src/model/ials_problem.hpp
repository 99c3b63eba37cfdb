// SPDX-License-Identifier: Apache-2.0
#pragma once

// The least-squares problem of one vector of iALS, the same in training and when a history is folded in: observations
// are added, then it is solved. Allocates nothing once the scratch is warm.

#include <cstddef>
#include <span>
#include <vector>

#include "attune/model/ials_model.hpp"

namespace attune::inline v0_1::detail {

// [D, D]: the sum of the outer products of factors [rows, D] with themselves.
std::vector<float> gramian_of(std::span<const float> factors, std::size_t dim);

// Minimises sum_k c_k (<w, h_k> - 1)^2 + unobserved_weight * w^T G w + r |w|^2 over w, where G is the Gramian of all
// vectors of the other side and r = regularization * (sum_k c_k + unobserved_weight * other side)^power.
class IalsProblem {
 public:
  // gramian [D, D]. The scratch must live as long as this.
  IalsProblem(const IalsOptions& options, std::span<const float> gramian, Buffer<float>& scratch);

  // factor [D] of the other side was observed with this weight.
  void add(std::span<const float> factor, float weight);
  // vector [D]; zero without an observation. Ends this problem.
  void solve(std::span<float> vector, std::size_t other_side);

 private:
  void flush();
  float* row(std::size_t index) noexcept { return matrix_.data() + index * dim_; }
  void add_ridge(std::size_t other_side);
  void factorise();

  const IalsOptions& options_;
  std::size_t dim_;
  std::span<float> matrix_;  // [D, D]: the normal equations, then the upper triangle of their Cholesky factor
  std::span<float> right_;   // [D]
  std::span<float> block_;   // [kBlock, D]: observations, times the root of their weight, not in the matrix yet
  std::size_t waiting_ = 0;  // rows of the block
  double observed_ = 0;
};

}  // namespace attune::inline v0_1::detail
