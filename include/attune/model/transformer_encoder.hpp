// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histories in, user vectors out: item and position embeddings, a stack of blocks, norms. The one encoder of the
// library; what a block computes is its template argument. Bodies are in headers so that a host can bring its own
// block; TransformerEncoder<float, SasrecBlock> is compiled once.
// Const members are safe from any number of threads, each with its own workspace and state.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/data/sequence_batch.hpp"
#include "attune/detail/dropout.hpp"
#include "attune/model/config.hpp"
#include "attune/model/embedding_table.hpp"
#include "attune/model/parameters.hpp"
#include "attune/model/sasrec_block.hpp"
#include "attune/model/sequence_state.hpp"
#include "attune/model/workspace.hpp"

namespace attune::inline v0_1 {

// `T` is float in products; double is for checking gradients. `Block` is SasrecBlock or a class template like it.
template <class T, template <class> class Block>
class TransformerEncoder {
 public:
  using Scalar = T;
  using State = SequenceState<T>;
  static constexpr bool kNeedsTime = Block<T>::kNeedsTime;

  // All weights zero but norms one; see initialize(). Throws Error(invalid_config).
  TransformerEncoder(const EncoderConfig& config, std::size_t num_items);

  // Normal with deviation 0.02 cut at two deviations where a parameter asks for it; the same bits for the same seed.
  void initialize(std::uint64_t seed);

  const EncoderConfig& config() const noexcept { return config_; }
  std::size_t dim() const noexcept { return config_.embedding_dim; }
  bool causal() const noexcept { return config_.mask == AttentionMask::causal; }
  // Appending one event to a state is exact: causal, and positions count from the oldest event.
  bool cacheable() const noexcept { return causal(); }

  EmbeddingTable<T>& items() noexcept { return items_; }
  const EmbeddingTable<T>& items() const noexcept { return items_; }
  const ParameterList& parameters() const noexcept { return parameters_; }
  std::span<T> weights() noexcept { return weights_; }  // dense, laid out by parameters()
  std::span<const T> weights() const noexcept { return weights_; }
  // Handles below items().rows() whose row the encoder may read.
  bool knows(ItemHandle item) const noexcept { return item < items_.rows(); }

  // Serving.

  State make_state() const { return State(config_.num_blocks, dim(), config_.max_sequence_length); }
  // Brings `state` up to all of `history` (items the encoder knows, oldest first): appends row by row, or encodes the
  // window once where that is cheaper or the window slid. The state must be fresh or hold a prefix of `history`.
  void advance(State& state, HistoryView history, BasicWorkspace<T>& workspace) const;
  // user_vector [D] for a state that holds at least one event.
  void user_vector(std::span<T> user_vector, State& state, const Context& context, BasicWorkspace<T>& workspace) const;
  // The same from scratch: a full pass over the encoded suffix. Zeros for an empty history.
  void encode(std::span<T> user_vector, HistoryView history, const Context& context,
              BasicWorkspace<T>& workspace) const;

  // Training.

  // hidden [N, D], one row per token, after the final norm. `tape` (grown as needed) keeps what backward needs.
  // `dropout` is inactive by default.
  void forward(std::span<T> hidden, Buffer<T>& tape, const SequenceBatch& batch, const detail::Dropout& dropout = {},
               SequenceState<T>* state = nullptr) const;
  // From d_hidden [N, D]: adds to d_weights (dense) and writes d_inputs [N, D], the gradient of each token's item row.
  void backward(std::span<T> d_weights, std::span<T> d_inputs, std::span<const T> d_hidden, Buffer<T>& tape,
                const SequenceBatch& batch, const detail::Dropout& dropout = {}) const;

 private:
  EncoderConfig config_;
  const detail::KernelTable<T>* kernels_;
  ParameterList parameters_;
  std::size_t positions_;  // offsets into the dense array
  std::size_t embedding_norm_weight_ = 0, embedding_norm_bias_ = 0, final_norm_weight_ = 0, final_norm_bias_ = 0;
  std::vector<Block<T>> blocks_;
  EmbeddingTable<T> items_;
  std::vector<T> weights_;
};

}  // namespace attune::inline v0_1

#include "attune/detail/transformer_encoder_impl.hpp"

namespace attune::inline v0_1 {
extern template class SasrecBlock<float>;
extern template class TransformerEncoder<float, SasrecBlock>;
using SasrecEncoder = TransformerEncoder<float, SasrecBlock>;
}  // namespace attune::inline v0_1
