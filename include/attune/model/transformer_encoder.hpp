// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histories in, user vectors out: item and position embeddings, a stack of blocks, norms. The one encoder of the
// library; what a block computes is its template argument. Bodies are in headers so that a host can bring its own
// block; SasrecEncoder and HstuEncoder are compiled once.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "attune/concepts.hpp"
#include "attune/detail/time_gaps.hpp"
#include "attune/model/hstu_block.hpp"
#include "attune/model/sasrec_block.hpp"
#include "attune/model/sequence_encoder.hpp"

namespace attune::inline v0_1 {

// `Block` is SasrecBlock or a class template like it; its kKind goes into the configuration.
template <class T, template <class> class Block>
class TransformerEncoder final : public SequenceEncoder<T> {
 public:
  using State = SequenceState<T>;

  // All weights zero but norms one; see initialize(). Throws Error(invalid_config).
  TransformerEncoder(const EncoderConfig& config, std::size_t num_items);

  using SequenceEncoder<T>::dim;

  void advance(State& state, HistoryView history, BasicWorkspace<T>& workspace) const override;
  void user_vector(std::span<T> user_vector, State& state, const Context& context,
                   BasicWorkspace<T>& workspace) const override;
  void encode(std::span<T> user_vector, HistoryView history, const Context& context,
              BasicWorkspace<T>& workspace) const override;
  void forward(std::span<T> hidden, Buffer<T>& tape, const SequenceBatch& batch,
               const TrainingMode& mode = {}) const override;
  void backward(std::span<T> d_weights, std::span<T> d_inputs, std::span<const T> d_hidden, Buffer<T>& tape,
                const SequenceBatch& batch, const TrainingMode& mode = {}) const override;
  // The bits of forward's hidden [N, D] without a tape: every block works in the same memory.
  void encode_rows(std::span<T> hidden, Buffer<T>& scratch, const SequenceBatch& batch) const;

 private:
  using SequenceEncoder<T>::config_;
  using SequenceEncoder<T>::items_;
  using SequenceEncoder<T>::parameters_;
  using SequenceEncoder<T>::weights_;

  struct Tape {
    std::uint8_t* gaps;        // TrainingPass::gaps, or null
    T *sum, *embedding_stats;  // [N, D] before the embedding norm, and that norm's tape
    T* inputs;                 // [num_inputs, N, D]: of the blocks; behind the last one what the final norm reads
    T* final_stats;
    T* blocks;  // of block b at b * block_stride
    T* scratch;
    std::size_t num_inputs, input_stride, block_stride, size;
    // What backward is not to read is overwritten: then two take turns.
    T* input(std::size_t block) const noexcept { return inputs + block % num_inputs * input_stride; }
  };
  enum class Keep : bool { nothing, all };  // for backward
  Tape layout(T* tape, const SequenceBatch& batch, Keep keep = Keep::all) const noexcept;
  void run(T* hidden, const Tape& kept, const SequenceBatch& batch, const TrainingMode& mode) const;
  void fill_gaps(std::uint8_t* gaps, const SequenceBatch& batch) const noexcept;
  detail::TrainingPass<T> pass_over(const SequenceBatch& batch, const TrainingMode& mode, const Tape& kept) const {
    return {batch, mode, weights_.data(), kept.gaps};
  }

  // Rows of x [R, D] from items (kNoHandle: hidden): scaled item row plus the row of its position.
  void embed(T* x, std::span<const ItemHandle> items, std::size_t position) const;

  // Serving: rows at positions position ... position + items.size() - 1 of a sequence of `length`. `times` are those of
  // the sequence from its first event on, empty where there are none; `now` is that of the request. cache(b) gives the
  // cache of block b, with room for the padding in front of the sequence. Returns the last row after the last block, or
  // null when nobody asks for it: in the workspace behind its first `reserved` elements.
  struct Rows {
    std::span<const ItemHandle> items;
    std::size_t position, length;
    std::span<const Timestamp> times;
    Timestamp now;
    bool last_wanted;
  };
  template <class Caches>
  const T* extend(const Rows& rows, std::size_t reserved, Caches cache, BasicWorkspace<T>& workspace) const;
  const std::uint8_t* gaps_of(const Rows& rows, std::size_t stride, BasicWorkspace<T>& workspace) const;
  std::span<const ItemHandle> with_hidden_item(std::span<const ItemHandle> items, BasicWorkspace<T>& workspace) const;
  // Fills the first `count` places of a cache with padding; `row` [D], which all of them read, becomes what the next
  // block reads.
  void pad(T* row, std::size_t block, std::size_t count, const KeyValueCache<T>& cache, T* scratch) const;
  void apply_final_norm(T* y, const T* x) const;
  // The newest row depends on the time of the request, and waits for it.
  bool last_row_is_open() const noexcept { return config_.request_time; }
  // Places in front of a sequence that are attended to.
  std::size_t padding_of(std::size_t length) const noexcept {
    return config_.padding == Padding::none ? 0 : config_.max_sequence_length - length;
  }
  std::size_t start_of(std::size_t n) const noexcept {
    return window_start(n, config_.window(), config_.effective_hop());
  }

  const detail::KernelTable<T>* kernels_;
  T item_scale_;
  std::optional<std::size_t> positions_;    // offset of [W, D] in the dense array
  std::optional<std::size_t> hidden_item_;  // offset of [D]
  std::optional<std::size_t> padding_;      // offset of [D]
  std::optional<detail::TimeGaps> time_gaps_;
  std::vector<Block<T>> blocks_;
  std::optional<detail::LayerNorm<T>> embedding_norm_, final_norm_;
};

}  // namespace attune::inline v0_1

#include "attune/detail/transformer_encoder_impl.hpp"

namespace attune::inline v0_1 {
extern template class ATTUNE_EXPORT SasrecBlock<float>;
extern template class ATTUNE_EXPORT HstuBlock<float>;
extern template class ATTUNE_EXPORT TransformerEncoder<float, SasrecBlock>;
extern template class ATTUNE_EXPORT TransformerEncoder<float, HstuBlock>;
using SasrecEncoder = TransformerEncoder<float, SasrecBlock>;
using HstuEncoder = TransformerEncoder<float, HstuBlock>;
static_assert(IncrementalEncoder<SasrecEncoder> && IncrementalEncoder<HstuEncoder>);
}  // namespace attune::inline v0_1
