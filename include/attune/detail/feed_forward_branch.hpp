// SPDX-License-Identifier: Apache-2.0
#pragma once

// A residual feed-forward layer behind a norm: y = x + drop(act(norm(x) W1 + b1) W2 + b2). N tokens of a packed batch,
// R rows, D width, F inner width.

#include <algorithm>
#include <cstddef>
#include <string>

#include "attune/detail/training_pass.hpp"
#include "attune/model/config.hpp"

namespace attune::inline v0_1::detail {

template <class T>
class FeedForwardBranch {
 public:
  // Registers its parameters under "blocks.<index>.".
  FeedForwardBranch(const EncoderConfig& config, std::size_t index, ParameterList& parameters)
      : kernels_(&kernels<T>()),
        index_(index),
        dim_(config.embedding_dim),
        norm_("blocks." + std::to_string(index) + ".feed_forward_norm", dim_, config.layer_norm_epsilon, parameters,
              config.learned_norms),
        layer_("blocks." + std::to_string(index) + ".feed_forward", dim_, config.inner_dim, config.activation,
               parameters) {}

  std::size_t tape_size(std::size_t tokens) const noexcept { return layout<T>(nullptr, tokens).size; }
  std::size_t scratch_size(std::size_t tokens) const noexcept { return tokens * dim_ + layer_.scratch_size(tokens); }

  // y [N, D] from x [N, D].
  void forward(T* y, T* tape, const T* x, const TrainingPass<T>& pass) const {
    const std::size_t tokens = pass.batch.num_tokens();
    const Tape<T> kept = layout(tape, tokens);
    norm_.forward(kept.normal, kept.stats, x, tokens, pass.parameters);
    layer_.forward(y, kept.layer, kept.normal, tokens, pass.parameters, pass.mode.precision);
    pass.mode.dropout.apply_rows(y, pass.batch, dim_, site());
    kernels_->add(y, x, tokens * dim_);
  }
  // `d` [N, D] holds d_y and receives d_x; adds to d_parameters.
  void backward(T* d, T* d_parameters, const T* x, const T* tape, const TrainingPass<T>& pass, T* scratch) const {
    const std::size_t tokens = pass.batch.num_tokens();
    const Tape<const T> kept = layout(tape, tokens);
    T* const d_branch = scratch;
    std::copy_n(d, tokens * dim_, d_branch);
    pass.mode.dropout.apply_rows(d_branch, pass.batch, dim_, site());
    layer_.backward(d_branch, d_parameters, d_branch, kept.normal, kept.layer, tokens, pass.parameters,
                    pass.mode.precision, scratch + tokens * dim_);
    norm_.backward(d_branch, d_parameters, d_branch, x, kept.stats, tokens, pass.parameters);
    kernels_->add(d, d_branch, tokens * dim_);
  }

  // Serving: x [R, D] in place.
  std::size_t serving_scratch_size(std::size_t rows) const noexcept { return tape_size(rows) + rows * dim_; }
  void serve(T* x, std::size_t rows, const T* parameters, T* scratch) const {
    const Tape<T> kept = layout(scratch, rows);
    T* const branch = scratch + kept.size;
    norm_.forward(kept.normal, kept.stats, x, rows, parameters);
    layer_.forward(branch, kept.layer, kept.normal, rows, parameters);
    kernels_->add(x, branch, rows * dim_);
  }

 private:
  template <class P>
  struct Tape {
    P* stats;   // of the norm
    P* normal;  // [N, D]: norm(x)
    P* layer;
    std::size_t size;
  };
  template <class P>
  Tape<P> layout(P* tape, std::size_t tokens) const noexcept {
    Carver<P> carver(tape);
    P* stats = carver.take(norm_.tape_size(tokens));
    P* normal = carver.take(tokens * dim_);
    P* layer = carver.take(layer_.tape_size(tokens));
    return {stats, normal, layer, carver.used()};
  }
  std::uint64_t site() const noexcept { return dropout_site(index_ + 1, 1); }

  const KernelTable<T>* kernels_;
  std::size_t index_, dim_;
  LayerNorm<T> norm_;
  FeedForward<T> layer_;
};

}  // namespace attune::inline v0_1::detail
