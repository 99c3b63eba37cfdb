// SPDX-License-Identifier: Apache-2.0
#include <Eigen/Core>
#include <cmath>

#include "attune/detail/kernels.hpp"
#include "catch.hpp"
#include "kernels/guarded.hpp"

using namespace attune;
using namespace attune::test;

namespace {

using Dense = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Dense widened(const Guarded& x) {
  return Eigen::Map<const Dense>(x.widened().data(), static_cast<Eigen::Index>(x.rows()),
                                 static_cast<Eigen::Index>(x.cols()));
}

struct Product {
  const char* name;
  detail::KernelTable<float>::Matmul* kernel;
  bool transposed_a, transposed_b;
  double rounding;  // of a product of two inputs
};

std::vector<Product> products() {
  const auto& kernels = detail::kernels<float>();
  constexpr double kBfloat16 = 1.01 * 0x1p-7;  // each input is off by up to 2^-8
  return {{"nn", kernels.matmul_nn, false, false, 0.0},
          {"nt", kernels.matmul_nt, false, true, 0.0},
          {"tn", kernels.matmul_tn, true, false, 0.0},
          {"rounded nn", kernels.rounded_nn, false, false, kBfloat16},
          {"rounded nt", kernels.rounded_nt, false, true, kBfloat16},
          {"rounded tn", kernels.rounded_tn, true, false, kBfloat16}};
}

// C against Eigen in double, within the bound of a sum of k rounded products.
void check(const Product& product, std::size_t m, std::size_t n, std::size_t k, bool accumulate, std::size_t gap) {
  INFO(product.name << " m " << m << " n " << n << " k " << k << " accumulate " << accumulate << " gap " << gap);
  Random random(m * 1000003 + n * 1009 + k);
  Guarded a = product.transposed_a ? Guarded(k, m, m + gap, random) : Guarded(m, k, k + gap, random);
  Guarded b = product.transposed_b ? Guarded(n, k, k + gap, random) : Guarded(k, n, n + gap, random);
  Guarded c(m, n, n + gap, random);
  const Dense wide_a = product.transposed_a ? Dense(widened(a).transpose()) : widened(a);
  const Dense wide_b = product.transposed_b ? Dense(widened(b).transpose()) : widened(b);
  const Dense before = accumulate ? widened(c) : Dense(Dense::Zero(widened(c).rows(), widened(c).cols()));
  const Dense expected = before + wide_a * wide_b;
  const Dense size = wide_a.cwiseAbs() * wide_b.cwiseAbs() + Dense::Constant(before.rows(), before.cols(), 1e-30);
  const Dense bound = static_cast<double>(k + 2) * kEpsilon * (before.cwiseAbs() + size) + product.rounding * size;

  product.kernel(c.data(), c.ld(), a.data(), a.ld(), b.data(), b.ld(), m, n, k, accumulate);

  CHECK(((widened(c) - expected).cwiseAbs().array() <= bound.array()).all());
  CHECK(c.intact());
}

}  // namespace

TEST_CASE("Matrix products are right at every size around the tiles", "[kernels][matmul]") {
  for (const Product& product : products()) {
    for (const bool accumulate : {false, true}) {
      for (const std::size_t m : Sizes{0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 15, 17, 25, 26, 31, 32, 33, 65}) {
        check(product, m, 19, 21, accumulate, 3);
        check(product, m, 64, 8, accumulate, 0);
      }
      for (const std::size_t n :
           Sizes{0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 65, 127, 128, 200, 260}) {
        check(product, 1, n, 37, accumulate, 0);
        check(product, 7, n, 33, accumulate, 5);
      }
      for (const std::size_t k :
           Sizes{0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 25, 32, 63, 64, 65, 127, 128, 129, 255, 256, 257, 520}) {
        check(product, 1, 33, k, accumulate, 0);
        check(product, 9, 18, k, accumulate, 1);
        check(product, 13, 70, k, accumulate, 0);
      }
    }
  }
}

TEST_CASE("Matrix products are right at the encoder's shapes", "[kernels][matmul]") {
  for (const Product& product : products()) {
    check(product, 200, 192, 64, false, 0);
    check(product, 64, 256, 200, true, 0);
    check(product, 200, 64, 256, false, 0);
    check(product, 200, 200, 32, false, 160);
    check(product, 64, 517, 64, true, 0);
    check(product, 257, 256, 257, true, 3);
  }
}

TEST_CASE("A matrix product shows a NaN in the rows and columns it belongs to", "[kernels][matmul]") {
  for (const Product& product : products()) {
    for (const std::size_t m : Sizes{1, 5, 14}) {
      const std::size_t n = 35, k = 19;
      INFO(product.name << " m " << m);
      Random random(5);
      Guarded a = product.transposed_a ? Guarded(k, m, m, random) : Guarded(m, k, k, random);
      Guarded b = product.transposed_b ? Guarded(n, k, k, random) : Guarded(k, n, n, random);
      (product.transposed_a ? a(3, m - 1) : a(m - 1, 3)) = kNaN;
      (product.transposed_b ? b(34, 18) : b(18, 34)) = kInfinity;
      Guarded c(m, n, n);
      product.kernel(c.data(), c.ld(), a.data(), a.ld(), b.data(), b.ld(), m, n, k, false);
      for (std::size_t i = 0; i < m; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
          const bool nan = i == m - 1, infinite = j == 34;
          CHECK(std::isnan(c(i, j)) == nan);
          if (!nan) CHECK(std::isfinite(c(i, j)) != infinite);
        }
      }
    }
  }
}

namespace {

// Multiples of 1/64 up to 2, which bfloat16 holds and whose products float sums without rounding.
void keep_exact(Guarded& x) {
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) x(i, j) = std::round(128.0f * x(i, j)) / 64.0f;
  }
}

Dense product_of(const Product& product, const Guarded& a, const Guarded& b, std::size_t m, std::size_t n,
                 std::size_t k) {
  Guarded c(m, n, n);
  product.kernel(c.data(), c.ld(), a.data(), a.ld(), b.data(), b.ld(), m, n, k, false);
  return widened(c);
}

struct Inputs {
  Inputs(const Product& product, std::size_t m, std::size_t n, std::size_t k, Random& random)
      : a(product.transposed_a ? Guarded(k, m, m + 1, random) : Guarded(m, k, k + 1, random)),
        b(product.transposed_b ? Guarded(n, k, k + 1, random) : Guarded(k, n, n + 1, random)) {}
  Guarded a, b;
};

}  // namespace

TEST_CASE("Inputs that need no rounding give the exact product", "[kernels][matmul]") {
  for (const Product& product : products()) {
    for (const std::size_t m : Sizes{1, 16, 17, 31, 33, 63, 65}) {
      for (const std::size_t n : Sizes{1, 15, 16, 33, 64, 130}) {
        for (const std::size_t k : Sizes{1, 2, 31, 32, 33, 64, 257}) {
          INFO(product.name << " m " << m << " n " << n << " k " << k);
          Random random(m + 100 * n + 10000 * k);
          Inputs in(product, m, n, k, random);
          keep_exact(in.a);
          keep_exact(in.b);
          const Dense a = product.transposed_a ? Dense(widened(in.a).transpose()) : widened(in.a);
          const Dense b = product.transposed_b ? Dense(widened(in.b).transpose()) : widened(in.b);
          CHECK(product_of(product, in.a, in.b, m, n, k) == a * b);
        }
      }
    }
  }
}

TEST_CASE("A matrix product is the same bits each time", "[kernels][matmul]") {
  for (const Product& product : products()) {
    Random random(3);
    const Inputs in(product, 45, 70, 300, random);
    CHECK(product_of(product, in.a, in.b, 45, 70, 300) == product_of(product, in.a, in.b, 45, 70, 300));
  }
}

TEST_CASE("A row of a product has the same bits however many rows are computed with it", "[kernels][matmul]") {
  for (const Product& product : products()) {
    if (product.rounding != 0.0) continue;
    for (const std::size_t n : Sizes{1, 15, 24, 50, 64, 100, 256}) {
      for (const std::size_t k : Sizes{1, 7, 50, 64, 256, 300}) {
        INFO(product.name << " n " << n << " k " << k);
        Random random(n + 1000 * k);
        const Inputs in(product, 45, n, k, random);
        const Dense all = product_of(product, in.a, in.b, 45, n, k);
        for (const std::size_t m : Sizes{1, 2, 4, 5, 13}) {
          CHECK(product_of(product, in.a, in.b, m, n, k) == all.topRows(static_cast<Eigen::Index>(m)));
        }
      }
    }
  }
}

TEST_CASE("A matrix product keeps huge numbers and may lose denormals", "[kernels][matmul]") {
  for (const Product& product : products()) {
    INFO(product.name);
    Random random(4);
    Inputs in(product, 3, 20, 40, random);
    (product.transposed_a ? in.a(7, 1) : in.a(1, 7)) = 0x1p100f;
    (product.transposed_b ? in.b(11, 7) : in.b(7, 11)) = 0x1p20f;
    for (std::size_t i = 0; i < 40; ++i) (product.transposed_a ? in.a(i, 2) : in.a(2, i)) = 1e-40f;
    const Dense c = product_of(product, in.a, in.b, 3, 20, 40);
    CHECK(c(1, 11) == Approx(0x1p120));
    CHECK(c.row(2).cwiseAbs().maxCoeff() <= 1e-33);
  }
}
