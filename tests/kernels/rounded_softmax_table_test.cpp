// SPDX-License-Identifier: Apache-2.0
#include <Eigen/Core>
#include <cmath>
#include <cstring>

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

struct Kernel {
  const char* name;
  const detail::SoftmaxTable<float>& table;
  double rounding;  // of an input
};

std::vector<Kernel> kernels() {
  const auto& active = detail::kernels<float>();
  return {{"full", active.softmax_table, 0.0}, {"rounded", active.rounded_softmax_table, 1.01 * 0x1p-8}};
}

struct Shape {
  std::size_t positions, rows, dim;
};

struct Case {
  Case(const Shape& shape, std::uint64_t seed)
      : random(seed),
        hidden(shape.positions, shape.dim, shape.dim, random, -2.0f, 2.0f),
        table(shape.rows, shape.dim, shape.dim, random),
        shifts(shape.positions, random, -3.0f, 3.0f),
        scaled_hidden(shape.positions, shape.dim, shape.dim, random),
        d_table(shape.rows, shape.dim, shape.dim, random) {}
  Random random;
  Guarded hidden, table, shifts, scaled_hidden, d_table;
  float scale = 0.7f;
};

struct Result {
  Guarded sums, d_hidden, d_table;
  bool intact;
};

// Scratch begins as NaN: nothing of it may show.
Result run(const Kernel& kernel, const Shape& shape, const Case& in) {
  const auto [positions, rows, dim] = shape;
  Guarded packed(kernel.table.packed_size(rows, dim)), weights(kernel.table.weights_size(positions, rows));
  std::fill_n(packed.data(), packed.cols(), kNaN);
  std::fill_n(weights.data(), weights.cols(), kNaN);
  Result out{Guarded(positions), Guarded(positions, dim, dim), in.d_table, false};
  kernel.table.pack(packed.data(), in.table.data(), rows, dim);
  kernel.table.forward(out.d_hidden.data(), out.sums.data(), weights.data(), in.hidden.data(), packed.data(), in.scale,
                       in.shifts.data(), positions, rows, dim);
  kernel.table.backward(out.d_table.data(), weights.data(), in.scaled_hidden.data(), positions, rows, dim);
  out.intact =
      packed.intact() && weights.intact() && out.sums.intact() && out.d_hidden.intact() && out.d_table.intact();
  return out;
}

bool within(const Guarded& actual, const Dense& expected, const Dense& bound) {
  return ((widened(actual) - expected).cwiseAbs().array() <= bound.array()).all();
}

// Element by element, within what rounding the inputs can do.
void check(const Kernel& kernel, const Shape& shape, const Case& in) {
  INFO(kernel.name << " positions " << shape.positions << " rows " << shape.rows << " dim " << shape.dim);
  const Result out = run(kernel, shape, in);
  CHECK(out.intact);

  const Dense hidden = widened(in.hidden), table = widened(in.table), scaled_hidden = widened(in.scaled_hidden);
  const Eigen::VectorXd shifts = widened(in.shifts).transpose();
  const Dense scores = in.scale * (hidden * table.transpose());
  const Dense weights = (scores.colwise() - shifts).array().exp();
  const Dense sums = weights.rowwise().sum().transpose();

  // The rounding of two inputs is an absolute error of a score, and so a relative one of its weight; so are float's
  // own rounding and a coarser exponential.
  const double exponential = kernel.rounding > 0.0 ? 1e-4 : 0.0, dim = static_cast<double>(shape.dim);
  const Dense size = in.scale * (hidden.cwiseAbs() * table.cwiseAbs().transpose());
  const Dense score_error =
      (2.0 * kernel.rounding + (dim + 4.0) * kEpsilon) * (size.colwise() + shifts.cwiseAbs()).array() + exponential +
      1e-6;
  const Dense weight_error = weights.array() * score_error.array().exp() - weights.array();
  const double summed = static_cast<double>(shape.rows + shape.positions) * kEpsilon;
  const auto bound_of = [&](const Dense& left_error, const Dense& left, const Dense& right) {
    return Dense((left_error + (2.01 * kernel.rounding + summed) * left) * right);
  };
  CHECK(within(out.sums, sums, (weight_error.rowwise().sum().transpose() + summed * sums)));
  CHECK(within(out.d_hidden, weights * table, bound_of(weight_error, weights, table.cwiseAbs())));
  const Dense before = widened(in.d_table);
  CHECK(within(out.d_table, before + weights.transpose() * scaled_hidden,
               bound_of(weight_error.transpose(), weights.transpose(), scaled_hidden.cwiseAbs()) +
                   2.0 * kEpsilon * before.cwiseAbs()));
}

void check(const Shape& shape) {
  for (const Kernel& kernel : kernels())
    check(kernel, shape, Case(shape, shape.positions + 7 * shape.rows + shape.dim));
}

bool same_bits(const Guarded& x, const Guarded& y) { return widened(x) == widened(y); }

double relative(const Guarded& actual, const Dense& expected) {
  return (widened(actual) - expected).norm() / expected.norm();
}

}  // namespace

TEST_CASE("Softmax over a table is right at every number of positions", "[kernels][softmax_table]") {
  for (const std::size_t positions :
       Sizes{0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 96, 97, 127, 128}) {
    check({positions, 65, 33});
    check({positions, 32, 64});
  }
}

TEST_CASE("Softmax over a table is right at every number of rows", "[kernels][softmax_table]") {
  for (const std::size_t rows :
       Sizes{1, 2, 3, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 200, 255, 256, 257, 287, 288, 520}) {
    check({33, rows, 17});
    check({32, rows, 64});
  }
}

TEST_CASE("Softmax over a table is right at every width", "[kernels][softmax_table]") {
  for (const std::size_t dim :
       Sizes{1, 2, 3, 8, 15, 16, 17, 25, 31, 32, 33, 48, 50, 63, 64, 65, 100, 127, 128, 129, 200, 257}) {
    check({17, 35, dim});
    check({64, 40, dim});
  }
}

TEST_CASE("Softmax over a catalogue is as good as training needs", "[kernels][softmax_table]") {
  const Shape shape{128, 1500, 64};
  Case in(shape, 5);
  in.scale = 0.25f;
  const Dense hidden = widened(in.hidden), table = widened(in.table);
  const Eigen::VectorXd shifts = widened(in.shifts).transpose();
  const Dense weights = (Dense(in.scale * (hidden * table.transpose())).colwise() - shifts).array().exp();
  const Dense sums = weights.rowwise().sum().transpose();
  for (const Kernel& kernel : kernels()) {
    INFO(kernel.name);
    const bool rounded = kernel.rounding > 0.0;
    const Result out = run(kernel, shape, in);
    const double loss_error = widened(out.sums).array().log().mean() - sums.array().log().mean();
    CHECK(std::abs(loss_error) <= (rounded ? 1e-4 : 1e-6));
    CHECK(relative(out.d_hidden, weights * table) <= (rounded ? 4e-3 : 1e-6));
    const Dense added = widened(out.d_table) - widened(in.d_table);
    CHECK((added - weights.transpose() * widened(in.scaled_hidden)).norm() <= (rounded ? 4e-3 : 1e-6) * added.norm());
  }
}

TEST_CASE("Softmax over a table is the same bits each time", "[kernels][softmax_table]") {
  const Shape shape{70, 300, 50};
  const Case in(shape, 6);
  for (const Kernel& kernel : kernels()) {
    const Result first = run(kernel, shape, in), second = run(kernel, shape, in);
    CHECK(same_bits(first.sums, second.sums));
    CHECK(same_bits(first.d_hidden, second.d_hidden));
    CHECK(same_bits(first.d_table, second.d_table));
  }
}

TEST_CASE("Softmax over a table takes shifts as large as the scores", "[kernels][softmax_table]") {
  const Shape shape{33, 70, 20};
  for (const Kernel& kernel : kernels()) {
    for (const float size : {-60.0f, 60.0f}) {
      Case in(shape, 7);
      for (std::size_t p = 0; p < shape.positions; ++p) {
        in.hidden(p, 0) = 1.0f;
        in.shifts[p] += size;
      }
      for (std::size_t v = 0; v < shape.rows; ++v) in.table(v, 0) = size / 0.75f;
      in.scale = 0.75f;
      check(kernel, shape, in);
    }
  }
}

TEST_CASE("Weights that are nearly nothing are nothing", "[kernels][softmax_table]") {
  const Shape shape{20, 40, 20};
  for (const Kernel& kernel : kernels()) {
    INFO(kernel.name);
    Case in(shape, 8);
    for (std::size_t p = 0; p < shape.positions; ++p) in.shifts[p] = 1e4f;
    const Result out = run(kernel, shape, in);
    CHECK(widened(out.sums).isZero(0.0));
    CHECK(widened(out.d_hidden).isZero(0.0));
    CHECK(same_bits(out.d_table, in.d_table));
  }
}

TEST_CASE("Denormals in a softmax over a table count as nothing much", "[kernels][softmax_table]") {
  const Shape shape{20, 40, 20};
  for (const Kernel& kernel : kernels()) {
    Case in(shape, 9);
    for (std::size_t d = 0; d < shape.dim; ++d) in.hidden(3, d) = in.table(5, d) = in.scaled_hidden(3, d) = 1e-40f;
    check(kernel, shape, in);
  }
}

TEST_CASE("A NaN in a hidden row shows in what is made of it alone", "[kernels][softmax_table]") {
  const Shape shape{40, 50, 20};
  for (const Kernel& kernel : kernels()) {
    INFO(kernel.name);
    Case in(shape, 10);
    in.hidden(33, 2) = kNaN;
    const Result out = run(kernel, shape, in);
    for (std::size_t p = 0; p < shape.positions; ++p) {
      CHECK(std::isnan(out.sums[p]) == (p == 33));
      for (std::size_t d = 0; d < shape.dim; ++d) CHECK(std::isnan(out.d_hidden(p, d)) == (p == 33));
    }
    for (std::size_t v = 0; v < shape.rows; ++v) CHECK(std::isnan(out.d_table(v, 0)));
  }
}
