// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "attune/detail/kernels.hpp"
#include "catch.hpp"
#include "kernels/guarded.hpp"

using namespace attune;
using namespace attune::test;

namespace {

const detail::KernelTable<double> kReference = detail::reference_kernels<double>();
const detail::KernelTable<float>& active() { return detail::kernels<float>(); }

struct LayerNorm {
  std::size_t rows, dim;
  bool affine;
};

void check_forward(const LayerNorm& shape, float low, float high, bool in_place) {
  const std::size_t rows = shape.rows, dim = shape.dim;
  const bool affine = shape.affine;
  INFO("rows " << rows << " dim " << dim << " affine " << affine << " from " << low << " in place " << in_place);
  Random random(dim + 7);
  Guarded x(rows, dim, dim, random, low, high), gamma(dim, random), beta(dim, random);
  Guarded y(rows, dim, dim), mean(rows), rstd(rows);
  const std::vector<double> wide_gamma = gamma.widened(), wide_beta = beta.widened(), wide_x = x.widened();
  std::vector<double> expected(rows * dim), wide_mean(rows), wide_rstd(rows);
  kReference.layer_norm_forward(expected.data(), wide_mean.data(), wide_rstd.data(), wide_x.data(),
                                affine ? wide_gamma.data() : nullptr, affine ? wide_beta.data() : nullptr, rows, dim,
                                1e-5f);
  Guarded& out = in_place ? x : y;
  active().layer_norm_forward(out.data(), mean.data(), rstd.data(), x.data(), affine ? gamma.data() : nullptr,
                              affine ? beta.data() : nullptr, rows, dim, 1e-5f);
  // The mean is rounded to the size of x; 1 / deviation enlarges that.
  const double size = std::max(std::abs(low), std::abs(high));
  const auto tolerance = [&](std::size_t i) { return 4 * kEpsilon * (1.0 + size * wide_rstd[i / dim]); };
  CHECK(worst_error(out, expected, tolerance) <= 1.0);
  CHECK(worst_error(mean, wide_mean, 2 * kEpsilon * size) <= 1.0);
  CHECK(worst_error(rstd, wide_rstd, [&](std::size_t i) { return 1e-5 * wide_rstd[i] * (1.0 + size); }) <= 1.0);
  CHECK((out.intact() && mean.intact() && rstd.intact()));
}

void check_backward(const LayerNorm& shape, bool in_place) {
  const std::size_t rows = shape.rows, dim = shape.dim;
  const bool affine = shape.affine;
  INFO("rows " << rows << " dim " << dim << " affine " << affine << " in place " << in_place);
  Random random(dim + 8);
  Guarded x(rows, dim, dim, random), gamma(dim, random), d_y(rows, dim, dim, random);
  Guarded mean(rows), rstd(rows), y(rows, dim, dim), d_x(rows, dim, dim), d_gamma(dim, random), d_beta(dim, random);
  active().layer_norm_forward(y.data(), mean.data(), rstd.data(), x.data(), nullptr, nullptr, rows, dim, 1e-5f);
  const std::vector<double> wide_x = x.widened(), wide_gamma = gamma.widened(), wide_d_y = d_y.widened();
  const std::vector<double> wide_mean = mean.widened(), wide_rstd = rstd.widened();
  std::vector<double> expected(rows * dim), expected_gamma = d_gamma.widened(), expected_beta = d_beta.widened();
  kReference.layer_norm_backward(expected.data(), affine ? expected_gamma.data() : nullptr,
                                 affine ? expected_beta.data() : nullptr, wide_d_y.data(), wide_x.data(),
                                 wide_mean.data(), wide_rstd.data(), affine ? wide_gamma.data() : nullptr, rows, dim);
  Guarded& out = in_place ? d_y : d_x;
  active().layer_norm_backward(out.data(), affine ? d_gamma.data() : nullptr, affine ? d_beta.data() : nullptr,
                               d_y.data(), x.data(), mean.data(), rstd.data(), affine ? gamma.data() : nullptr, rows,
                               dim);
  const auto tolerance = [&](std::size_t i) { return 16 * kEpsilon * wide_rstd[i / dim]; };
  CHECK(worst_error(out, expected, tolerance) <= 1.0);
  CHECK(worst_error(d_gamma, expected_gamma, 1e-6 * static_cast<double>(rows + 1)) <= 1.0);
  CHECK(worst_error(d_beta, expected_beta, 1e-6 * static_cast<double>(rows + 1)) <= 1.0);
  CHECK((out.intact() && d_gamma.intact() && d_beta.intact()));
}

void check_softmax(std::size_t rows, std::size_t cols, bool causal, float low, float high, float scale) {
  INFO("rows " << rows << " cols " << cols << " causal " << causal << " from " << low << " to " << high);
  Random random(rows + 31 * cols);
  Guarded p(rows, cols, cols + 3, random, low, high), d_p(rows, cols, cols + 5, random);
  std::vector<double> expected = p.widened();
  kReference.softmax_forward(expected.data(), cols, rows, cols, scale, causal);
  active().softmax_forward(p.data(), p.ld(), rows, cols, scale, causal);
  // The rounding of an exponent is an error of the result; below -88 there is no result.
  const double exponent = 1.0 + std::min(88.0, static_cast<double>(scale * (high - low)));
  CHECK(worst_error(p, expected, [&](std::size_t i) { return 4 * kEpsilon * exponent * expected[i] + 1e-37; }) <= 1.0);
  CHECK(p.intact());

  const std::vector<double> wide_p = p.widened();
  std::vector<double> expected_d = d_p.widened();
  kReference.softmax_backward(expected_d.data(), cols, wide_p.data(), cols, rows, cols, scale, causal);
  active().softmax_backward(d_p.data(), d_p.ld(), p.data(), p.ld(), rows, cols, scale, causal);
  const auto tolerance = [&](std::size_t i) { return 16 * kEpsilon * scale * wide_p[i] + 1e-37; };
  CHECK(worst_error(d_p, expected_d, tolerance) <= 1.0);
  CHECK(d_p.intact());
}

}  // namespace

TEST_CASE("Layer norm is right at every width", "[kernels][rows]") {
  for (const std::size_t dim : kLengths) {
    for (const bool affine : {false, true}) {
      check_forward({3, dim, affine}, -1.0f, 1.0f, affine);
      check_forward({1, dim, affine}, 99.0f, 101.0f, false);
      check_backward({1, dim, affine}, false);
      check_backward({5, dim, affine}, true);
    }
  }
  check_forward({0, 64, true}, -1.0f, 1.0f, false);
  check_backward({0, 64, true}, false);
}

TEST_CASE("Layer norm of a constant row is finite, and a NaN fills its row only", "[kernels][rows]") {
  for (const std::size_t dim : Sizes{1, 25, 64}) {
    Guarded x(3, dim, dim), y(3, dim, dim), mean(3), rstd(3);
    for (std::size_t i = 0; i < dim; ++i) x(0, i) = 5.0f;
    x(1, dim / 2) = kNaN;
    active().layer_norm_forward(y.data(), mean.data(), rstd.data(), x.data(), nullptr, nullptr, 3, dim, 1e-5f);
    for (std::size_t i = 0; i < dim; ++i) {
      CHECK(std::abs(y(0, i)) < 1e-3f);
      CHECK(std::isnan(y(1, i)));
      CHECK(y(2, i) == 0.0f);
    }
  }
}

TEST_CASE("Softmax and its gradient are right at every width", "[kernels][rows]") {
  for (const std::size_t cols : kLengths) {
    for (const bool causal : {false, true}) {
      check_softmax(1, cols, causal, -1.0f, 1.0f, 1.0f);
      check_softmax(cols, cols, causal, -8.0f, 8.0f, 0.2f);
      check_softmax(cols + 3, cols, causal, -50.0f, -40.0f, 1.0f);
      check_softmax(4, cols, causal, -1e4f, 1e4f, 1.0f);
      check_softmax(4, cols, causal, 1e10f, 1.0001e10f, 1e-4f);
    }
  }
}

TEST_CASE("Softmax of huge logits is right", "[kernels][rows]") {
  const detail::KernelTable<float> reference = detail::reference_kernels<float>();
  for (const detail::KernelTable<float>* kernels : {&active(), &reference}) {
    INFO(kernels->level);
    for (const float huge : {1.2345e10f, 3e38f}) {
      float p[] = {huge, 0.0f, -huge};
      kernels->softmax_forward(p, 3, 1, 3, 0.3f, false);
      CHECK((p[0] == 1.0f && p[1] == 0.0f && p[2] == 0.0f));
      float same[] = {huge, huge};
      kernels->softmax_forward(same, 2, 1, 2, 0.3f, false);
      CHECK((same[0] == 0.5f && same[1] == 0.5f));
    }
  }
}

TEST_CASE("A softmax row with nothing visible is zero", "[kernels][rows]") {
  for (const std::size_t cols : Sizes{1, 8, 17}) {
    Guarded p(2, cols, cols);
    for (std::size_t j = 0; j < cols; ++j) p(0, j) = -kInfinity;
    active().softmax_forward(p.data(), p.ld(), 2, cols, 1.0f, false);
    for (std::size_t j = 0; j < cols; ++j) CHECK(p(0, j) == 0.0f);
    CHECK(p(1, 0) == Approx(1.0 / static_cast<double>(cols)));
  }
}

TEST_CASE("Softmax never reads what causality hides, and shows a NaN that it sees", "[kernels][rows]") {
  for (const std::size_t cols : Sizes{9, 16, 40}) {
    Guarded p(cols, cols, cols), d_p(cols, cols, cols);
    for (std::size_t i = 0; i < cols; ++i) {
      for (std::size_t j = i + 1; j < cols; ++j) p(i, j) = d_p(i, j) = kNaN;
    }
    p(cols - 1, 0) = kNaN;
    active().softmax_forward(p.data(), p.ld(), cols, cols, 1.0f, true);
    active().softmax_backward(d_p.data(), d_p.ld(), p.data(), p.ld(), cols, cols, 1.0f, true);
    for (std::size_t i = 0; i + 1 < cols; ++i) {
      for (std::size_t j = 0; j < cols; ++j) {
        CHECK(p(i, j) == (j <= i ? Approx(1.0 / static_cast<double>(i + 1)) : Approx(0.0)));
        CHECK(d_p(i, j) == 0.0f);
      }
    }
    for (std::size_t j = 0; j < cols; ++j) {
      CHECK(std::isnan(p(cols - 1, j)));
      CHECK(std::isnan(d_p(cols - 1, j)));
    }
  }
}

TEST_CASE("A row of NaN and -infinity alone is not taken for an empty one", "[kernels][rows]") {
  Guarded p(1, 3, 3);
  p(0, 0) = p(0, 1) = -kInfinity;
  p(0, 2) = kNaN;
  active().softmax_forward(p.data(), 3, 1, 3, 1.0f, false);
  CHECK(std::isnan(p(0, 0)));
}

TEST_CASE("Rows are added to and summed at every width", "[kernels][rows]") {
  Random random(3);
  for (const std::size_t dim : kLengths) {
    for (const std::size_t rows : Sizes{0, 1, 5}) {
      INFO("rows " << rows << " dim " << dim);
      Guarded y(rows, dim, dim, random), bias(dim, random), total(dim, random);
      std::vector<double> expected = y.widened(), expected_total = total.widened();
      kReference.sum_rows(expected_total.data(), expected.data(), rows, dim);
      kReference.add_rows(expected.data(), bias.widened().data(), rows, dim);
      active().sum_rows(total.data(), y.data(), rows, dim);
      active().add_rows(y.data(), bias.data(), rows, dim);
      CHECK(worst_error(total, expected_total, 4 * kEpsilon * static_cast<double>(rows + 1)) <= 1.0);
      CHECK(worst_error(y, expected, 2 * kEpsilon) <= 1.0);
      CHECK((y.intact() && total.intact()));
    }
  }
}
