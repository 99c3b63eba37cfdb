// SPDX-License-Identifier: Apache-2.0
#include "serving/linear_bandit.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>

namespace attune::inline v0_1 {
namespace {

using Matrix = Eigen::Map<Eigen::MatrixXd>;
using Vector = Eigen::Map<Eigen::VectorXd>;

Matrix matrix(std::vector<double>& values, std::size_t size) {
  return {values.data(), static_cast<Eigen::Index>(size), static_cast<Eigen::Index>(size)};
}
Vector vector(std::vector<double>& values) { return {values.data(), static_cast<Eigen::Index>(values.size())}; }

}  // namespace

void LinearBandit::start(std::uint64_t generation, std::size_t dim) {
  generation_ = generation;
  size_ = dim + 1;
  vector_.assign(dim, 0.0f);
  learned_.assign(learned_.size(), {});
  a_.assign(size_ * size_, 0.0);
  matrix(a_, size_).diagonal().setOnes();
  factor_.resize(a_.size());
  for (std::vector<double>* const values : {&b_, &theta_, &x_, &y_}) values->assign(size_, 0.0);
}

void LinearBandit::read(std::span<const float> vector) {
  double squares = 0;
  for (const float value : vector) squares += static_cast<double>(value) * static_cast<double>(value);
  const double scale = squares > 0 && std::isfinite(squares) ? 1 / std::sqrt(squares) : 0;
  x_[0] = 1;
  for (std::size_t d = 0; d < vector.size(); ++d) x_[d + 1] = scale > 0 ? scale * static_cast<double>(vector[d]) : 0;
}

void LinearBandit::add(std::uint32_t impressions, std::uint32_t rewards) {
  read(vector_);
  const auto x = vector(x_);
  matrix(a_, size_).selfadjointView<Eigen::Lower>().rankUpdate(x, static_cast<double>(impressions));
  vector(b_) += static_cast<double>(rewards) * x;
}

void LinearBandit::solve() {
  factor_ = a_;
  Matrix factor = matrix(factor_, size_);
  const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> cholesky(factor);
  theta_ = b_;
  Vector theta = vector(theta_);
  cholesky.solveInPlace(theta);
}

double LinearBandit::upper_bound(std::uint64_t generation, std::span<const float> item, double width) {
  const std::lock_guard lock(mutex_);
  if (generation != generation_) return 0;
  read(item);
  y_ = x_;
  Vector y = vector(y_);
  matrix(factor_, size_).triangularView<Eigen::Lower>().solveInPlace(y);
  return vector(theta_).dot(vector(x_)) + width * y.norm();
}

}  // namespace attune::inline v0_1
