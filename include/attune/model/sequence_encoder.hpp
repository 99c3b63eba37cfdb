// SPDX-License-Identifier: Apache-2.0
#pragma once

// An encoder of histories whatever its block: its configuration, its weights, and the passes through it. Training,
// files and serving work with this; TransformerEncoder<T, Block> fills it. Const members are safe from any number of
// threads, each with its own workspace and state.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "attune/data/sequence_batch.hpp"
#include "attune/detail/training_pass.hpp"
#include "attune/model/config.hpp"
#include "attune/model/embedding_table.hpp"
#include "attune/model/parameters.hpp"
#include "attune/model/sequence_state.hpp"
#include "attune/model/workspace.hpp"

namespace attune::inline v0_1 {

// `T` is float in products; double is for checking gradients.
template <class T>
class SequenceEncoder {
 public:
  using Scalar = T;
  using State = SequenceState<T>;

  virtual ~SequenceEncoder() = default;

  // Weights as each parameter asks, the item rows normal with deviation 0.02; the same bits for the same seed.
  void initialize(std::uint64_t seed);

  const EncoderConfig& config() const noexcept { return config_; }
  std::size_t dim() const noexcept { return config_.embedding_dim; }
  bool causal() const noexcept { return config_.mask == AttentionMask::causal; }
  // Appending one event to a state is exact.
  bool cacheable() const noexcept { return config_.cacheable(); }
  // Reads the times of a history. Events without one count as simultaneous.
  bool needs_time() const noexcept { return config_.time_buckets > 0; }

  EmbeddingTable<T>& items() noexcept { return items_; }
  const EmbeddingTable<T>& items() const noexcept { return items_; }
  const ParameterList& parameters() const noexcept { return parameters_; }
  // The rows that scores are made of: the items' own, or with config().separate_outputs others.
  EmbeddingTable<T>& outputs() noexcept { return config_.separate_outputs ? outputs_ : items_; }
  const EmbeddingTable<T>& outputs() const noexcept { return config_.separate_outputs ? outputs_ : items_; }
  // Dense, laid out by parameters().
  std::span<T> weights() noexcept { return {weights_.data(), parameters_.total()}; }
  std::span<const T> weights() const noexcept { return {weights_.data(), parameters_.total()}; }
  // Handles below items().rows(), but rows of zeros: those were never trained, and say nothing.
  bool knows(ItemHandle item) const noexcept { return item < items_.rows() && !items_.is_zero(item); }

  // Serving.

  State make_state(StateStorage storage = StateStorage::float32) const {
    return State(config_.num_blocks, dim(), config_.max_sequence_length, needs_time(), storage);
  }
  // Whether a state of another encoder, once reset(), is one that make_state(storage) gives.
  bool fits(const State& state, StateStorage storage) const noexcept {
    return state.has_shape(config_.num_blocks, dim(), config_.max_sequence_length, needs_time(), storage);
  }
  // Brings `state` up to all of `history` (items the encoder knows, oldest first): adds the rows that are missing, or
  // encodes the window anew where it slid. The state must be fresh or hold a prefix of `history`.
  virtual void advance(State& state, HistoryView history, BasicWorkspace<T>& workspace) const = 0;
  // user_vector [D] for a state that holds at least one event. Where rows know the time of the event they predict, the
  // last one is computed here, for context.now, and anew in every call.
  virtual void user_vector(std::span<T> user_vector, State& state, const Context& context,
                           BasicWorkspace<T>& workspace) const = 0;
  // The same from scratch: a full pass over the encoded suffix. Zeros for an empty history.
  virtual void encode(std::span<T> user_vector, HistoryView history, const Context& context,
                      BasicWorkspace<T>& workspace) const = 0;

  // attributions [history]: of each event its row times the gradient of <d_user_vector, user vector> with respect to it
  // (gradient times input: Shrikumar, Greenside & Kundaje 2017), about how much it adds to a score with that gradient;
  // 0 before the encoded suffix. Takes about as long as three full passes, and allocates. Where the configuration is
  // not trainable(), what the user vector loses without the event, at a full pass for each.
  void attributions(std::span<T> attributions, HistoryView history, const Context& context,
                    std::span<const T> d_user_vector, BasicWorkspace<T>& workspace) const;

  // Training, where the configuration is trainable(). No sequence of a batch may be longer than max_sequence_length.

  // hidden [N, D], one row per token, after the final norm. `tape` (grown as needed) keeps what backward needs.
  virtual void forward(std::span<T> hidden, Buffer<T>& tape, const SequenceBatch& batch,
                       const TrainingMode& mode = {}) const = 0;
  // From d_hidden [N, D]: adds to d_weights (dense) and writes d_inputs [N, D], the gradient of each token's item row
  // (zeros for hidden items). Batch and mode are those of the forward pass that filled the tape.
  virtual void backward(std::span<T> d_weights, std::span<T> d_inputs, std::span<const T> d_hidden, Buffer<T>& tape,
                        const SequenceBatch& batch, const TrainingMode& mode = {}) const = 0;

 protected:
  SequenceEncoder(SequenceEncoder&&) noexcept = default;
  SequenceEncoder& operator=(SequenceEncoder&&) noexcept = default;
  SequenceEncoder(const EncoderConfig& config, std::size_t num_items)
      : config_((config.validate(), config)),
        items_(num_items, config.embedding_dim),
        outputs_(config.separate_outputs ? num_items : 0, config.embedding_dim) {}

  // Once every parameter is registered: all weights zero but norms one.
  void make_weights();

  EncoderConfig config_;
  ParameterList parameters_;
  EmbeddingTable<T> items_, outputs_;
  Buffer<T> weights_;

 private:
  void leave_one_out(std::span<T> attributions, HistoryView history, const Context& context,
                     std::span<const T> d_user_vector, BasicWorkspace<T>& workspace) const;
};

// The encoder that a configuration asks for. Throws Error(invalid_config).
ATTUNE_EXPORT std::unique_ptr<SequenceEncoder<float>> make_encoder(const EncoderConfig& config, std::size_t num_items);

}  // namespace attune::inline v0_1

#include "attune/detail/sequence_encoder_impl.hpp"

namespace attune::inline v0_1 {
extern template class ATTUNE_EXPORT SequenceEncoder<float>;
}  // namespace attune::inline v0_1
