// SPDX-License-Identifier: Apache-2.0
#pragma once

// One block of HSTU (Zhai et al. 2024): attention whose weights are SiLU of a score and not a softmax, biased by
// distance and by the gap in time, and a gate in place of a feed-forward layer; one of those can follow all the same,
// as in FuXi (Ye et al. 2025). Training and serving compute the same rows. Immutable, safe from any thread.
//
//   [U Q K V] = silu(norm(x) W)
//   a_ij = silu(q_i . k_j + position_bias[i - j] + time_bias[gap(i, j)]) / divisor, for keys j <= i
//   y = x + drop(U * norm(sum_j a_ij v_j)) Wo + c
//   y = y + drop(act(norm(y) W1 + b1) W2 + b2), with config.feed_forward
//
// The divisor is the number of keys that a row sees, or a constant. Causal masks only.
// N tokens of a packed batch, R rows of one sequence, L events of one, D width, H heads; T is float or double.

#include <cstddef>
#include <optional>

#include "attune/detail/feed_forward_branch.hpp"
#include "attune/detail/head_attention.hpp"
#include "attune/detail/training_pass.hpp"
#include "attune/model/config.hpp"
#include "attune/model/parameters.hpp"

namespace attune::inline v0_1 {

template <class T>
class HstuBlock {
 public:
  static constexpr BlockKind kKind = BlockKind::hstu;

  // Registers its parameters under "blocks.<index>.".
  HstuBlock(const EncoderConfig& config, std::size_t index, ParameterList& parameters);

  // Training. d_parameters is laid out like the dense array of the encoder.

  // Elements of T that forward keeps for backward, and that both need on top while they run.
  std::size_t tape_size(const SequenceBatch& batch) const noexcept { return layout<T>(nullptr, batch).size; }
  std::size_t scratch_size(const SequenceBatch& batch) const noexcept { return scratch_layout(nullptr, batch).size; }

  // y [N, D] from x [N, D].
  void forward(T* y, T* tape, const T* x, const detail::TrainingPass<T>& pass, T* scratch) const;
  // `d` [N, D] holds d_y and receives d_x; adds to d_parameters.
  void backward(T* d, T* d_parameters, const T* x, const T* tape, const detail::TrainingPass<T>& pass,
                T* scratch) const;

  // Serving.

  // x [R, D] is replaced by the block's output, keys and values are stored.
  void extend(T* x, const detail::ServingPass<T>& pass, T* scratch) const;
  // Stores keys and values alone: for rows whose output nobody reads. x is kept.
  void remember(const T* x, const detail::ServingPass<T>& pass, T* scratch) const;
  std::size_t serving_scratch_size(std::size_t rows) const noexcept { return serving_layout(nullptr, rows).size; }

 private:
  // Rows that extend and remember push through at a time, so that what lies between stays in the nearest caches.
  static constexpr std::size_t kServingRows = 120;

  template <class P>
  struct Tape {
    P *input_stats, *context_stats;  // of the norms
    P* normal;                       // [N, D]: norm(x)
    P *before, *after;               // [N, 4 D]: U, query, key, value before and after SiLU
    P *context, *normal_context;     // [N, D]
    P* gated;                        // [N, D]: what the output projection reads
    P *middle, *feed_forward;        // [N, D]: what the feed-forward layer reads, and what that keeps
    std::size_t size;
  };
  template <class P>
  Tape<P> layout(P* tape, const SequenceBatch& batch) const noexcept;

  struct Scratch {
    T *d_gated, *d_context;  // [N, D]
    T* d_projected;          // [N, 4 D]
    T *head, *feed_forward;
    std::size_t size;
  };
  Scratch scratch_layout(T* scratch, const SequenceBatch& batch) const noexcept;

  struct ServingScratch {
    T *rows, *stats;        // [R', D], and its norm's; R' = min(R, kServingRows)
    T *before, *projected;  // [R', 4 D]
    T *scores, *feed_forward;
    std::size_t size;
  };
  ServingScratch serving_layout(T* scratch, std::size_t rows) const noexcept;

  // Rows [i, i + size) of the pass and of `work`, size 1 or 2: work.rows becomes what they attend to.
  void attend(std::size_t i, std::size_t size, const detail::ServingPass<T>& pass, const ServingScratch& work) const;

  // Of row `row` of a sequence and a head, for its keys from 0 on; gaps [L, L] or null.
  detail::AttentionBias<T> bias_of(std::size_t row, std::size_t head, const T* parameters,
                                   const std::uint8_t* gaps_of_row) const noexcept;
  T scale_of(std::size_t row) const noexcept { return T(1) / static_cast<T>(divisor_ != 0 ? divisor_ : row + 1); }
  std::size_t position_table(std::size_t head) const noexcept { return bias_per_head_ ? head * window_ : 0; }

  const detail::KernelTable<T>* kernels_;
  std::size_t index_, dim_, heads_, head_dim_, window_, divisor_;
  bool has_positions_, bias_per_head_, has_times_;
  detail::HeadAttention<T> head_;
  detail::LayerNorm<T> input_norm_;
  detail::Linear<T> projection_;
  std::size_t positions_ = 0;  // offset of [tables, W]: the entry of distance d is at W - 1 - d
  std::size_t times_ = 0;      // offset of [buckets]
  detail::LayerNorm<T> context_norm_;
  detail::Linear<T> output_;
  std::optional<detail::FeedForwardBranch<T>> feed_forward_;
};

}  // namespace attune::inline v0_1

#include "attune/detail/hstu_block_impl.hpp"
