// SPDX-License-Identifier: Apache-2.0
#include "model/ease_solver.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <vector>

#include "attune/error.hpp"

namespace attune::inline v0_1::detail {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Floats = Eigen::Map<Eigen::MatrixXf>;

// Columns [begin, begin + width) of the inverse of L L^T, their rows from the diagonal down, written to both sides of
// it. A column of the identity is zero above its one, and what is above the diagonal is not wanted: both substitutions
// stay within the lower right corner of L.
void invert_columns(Floats inverse, const MatrixXd& factor, Index begin, Index width) {
  const Index rest = factor.rows() - begin;
  const auto corner = factor.bottomRightCorner(rest, rest);
  MatrixXd columns = MatrixXd::Identity(rest, width);
  corner.triangularView<Eigen::Lower>().solveInPlace(columns);
  corner.transpose().triangularView<Eigen::Upper>().solveInPlace(columns);
  for (Index column = 0; column < width; ++column) {
    for (Index row = column; row < rest; ++row) {
      const auto value = static_cast<float>(columns(row, column));
      inverse(begin + row, begin + column) = value;
      inverse(begin + column, begin + row) = value;
    }
  }
}

}  // namespace

void ease_weights(std::span<float> weights, std::size_t num_items, double lambda, Executor& executor) {
  constexpr Index kWidth = 128;
  const auto size = static_cast<Index>(num_items);
  const Floats matrix(weights.data(), size, size);
  MatrixXd factor = matrix.cast<double>();
  factor.diagonal().array() += lambda;
  if (Eigen::LLT<Eigen::Ref<MatrixXd>> cholesky(factor); cholesky.info() != Eigen::Success) {
    throw Error(ErrorCode::non_finite, "EASE: the matrix of common users cannot be inverted; raise ease.lambda");
  }
  executor.run(static_cast<std::size_t>((size + kWidth - 1) / kWidth), [&](std::size_t block, std::size_t) {
    const Index begin = static_cast<Index>(block) * kWidth;
    invert_columns(matrix, factor, begin, std::min(kWidth, size - begin));
  });

  std::vector<float> diagonal(num_items);
  for (std::size_t y = 0; y < num_items; ++y) diagonal[y] = weights[y * num_items + y];
  executor.run(num_items, [&](std::size_t x, std::size_t) {
    float* const row = weights.data() + x * num_items;
    for (std::size_t y = 0; y < num_items; ++y) row[y] /= -diagonal[y];
    row[x] = 0;
  });
}

}  // namespace attune::inline v0_1::detail
