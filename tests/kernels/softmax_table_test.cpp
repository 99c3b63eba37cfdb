// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <string>

#include "attune/detail/kernels.hpp"
#include "catch.hpp"
#include "kernels/guarded.hpp"

using namespace attune;
using namespace attune::test;

namespace {

struct Shape {
  std::size_t positions, rows, dim;
};

// The kernels against the reference in double. A logit is a sum of `dim` rounded products; its error is the relative
// error of the exponential.
void check(const detail::SoftmaxTable<float>& kernels, Shape shape) {
  const auto [positions, rows, dim] = shape;
  const double relative = kEpsilon * static_cast<double>(8 + dim);
  INFO("positions " << positions << " rows " << rows << " dim " << dim);
  Random random(positions * 1000003 + rows * 1009 + dim);
  const Guarded table(rows, dim, dim, random), hidden(positions, dim, dim, random);
  const Guarded scaled(positions, dim, dim, random), shifts(positions, random);
  Guarded packed(kernels.packed_size(rows, dim)), weights(kernels.weights_size(positions, rows));
  Guarded d_hidden(positions, dim, dim), sums(positions), d_table(rows, dim, dim, random);
  const float scale = 1.5f;

  using Reference = detail::reference::SoftmaxRows<double>;
  std::vector<double> wide_weights(positions * rows), wide_sums(positions), wide_d_hidden(positions * dim);
  std::vector<double> wide_d_table = d_table.widened();
  Reference::forward(wide_d_hidden.data(), wide_sums.data(), wide_weights.data(), hidden.widened().data(),
                     table.widened().data(), scale, shifts.widened().data(), positions, rows, dim);
  Reference::backward(wide_d_table.data(), wide_weights.data(), scaled.widened().data(), positions, rows, dim);

  kernels.pack(packed.data(), table.data(), rows, dim);
  kernels.forward(d_hidden.data(), sums.data(), weights.data(), hidden.data(), packed.data(), scale, shifts.data(),
                  positions, rows, dim);
  kernels.backward(d_table.data(), weights.data(), scaled.data(), positions, rows, dim);

  // Table and scaled rows are at most 1 in size, so sums of weights bound both gradients.
  CHECK(worst_error(sums, wide_sums, [&](std::size_t p) { return relative * wide_sums[p]; }) <= 1);
  CHECK(worst_error(d_hidden, wide_d_hidden, [&, dim = dim](std::size_t i) { return relative * wide_sums[i / dim]; }) <=
        1);
  std::vector<double> row_sums(rows, 1.0);
  for (std::size_t i = 0; i < wide_weights.size(); ++i) row_sums[i % rows] += wide_weights[i];
  CHECK(worst_error(d_table, wide_d_table, [&, dim = dim](std::size_t i) { return relative * row_sums[i / dim]; }) <=
        1);
  for (const Guarded* written : {&packed, &weights, &d_hidden, &sums, &d_table}) CHECK(written->intact());
}

void check_all(const detail::SoftmaxTable<float>& kernels) {
  for (const std::size_t positions : Sizes{1, 2, 3, 5, 6, 7, 11, 12, 13, 16, 17, 31, 33, 64, 127, 128}) {
    check(kernels, {positions, 70, 24});
  }
  for (const std::size_t rows :
       Sizes{1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 97, 127, 128, 129, 257}) {
    check(kernels, {7, rows, 16});
    check(kernels, {33, rows, 50});
  }
  for (const std::size_t dim : Sizes{1, 2, 3, 8, 15, 16, 17, 25, 31, 32, 33, 48, 50, 63, 64, 65, 96, 100, 128, 257}) {
    check(kernels, {13, 75, dim});
  }
  check(kernels, {128, 517, 64});
}

}  // namespace

TEST_CASE("The softmax over a table is right at every size around its chunks", "[kernels][softmax_table]") {
  check_all(detail::kernels<float>().softmax_table);
}
