// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "attune/detail/kernels.hpp"
#include "catch.hpp"
#include "kernels/guarded.hpp"

using namespace attune;
using namespace attune::test;
using attune::detail::Activation;

namespace {

const detail::KernelTable<double> kReference = detail::reference_kernels<double>();
const detail::KernelTable<float>& active() { return detail::kernels<float>(); }

constexpr Activation kActivations[] = {Activation::relu, Activation::gelu, Activation::silu, Activation::tanh,
                                       Activation::sigmoid};

// n values from low to high, both included.
Guarded sweep(float low, float high, std::size_t n) {
  Guarded x(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = low + (high - low) * static_cast<float>(i) / static_cast<float>(n - 1);
  }
  return x;
}

}  // namespace

TEST_CASE("Products element by element are right at every length, in place too", "[kernels][elementwise]") {
  for (const std::size_t n : kLengths) {
    Random random(n);
    const Guarded a(n, random);
    Guarded b(n, random), y(n);
    const std::vector<double> wide_a = a.widened();
    std::vector<double> expected = b.widened();
    for (std::size_t i = 0; i < n; ++i) expected[i] *= wide_a[i];
    detail::kernels<float>().multiply(y.data(), a.data(), b.data(), n);
    detail::kernels<float>().multiply(b.data(), a.data(), b.data(), n);
    CHECK(worst_error(y, expected, kEpsilon) <= 1.0);
    CHECK(worst_error(b, expected, kEpsilon) <= 1.0);
    CHECK((y.intact() && b.intact()));
  }
}

TEST_CASE("exp is right to 3e-7 over its range", "[kernels][elementwise]") {
  for (const auto& [low, high] : {std::pair{-87.3f, 88.3f}, std::pair{-1.0f, 1.0f}, std::pair{-1e-6f, 1e-6f}}) {
    Guarded x = sweep(low, high, 200003);
    std::vector<double> expected = x.widened();
    for (double& value : expected) value = std::exp(value);
    active().exp_sum(x.data(), x.cols(), 1.0f, 0.0f);
    CHECK(worst_error(x, expected, [&](std::size_t i) { return 3e-7 * expected[i]; }) <= 1.0);
  }
}

TEST_CASE("exp has the right limits and shows NaN", "[kernels][elementwise]") {
  Guarded x(7);
  const float values[] = {-kInfinity, -1e30f, -88.0f, 89.0f, 1e30f, kInfinity, kNaN};
  std::copy(std::begin(values), std::end(values), x.data());
  const float sum = active().exp_sum(x.data(), 7, 1.0f, 0.0f);
  for (const std::size_t i : Sizes{0, 1, 2}) CHECK((x[i] == 0.0f && !std::signbit(x[i])));
  for (const std::size_t i : Sizes{3, 4, 5}) CHECK(x[i] == kInfinity);
  CHECK(std::isnan(x[6]));
  CHECK(std::isnan(sum));
}

TEST_CASE("exp_sum scales, shifts and sums at every length", "[kernels][elementwise]") {
  Random random(4);
  for (const std::size_t n : kLengths) {
    INFO("n " << n);
    Guarded x(n, random, -20.0f, 20.0f);
    std::vector<double> expected = x.widened();
    const double expected_sum = kReference.exp_sum(expected.data(), n, 0.7f, 3.5f);
    const float sum = active().exp_sum(x.data(), n, 0.7f, 3.5f);
    CHECK(worst_error(x, expected, [&](std::size_t i) { return 4e-6 * expected[i]; }) <= 1.0);
    CHECK(std::abs(sum - expected_sum) <= 4e-6 * expected_sum);
    CHECK(x.intact());
  }
}

TEST_CASE("max starts from minus infinity and skips NaN", "[kernels][elementwise]") {
  Random random(5);
  for (const std::size_t n : kLengths) {
    INFO("n " << n);
    Guarded x(n, random, -9.0f, -2.0f);
    const std::vector<double> wide = x.widened();
    CHECK(active().max(x.data(), n) == (n == 0 ? -kInfinity : *std::max_element(wide.begin(), wide.end())));
    if (n == 0) continue;
    for (const std::size_t i : {std::size_t{0}, n / 2, n - 1}) {
      Guarded y = x;
      y[i] = -1.5f;
      y[(i + n / 2) % n] = n > 1 ? kNaN : -1.5f;
      CHECK(active().max(y.data(), n) == (n > 1 && (i + n / 2) % n == i ? active().max(x.data(), n) : -1.5f));
    }
  }
}

TEST_CASE("Activations and their slopes are right to 1e-6", "[kernels][elementwise]") {
  for (const Activation kind : kActivations) {
    for (const float limit : {0.01f, 6.0f, 100.0f}) {
      INFO("activation " << static_cast<int>(kind) << " up to " << limit);
      Guarded x = sweep(-limit, limit, 40001);
      Guarded y(x.cols()), d_x(x.cols()), d_y = sweep(1.0f, -1.0f, x.cols());
      std::vector<double> wide = x.widened(), expected(wide.size()), expected_d(wide.size());
      kReference.activation_forward(kind, expected.data(), wide.data(), wide.size());
      kReference.activation_backward(kind, expected_d.data(), d_y.widened().data(), wide.data(), wide.size());
      active().activation_forward(kind, y.data(), x.data(), x.cols());
      active().activation_backward(kind, d_x.data(), d_y.data(), x.data(), x.cols());
      const auto tolerance = [&](std::size_t i) { return 1e-6 + 2 * kEpsilon * std::abs(wide[i]); };
      CHECK(worst_error(y, expected, tolerance) <= 1.0);
      CHECK(worst_error(d_x, expected_d, 2e-6) <= 1.0);
    }
  }
}

TEST_CASE("Activations work in place at every length and show NaN", "[kernels][elementwise]") {
  Random random(6);
  for (const Activation kind : kActivations) {
    for (const std::size_t n : kLengths) {
      INFO("activation " << static_cast<int>(kind) << " n " << n);
      Guarded x(n, random, -3.0f, 3.0f), d(n, random);
      std::vector<double> expected(n), expected_d(n);
      kReference.activation_forward(kind, expected.data(), x.widened().data(), n);
      kReference.activation_backward(kind, expected_d.data(), d.widened().data(), x.widened().data(), n);
      active().activation_backward(kind, d.data(), d.data(), x.data(), n);
      active().activation_forward(kind, x.data(), x.data(), n);
      CHECK(worst_error(x, expected, 1e-6) <= 1.0);
      CHECK(worst_error(d, expected_d, 2e-6) <= 1.0);
      CHECK((x.intact() && d.intact()));
      if (n == 0) continue;
      x[n - 1] = kNaN;
      active().activation_forward(kind, x.data(), x.data(), n);
      CHECK(std::isnan(x[n - 1]));
    }
  }
}

TEST_CASE("Activations have the right limits", "[kernels][elementwise]") {
  const float huge[] = {-1e30f, 1e30f};
  for (const Activation kind : {Activation::relu, Activation::gelu, Activation::silu}) {
    float y[2], d_x[2];
    const float d_y[] = {1.0f, 1.0f};
    active().activation_forward(kind, y, huge, 2);
    active().activation_backward(kind, d_x, d_y, huge, 2);
    CHECK((y[0] == 0.0f && y[1] == 1e30f));
    CHECK((d_x[0] == 0.0f && d_x[1] == 1.0f));
  }
  for (const Activation kind : {Activation::tanh, Activation::sigmoid}) {
    float y[2], d_x[2];
    const float d_y[] = {1.0f, 1.0f};
    active().activation_forward(kind, y, huge, 2);
    active().activation_backward(kind, d_x, d_y, huge, 2);
    CHECK((y[0] == (kind == Activation::tanh ? -1.0f : 0.0f) && y[1] == 1.0f));
    CHECK((d_x[0] == 0.0f && d_x[1] == 0.0f));
  }
}

TEST_CASE("Sums and multiples of vectors are right at every length", "[kernels][elementwise]") {
  Random random(7);
  for (const std::size_t n : kLengths) {
    INFO("n " << n);
    const Guarded x(n, random), y(n, random);
    const std::vector<double> wide_x = x.widened();
    Guarded sum = y, scaled_sum = y, scaled = y;
    std::vector<double> expected = y.widened(), expected_scaled_sum = expected, expected_scaled = expected;
    kReference.add(expected.data(), wide_x.data(), n);
    kReference.scaled_add(expected_scaled_sum.data(), -1.3f, wide_x.data(), n);
    kReference.scale(expected_scaled.data(), 0.3f, n);
    active().add(sum.data(), x.data(), n);
    active().scaled_add(scaled_sum.data(), -1.3f, x.data(), n);
    active().scale(scaled.data(), 0.3f, n);
    CHECK(worst_error(sum, expected, kEpsilon) <= 1.0);
    CHECK(worst_error(scaled_sum, expected_scaled_sum, 2 * kEpsilon) <= 1.0);
    CHECK(worst_error(scaled, expected_scaled, kEpsilon) <= 1.0);
    CHECK((sum.intact() && scaled_sum.intact() && scaled.intact()));
  }
}

TEST_CASE("Adam's step is right at every length", "[kernels][elementwise]") {
  Random random(8);
  for (const std::size_t n : kLengths) {
    for (const float decay : {0.0f, 0.01f}) {
      INFO("n " << n << " decay " << decay);
      Guarded w(n, random), m(n, random), v(n, random, 0.0f, 1.0f), g(n, random, -100.0f, 100.0f);
      if (n > 3) m[3] = v[3] = g[3] = 0.0f;
      const detail::AdamStep<float> step{0.9f, 0.98f, 1e-8f, 0.002f, 1.5f, decay, 0.01f};
      const detail::AdamStep<double> wide_step{0.9f, 0.98f, 1e-8f, 0.002f, 1.5f, decay, 0.01f};
      std::vector<double> wide_w = w.widened(), wide_m = m.widened(), wide_v = v.widened();
      kReference.adam(wide_w.data(), wide_m.data(), wide_v.data(), g.widened().data(), n, wide_step);
      active().adam(w.data(), m.data(), v.data(), g.data(), n, step);
      CHECK(worst_error(m, wide_m, 2 * kEpsilon) <= 1.0);
      CHECK(worst_error(v, wide_v, 2 * kEpsilon) <= 1.0);
      CHECK(worst_error(w, wide_w, 2 * kEpsilon) <= 1.0);
      CHECK((w.intact() && m.intact() && v.intact()));
    }
  }
}
