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
};

std::vector<Product> products() {
  const auto& kernels = detail::kernels<float>();
  return {{"nn", kernels.matmul_nn, false, false},
          {"nt", kernels.matmul_nt, false, true},
          {"tn", kernels.matmul_tn, true, false}};
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
  const Dense bound = static_cast<double>(k + 2) * kEpsilon *
                      (before.cwiseAbs() + wide_a.cwiseAbs() * wide_b.cwiseAbs() +
                       Dense::Constant(before.rows(), before.cols(), 1e-30));

  product.kernel(c.data(), c.ld(), a.data(), a.ld(), b.data(), b.ld(), m, n, k, accumulate);

  CHECK(((widened(c) - expected).cwiseAbs().array() <= bound.array()).all());
  CHECK(c.intact());
}

}  // namespace

TEST_CASE("Matrix products are right at every size around the tiles", "[kernels][matmul]") {
  for (const Product& product : products()) {
    for (const bool accumulate : {false, true}) {
      for (const std::size_t m : Sizes{0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 15, 17, 25, 26}) {
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
