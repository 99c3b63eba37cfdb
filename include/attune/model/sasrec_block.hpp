// SPDX-License-Identifier: Apache-2.0
#pragma once

// One block of SASRec (Kang & McAuley 2018): multi-head softmax attention and a position-wise feed-forward layer, each
// with a residual and a layer norm before (pre) or after (post) it. Forward and backward stand side by side.
//
// N tokens of a packed batch, D width, H heads, F inner width; T is float or double.

#include <cstddef>
#include <string>

#include "attune/data/sequence_batch.hpp"
#include "attune/detail/dropout.hpp"
#include "attune/detail/kernel_table.hpp"
#include "attune/model/config.hpp"
#include "attune/model/parameters.hpp"
#include "attune/model/sequence_state.hpp"

namespace attune::inline v0_1 {

template <class T>
class SasrecBlock {
 public:
  static constexpr bool kNeedsTime = false;
  static constexpr const char* kName = "sasrec";

  // Registers its parameters under "blocks.<index>.".
  SasrecBlock(const EncoderConfig& config, std::size_t index, ParameterList& parameters);

  // Elements of T that forward keeps for backward, and that backward uses on top as scratch.
  std::size_t tape_size(const SequenceBatch& batch) const noexcept;
  std::size_t scratch_size(const SequenceBatch& batch) const noexcept;

  // y [N, D] from x [N, D]; `parameters` is the dense array of the encoder; `tape` keeps what backward needs.
  // `state`, if given, receives keys and values of the batch's only sequence.
  void forward(T* y, T* tape, const T* x, const SequenceBatch& batch, const T* parameters, AttentionMask mask,
               const detail::Dropout& dropout, SequenceState<T>* state, T* scratch) const;
  // d_x [N, D] from d_y [N, D]; adds to d_parameters (laid out as `parameters`).
  void backward(T* d_x, T* d_parameters, const T* d_y, const T* x, const T* tape, const SequenceBatch& batch,
                const T* parameters, AttentionMask mask, const detail::Dropout& dropout, T* scratch) const;

  // One more row at position state.length(): x [D] is replaced by the block's output, keys and values are stored.
  // `scratch` holds append_scratch_size() elements.
  void append(T* x, SequenceState<T>& state, const T* parameters, T* scratch) const;
  std::size_t append_scratch_size() const noexcept;

 private:
  const detail::KernelTable<T>* kernels_;
  std::size_t index_, dim_, heads_, head_dim_, inner_, window_;
  T epsilon_;
  Activation activation_;
  NormPlacement placement_;
  // Offsets into the dense array.
  std::size_t attention_norm_weight_, attention_norm_bias_, qkv_weight_, qkv_bias_, output_weight_, output_bias_;
  std::size_t feed_forward_norm_weight_, feed_forward_norm_bias_, inner_weight_, inner_bias_, outer_weight_,
      outer_bias_;
};

}  // namespace attune::inline v0_1

#include "attune/detail/sasrec_block_impl.hpp"
