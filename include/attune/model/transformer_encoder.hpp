// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histories in, user vectors out: item and position embeddings, a stack of blocks, norms. The one encoder of the
// library; what a block computes is its template argument. Bodies are in headers so that a host can bring its own
// block; TransformerEncoder<float, SasrecBlock> is compiled once.
// Const members are safe from any number of threads, each with its own workspace and state.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "attune/concepts.hpp"
#include "attune/data/sequence_batch.hpp"
#include "attune/detail/dropout.hpp"
#include "attune/detail/layers.hpp"
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
  // Dense, laid out by parameters().
  std::span<T> weights() noexcept { return {weights_.data(), parameters_.total()}; }
  std::span<const T> weights() const noexcept { return {weights_.data(), parameters_.total()}; }
  // Handles below items().rows() whose row the encoder may read.
  bool knows(ItemHandle item) const noexcept { return item < items_.rows(); }

  // Serving.

  State make_state() const { return State(config_.num_blocks, dim(), config_.max_sequence_length); }
  // Brings `state` up to all of `history` (items the encoder knows, oldest first): adds the rows that are missing, or
  // encodes the window anew where it slid. The state must be fresh or hold a prefix of `history`.
  void advance(State& state, HistoryView history, BasicWorkspace<T>& workspace) const;
  // user_vector [D] for a state that holds at least one event.
  void user_vector(std::span<T> user_vector, const State& state, const Context& context,
                   BasicWorkspace<T>& workspace) const;
  // The same from scratch: a full pass over the encoded suffix. Zeros for an empty history.
  void encode(std::span<T> user_vector, HistoryView history, const Context& context,
              BasicWorkspace<T>& workspace) const;

  // Training. No sequence of a batch may be longer than max_sequence_length.

  // hidden [N, D], one row per token, after the final norm. `tape` (grown as needed) keeps what backward needs.
  // `dropout` is inactive by default.
  void forward(std::span<T> hidden, Buffer<T>& tape, const SequenceBatch& batch,
               const detail::Dropout& dropout = {}) const;
  // From d_hidden [N, D]: adds to d_weights (dense) and writes d_inputs [N, D], the gradient of each token's item row.
  // Batch and dropout are those of the forward pass that filled the tape.
  void backward(std::span<T> d_weights, std::span<T> d_inputs, std::span<const T> d_hidden, Buffer<T>& tape,
                const SequenceBatch& batch, const detail::Dropout& dropout = {}) const;

 private:
  struct Tape {
    T *sum, *embedding_stats;  // [N, D] before the embedding norm, and that norm's tape
    T* inputs;                 // of block b at b * input_stride: [N, D]; behind the last one what the final norm reads
    T* final_stats;
    T* blocks;  // of block b at b * block_stride
    T* scratch;
    std::size_t input_stride, block_stride, size;
  };
  Tape layout(T* tape, const SequenceBatch& batch) const noexcept;

  // Rows of x [R, D] from items: scaled item row plus the row of its position.
  void embed(T* x, std::span<const ItemHandle> items, std::size_t position) const;
  // Serving: encodes items at the given position of a sequence. cache(b) gives the cache of block b. The result is the
  // last row after the last block, in the workspace behind its first `reserved` elements.
  template <class Caches>
  const T* extend(std::span<const ItemHandle> items, std::size_t position, std::size_t reserved, Caches cache,
                  BasicWorkspace<T>& workspace) const;
  void apply_final_norm(T* y, const T* x) const;

  EncoderConfig config_;
  const detail::KernelTable<T>* kernels_;
  ParameterList parameters_;
  T item_scale_;
  std::size_t positions_;  // offset of [W, D] in the dense array
  std::vector<Block<T>> blocks_;
  std::optional<detail::LayerNorm<T>> embedding_norm_, final_norm_;
  EmbeddingTable<T> items_;
  Buffer<T> weights_;
};

}  // namespace attune::inline v0_1

#include "attune/detail/transformer_encoder_impl.hpp"

namespace attune::inline v0_1 {
extern template class ATTUNE_EXPORT SasrecBlock<float>;
extern template class ATTUNE_EXPORT TransformerEncoder<float, SasrecBlock>;
using SasrecEncoder = TransformerEncoder<float, SasrecBlock>;
static_assert(IncrementalEncoder<SasrecEncoder>);
}  // namespace attune::inline v0_1
