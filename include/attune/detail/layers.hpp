// SPDX-License-Identifier: Apache-2.0
#pragma once

// The layers that blocks are made of: linear, layer norm, feed-forward. Forward and backward stand side by side; each
// layer registers its parameters and finds them in the dense array of the encoder. Immutable, safe from any thread.
//
// R rows (tokens), D width; T is float or double. `parameters` and `d_parameters` are dense arrays laid out by the
// ParameterList; backward adds to d_parameters and overwrites d_x, which may be d_y.

#include <cstddef>
#include <string>
#include <type_traits>

#include "attune/detail/kernels.hpp"
#include "attune/model/parameters.hpp"

namespace attune::inline v0_1::detail {

// Cuts one array into parts that begin at multiples of 64 bytes. From null it only counts.
template <class T>
class Carver {
 public:
  explicit Carver(T* memory) noexcept : memory_(memory) {}
  T* take(std::size_t count) noexcept {
    T* part = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += (count + kStep - 1) / kStep * kStep;
    return part;
  }
  std::size_t used() const noexcept { return used_; }

 private:
  static constexpr std::size_t kStep = 64 / sizeof(T);
  T* memory_;
  std::size_t used_ = 0;
};

// Whether matrix products of a training pass may round their inputs to bfloat16 (sums stay in T). Serving never does.
enum class Precision : bool { full, rounded };

// The matrix products of a precision.
template <class T>
struct Products {
  Products(const KernelTable<T>& kernels, Precision precision)
      : nn(precision == Precision::full ? kernels.matmul_nn : kernels.rounded_nn),
        nt(precision == Precision::full ? kernels.matmul_nt : kernels.rounded_nt),
        tn(precision == Precision::full ? kernels.matmul_tn : kernels.rounded_tn) {}
  typename KernelTable<T>::Matmul *nn, *nt, *tn;
};

// y [R, Out] = x [R, In] W [In, Out] + b [Out]; without b where `bias` is none.
template <class T>
class Linear {
 public:
  enum class Bias : bool { none, learned };

  Linear(const std::string& name, std::size_t in, std::size_t out, ParameterList& parameters, Bias bias = Bias::learned,
         Initial initial = Initial::normal)
      : kernels_(&kernels<T>()),
        in_(in),
        out_(out),
        has_bias_(bias == Bias::learned),
        weight_(parameters.add(name + ".weight", {in, out}, initial, true)),
        bias_(has_bias_ ? parameters.add(name + ".bias", {out}, Initial::zero) : 0) {}

  void forward(T* y, const T* x, std::size_t rows, const T* parameters, Precision precision = Precision::full) const {
    Products<T>(*kernels_, precision).nn(y, out_, x, in_, parameters + weight_, out_, rows, out_, in_, false);
    if (has_bias_) kernels_->add_rows(y, parameters + bias_, rows, out_);
  }
  void backward(T* d_x, T* d_parameters, const T* d_y, const T* x, std::size_t rows, const T* parameters,
                Precision precision) const {
    const Products<T> products(*kernels_, precision);
    products.tn(d_parameters + weight_, out_, x, in_, d_y, out_, in_, out_, rows, true);
    if (has_bias_) kernels_->sum_rows(d_parameters + bias_, d_y, rows, out_);
    products.nt(d_x, in_, d_y, out_, parameters + weight_, out_, rows, in_, out_, false);
  }

  // Columns [first, first + columns) of y alone: y [R, columns].
  void forward_columns(T* y, const T* x, std::size_t first, std::size_t columns, std::size_t rows,
                       const T* parameters) const {
    kernels_->matmul_nn(y, columns, x, in_, parameters + weight_ + first, out_, rows, columns, in_, false);
    if (has_bias_) kernels_->add_rows(y, parameters + bias_ + first, rows, columns);
  }

 private:
  const KernelTable<T>* kernels_;
  std::size_t in_, out_;
  bool has_bias_;
  std::size_t weight_, bias_;
};

// Layer norm over D (Ba, Kiros & Hinton 2016), with learned scale and shift unless `learned` is false.
template <class T>
class LayerNorm {
 public:
  LayerNorm(const std::string& name, std::size_t dim, double epsilon, ParameterList& parameters, bool learned = true)
      : kernels_(&kernels<T>()),
        dim_(dim),
        epsilon_(static_cast<T>(epsilon)),
        learned_(learned),
        weight_(learned ? parameters.add(name + ".weight", {dim}, Initial::one) : 0),
        bias_(learned ? parameters.add(name + ".bias", {dim}, Initial::zero) : 0) {}

  // Mean and reciprocal deviation of every row.
  static std::size_t tape_size(std::size_t rows) noexcept { return 2 * rows; }

  // y may be x.
  void forward(T* y, T* tape, const T* x, std::size_t rows, const T* parameters) const {
    kernels_->layer_norm_forward(y, tape, tape + rows, x, at(parameters, weight_), at(parameters, bias_), rows, dim_,
                                 epsilon_);
  }
  void backward(T* d_x, T* d_parameters, const T* d_y, const T* x, const T* tape, std::size_t rows,
                const T* parameters) const {
    kernels_->layer_norm_backward(d_x, at(d_parameters, weight_), at(d_parameters, bias_), d_y, x, tape, tape + rows,
                                  at(parameters, weight_), rows, dim_);
  }

 private:
  template <class P>
  P* at(P* array, std::size_t offset) const noexcept {
    return learned_ ? array + offset : nullptr;
  }

  const KernelTable<T>* kernels_;
  std::size_t dim_;
  T epsilon_;
  bool learned_;
  std::size_t weight_, bias_;
};

// y [R, D] = act(x W1 + b1) W2 + b2, F wide inside.
template <class T>
class FeedForward {
 public:
  FeedForward(const std::string& name, std::size_t dim, std::size_t inner, Activation activation,
              ParameterList& parameters)
      : kernels_(&kernels<T>()),
        inner_dim_(inner),
        activation_(activation),
        inner_(name + ".inner", dim, inner, parameters),
        outer_(name + ".outer", inner, dim, parameters) {}

  std::size_t tape_size(std::size_t rows) const noexcept { return layout<T>(nullptr, rows).size; }
  std::size_t scratch_size(std::size_t rows) const noexcept { return rows * inner_dim_; }

  void forward(T* y, T* tape, const T* x, std::size_t rows, const T* parameters,
               Precision precision = Precision::full) const {
    const auto [before, after, size] = layout(tape, rows);
    inner_.forward(before, x, rows, parameters, precision);
    kernels_->activation_forward(activation_, after, before, rows * inner_dim_);
    outer_.forward(y, after, rows, parameters, precision);
  }
  void backward(T* d_x, T* d_parameters, const T* d_y, const T* x, const T* tape, std::size_t rows, const T* parameters,
                Precision precision, T* scratch) const {
    const auto [before, after, size] = layout(tape, rows);
    T* d_inner = scratch;
    outer_.backward(d_inner, d_parameters, d_y, after, rows, parameters, precision);
    kernels_->activation_backward(activation_, d_inner, d_inner, before, rows * inner_dim_);
    inner_.backward(d_x, d_parameters, d_inner, x, rows, parameters, precision);
  }

 private:
  template <class P>
  struct Tape {
    P* before;  // [R, F], what the activation sees
    P* after;   // [R, F]
    std::size_t size;
  };
  template <class P>
  Tape<P> layout(P* tape, std::size_t rows) const noexcept {
    Carver<P> carver(tape);
    P* before = carver.take(rows * inner_dim_);
    P* after = carver.take(rows * inner_dim_);
    return {before, after, carver.used()};
  }

  const KernelTable<T>* kernels_;
  std::size_t inner_dim_;
  Activation activation_;
  Linear<T> inner_, outer_;
};

}  // namespace attune::inline v0_1::detail
