// SPDX-License-Identifier: Apache-2.0
#pragma once

// One block of SASRec (Kang & McAuley 2018): multi-head softmax attention and a position-wise feed-forward layer, each
// with a residual and a layer norm before (pre) or after (post) it, or as its authors' code has it (query). Training
// and serving compute the same rows: the one with everything kept for the backward pass, the other against a key/value
// cache. Immutable, safe from any thread.
//
//   pre:   x1 = x + drop(attention(LN(x)))     y = x1 + drop(feed_forward(LN(x1)))
//   post:  x1 = LN(x + drop(attention(x)))     y = LN(x1 + drop(feed_forward(x1)))
//   query: x1 = LN(q + attention(q; keys and values of x)) for q = LN(x)     y = x1 + feed_forward(x1)
//
// The last is for models that were trained elsewhere, and has no training pass.
//
// N tokens of a packed batch, R rows of one sequence, D width; T is float or double.

#include <cstddef>

#include "attune/detail/attention.hpp"
#include "attune/detail/training_pass.hpp"
#include "attune/model/config.hpp"
#include "attune/model/parameters.hpp"

namespace attune::inline v0_1 {

template <class T>
class SasrecBlock {
 public:
  static constexpr BlockKind kKind = BlockKind::sasrec;

  // Registers its parameters under "blocks.<index>.".
  SasrecBlock(const EncoderConfig& config, std::size_t index, ParameterList& parameters);

  // Training, pre and post. d_parameters is laid out like the dense array of the encoder.

  // Elements of T that forward keeps for backward, and that both need on top while they run.
  std::size_t tape_size(const SequenceBatch& batch) const noexcept { return layout<T>(nullptr, batch).size; }
  std::size_t scratch_size(const SequenceBatch& batch) const noexcept;

  // y [N, D] from x [N, D].
  void forward(T* y, T* tape, const T* x, const detail::TrainingPass<T>& pass, T* scratch) const;
  // `d` [N, D] holds d_y and receives d_x; adds to d_parameters.
  void backward(T* d, T* d_parameters, const T* x, const T* tape, const detail::TrainingPass<T>& pass,
                T* scratch) const;

  // Serving.

  // x [R, D] is replaced by the block's output, keys and values are stored. A bidirectional mask needs all rows of the
  // sequence at once.
  void extend(T* x, const detail::ServingPass<T>& pass, T* scratch) const;
  // Stores keys and values alone: for rows whose output nobody reads. x is kept.
  void remember(const T* x, const detail::ServingPass<T>& pass, T* scratch) const;
  std::size_t serving_scratch_size(std::size_t rows) const noexcept { return serving_layout(nullptr, rows).size; }

 private:
  // Rows that extend and remember push through at a time, so that what lies between stays in the nearest caches.
  static constexpr std::size_t kServingRows = 120;

  // Three rows of width D lie between x and y; what they are depends on where the norms stand.
  template <class P>
  struct Tape {
    P *attention_stats, *feed_forward_stats;  // of the norms
    P* first;                                 // pre: LN(x)    post: x + drop(attention(x))
    P* middle;                                // x1
    P* last;                                  // pre: LN(x1)   post: x1 + drop(feed_forward(x1))
    P *attention, *feed_forward;              // tapes
    std::size_t size;
  };
  template <class P>
  Tape<P> layout(P* tape, const SequenceBatch& batch) const noexcept;

  struct ServingScratch {
    T* queries;  // [R, D]
    T* rows;     // [kServingRows, D]
    T* stats;
    T* attention;
    T* feed_forward;
    std::size_t size;
  };
  ServingScratch serving_layout(T* scratch, std::size_t rows) const noexcept;
  // x [R, D] becomes the block's output, R <= kServingRows; work.rows holds what attention gave.
  void finish(T* x, std::size_t rows, const T* parameters, const ServingScratch& work) const;
  // What attention makes keys and values of: x, or its norm in work.rows.
  const T* attention_input(const T* x, std::size_t rows, const T* parameters, const ServingScratch& work) const;
  // Stores keys and values of x [R, D] and leaves queries [R, D]; x becomes what attention is added to.
  void project(T* queries, T* x, const detail::ServingPass<T>& pass, const ServingScratch& work) const;

  // y += x after dropout on y.
  void add_residual(T* y, const T* x, const detail::TrainingPass<T>& pass, std::size_t part) const;
  bool pre() const noexcept { return placement_ == NormPlacement::pre; }

  const detail::KernelTable<T>* kernels_;
  std::size_t index_, dim_, window_;
  NormPlacement placement_;
  detail::LayerNorm<T> attention_norm_;
  detail::SelfAttention<T> attention_;
  detail::LayerNorm<T> feed_forward_norm_;
  detail::FeedForward<T> feed_forward_;
};

}  // namespace attune::inline v0_1

#include "attune/detail/sasrec_block_impl.hpp"
