// SPDX-License-Identifier: Apache-2.0
#pragma once

// Element by element: activations, exponentials, sums, the optimiser's step.

#include "kernels/generic/softmax.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct Relu {
  static Vec value(Vec x) { return select_less(x, Vec::zero(), Vec::zero(), x); }
  static Vec slope_times(Vec x, Vec d_y) { return select_less(Vec::zero(), x, d_y, Vec::zero()); }
};

struct Sigmoid {
  static Vec value(Vec x) { return Vec::broadcast(1.0f) / (Vec::broadcast(1.0f) + exp(Vec::zero() - x)); }
  static Vec slope_times(Vec x, Vec d_y) {
    const Vec s = value(x);
    return d_y * (s * (Vec::broadcast(1.0f) - s));
  }
};

struct Silu {
  static Vec value(Vec x) { return x / (Vec::broadcast(1.0f) + exp(Vec::zero() - x)); }
  static Vec slope_times(Vec x, Vec d_y) {
    const Vec one = Vec::broadcast(1.0f), s = Sigmoid::value(x);
    return d_y * (s * fma(x, one - s, one));
  }
};

struct Tanh {
  static Vec value(Vec x) {
    const Vec two = Vec::broadcast(2.0f);
    return fma(two, Sigmoid::value(two * x), Vec::broadcast(-1.0f));
  }
  static Vec slope_times(Vec x, Vec d_y) {
    const Vec y = value(x);
    return d_y * (Vec::broadcast(1.0f) - y * y);
  }
};

struct Gelu {
  // exp(-x^2 / 2) and the share of the standard normal distribution below x, absolute error below 2e-7: the error
  // function by Abramowitz & Stegun 7.1.26 at |x| / sqrt 2, taken for the tail so that nothing cancels.
  struct Normal {
    Vec bell, below;
  };
  static Normal normal(Vec x) {
    const Vec one = Vec::broadcast(1.0f);
    const Vec bell = exp(Vec::broadcast(-0.5f) * x * x);
    const Vec size = max(x, Vec::zero() - x);
    const Vec t = one / fma(Vec::broadcast(0.3275911f * 0.707106781f), size, one);
    Vec tail = Vec::broadcast(0.5f * 1.061405429f);
    tail = fma(tail, t, Vec::broadcast(0.5f * -1.453152027f));
    tail = fma(tail, t, Vec::broadcast(0.5f * 1.421413741f));
    tail = fma(tail, t, Vec::broadcast(0.5f * -0.284496736f));
    tail = fma(tail, t, Vec::broadcast(0.5f * 0.254829592f));
    tail = tail * t * bell;
    return {bell, select_less(x, Vec::zero(), tail, one - tail)};
  }
  static Vec value(Vec x) { return x * normal(x).below; }
  static Vec slope_times(Vec x, Vec d_y) {
    const Normal at = normal(x);
    return d_y * fma(x * Vec::broadcast(0.398942280f), at.bell, at.below);
  }
};

template <class Function>
void activate(float* y, const float* x, std::size_t n) {
  for_each_vector(n, [&](std::size_t i, auto lanes) { lanes.store(y + i, Function::value(lanes.load(x + i))); });
}
template <class Function>
void activate_backward(float* d_x, const float* d_y, const float* x, std::size_t n) {
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    lanes.store(d_x + i, Function::slope_times(lanes.load(x + i), lanes.load(d_y + i)));
  });
}

void activation_forward(Activation kind, float* y, const float* x, std::size_t n) {
  switch (kind) {
    case Activation::relu: return activate<Relu>(y, x, n);
    case Activation::gelu: return activate<Gelu>(y, x, n);
    case Activation::silu: return activate<Silu>(y, x, n);
    case Activation::tanh: return activate<Tanh>(y, x, n);
    case Activation::sigmoid: return activate<Sigmoid>(y, x, n);
  }
}
void activation_backward(Activation kind, float* d_x, const float* d_y, const float* x, std::size_t n) {
  switch (kind) {
    case Activation::relu: return activate_backward<Relu>(d_x, d_y, x, n);
    case Activation::gelu: return activate_backward<Gelu>(d_x, d_y, x, n);
    case Activation::silu: return activate_backward<Silu>(d_x, d_y, x, n);
    case Activation::tanh: return activate_backward<Tanh>(d_x, d_y, x, n);
    case Activation::sigmoid: return activate_backward<Sigmoid>(d_x, d_y, x, n);
  }
}

void add(float* y, const float* x, std::size_t n) {
  for_each_vector(n, [&](std::size_t i, auto lanes) { lanes.store(y + i, lanes.load(y + i) + lanes.load(x + i)); });
}

void multiply(float* y, const float* a, const float* b, std::size_t n) {
  for_each_vector(n, [&](std::size_t i, auto lanes) { lanes.store(y + i, lanes.load(a + i) * lanes.load(b + i)); });
}

void scaled_add(float* y, float a, const float* x, std::size_t n) {
  const Vec factor = Vec::broadcast(a);
  for_each_vector(
      n, [&](std::size_t i, auto lanes) { lanes.store(y + i, fma(factor, lanes.load(x + i), lanes.load(y + i))); });
}

void adam(float* w, float* m, float* v, const float* g, std::size_t n, const AdamStep<float>& step) {
  const Vec beta1 = Vec::broadcast(step.beta1), rest1 = Vec::broadcast(1.0f - step.beta1);
  const Vec beta2 = Vec::broadcast(step.beta2), rest2 = Vec::broadcast(1.0f - step.beta2);
  const Vec step_size = Vec::broadcast(step.step_size), correction = Vec::broadcast(step.inverse_sqrt_correction);
  const Vec epsilon = Vec::broadcast(step.epsilon), kept = Vec::broadcast(1.0f - step.decay);
  const Vec gradient_scale = Vec::broadcast(step.gradient_scale);
  for_each_vector(n, [&](std::size_t i, auto lanes) {
    const Vec gradient = lanes.load(g + i) * gradient_scale;
    const Vec first = fma(beta1, lanes.load(m + i), rest1 * gradient);
    const Vec second = fma(beta2, lanes.load(v + i), rest2 * gradient * gradient);
    lanes.store(m + i, first);
    lanes.store(v + i, second);
    const Vec change = step_size * first / fma(sqrt(second), correction, epsilon);
    lanes.store(w + i, kept * lanes.load(w + i) - change);
  });
}

void set_elementwise(KernelTable<float>& table) {
  table.exp_sum = exp_sum;
  table.max = maximum;
  table.activation_forward = activation_forward;
  table.activation_backward = activation_backward;
  table.add = add;
  table.scaled_add = scaled_add;
  table.scale = scale_by;
  table.multiply = multiply;
  table.adam = adam;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
