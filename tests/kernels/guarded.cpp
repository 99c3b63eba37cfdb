// SPDX-License-Identifier: Apache-2.0
#include "kernels/guarded.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace attune::test {
namespace {

constexpr std::uint32_t kGuardBits = 0x7fc0beef;

bool is_guard(float x) { return std::bit_cast<std::uint32_t>(x) == kGuardBits; }

}  // namespace

Guarded::Guarded(std::size_t rows, std::size_t cols, std::size_t ld)
    : rows_(rows), cols_(cols), ld_(ld), storage_(2 * kMargin + rows * ld, std::bit_cast<float>(kGuardBits)) {
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) (*this)(i, j) = 0.0f;
  }
}

Guarded::Guarded(std::size_t rows, std::size_t cols, std::size_t ld, Random& random, float low, float high)
    : Guarded(rows, cols, ld) {
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) (*this)(i, j) = random.uniform(low, high);
  }
}

std::vector<double> Guarded::widened() const {
  std::vector<double> values;
  values.reserve(rows_ * cols_);
  for (std::size_t i = 0; i < rows_; ++i) {
    for (std::size_t j = 0; j < cols_; ++j) values.push_back((*this)(i, j));
  }
  return values;
}

bool Guarded::intact() const {
  for (std::size_t place = 0; place < storage_.size(); ++place) {
    const std::size_t offset = place - kMargin;
    const bool inside = place >= kMargin && offset < rows_ * ld_ && offset % ld_ < cols_;
    if (!inside && !is_guard(storage_[place])) return false;
  }
  return true;
}

double worst_error(const Guarded& actual, const std::vector<double>& expected,
                   const std::function<double(std::size_t)>& tolerance) {
  const std::vector<double> values = actual.widened();
  double worst = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == expected[i] || (std::isnan(values[i]) && std::isnan(expected[i]))) continue;
    const double error = std::abs(values[i] - expected[i]) / tolerance(i);
    if (std::isnan(error)) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, error);
  }
  return worst;
}

double worst_error(const Guarded& actual, const std::vector<double>& expected, double tolerance) {
  return worst_error(actual, expected, [=](std::size_t) { return tolerance; });
}

}  // namespace attune::test
