// SPDX-License-Identifier: Apache-2.0
#pragma once

// Gradients apart from the step that uses them, so that clipping, noise, federation and all-reduce fit between.
// Not synchronised.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/detail/kernel_table.hpp"
#include "attune/model/sequence_encoder.hpp"

namespace attune::inline v0_1 {

// The gradient of one batch: a dense part laid out as the encoder's weights, and the item rows that were touched.
template <class T>
class ATTUNE_EXPORT BasicGradientBuffer {
 public:
  BasicGradientBuffer(std::size_t dense, std::size_t rows, std::size_t dim);

  std::span<T> dense() noexcept { return dense_; }
  std::span<const T> dense() const noexcept { return dense_; }
  std::size_t dim() const noexcept { return dim_; }
  std::size_t num_rows() const noexcept { return slot_of_row_.size(); }

  std::span<const ItemHandle> touched() const noexcept { return touched_; }  // in order of first touch
  // The gradient [D] of an item row, zero on first touch; valid until the next first touch.
  std::span<T> row(ItemHandle item);
  std::span<const T> touched_row(std::size_t index) const noexcept { return {values_.data() + index * dim_, dim_}; }

  void clear() noexcept;  // to zero, in O(dense + touched rows)
  // this += other, rows in the order of the other's touches: a fixed order of additions gives fixed bits.
  void add(const BasicGradientBuffer& other);
  // Sum of squares in double.
  double squared_norm() const noexcept;

 private:
  std::size_t dim_;
  std::vector<T> dense_;
  std::vector<std::uint32_t> slot_of_row_;  // kNoHandle: untouched
  std::vector<ItemHandle> touched_;
  std::vector<T> values_;
};
using GradientBuffer = BasicGradientBuffer<float>;
extern template class BasicGradientBuffer<float>;
extern template class BasicGradientBuffer<double>;

struct AdamOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.98;
  double epsilon = 1e-8;
  double weight_decay = 0.0;  // decoupled (AdamW), on matrices and item rows; 0 is plain Adam
};

// What an optimiser knows besides the weights: for those who keep it and go on later.
struct AdamState {
  std::vector<float> dense_m, dense_v;   // moments of the dense part
  std::vector<float> row_m, row_v;       // [rows, D]
  std::vector<std::uint32_t> row_steps;  // [rows]: steps that a row has made
  std::vector<double> rates;             // learning rate of each step so far
};

// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019). Item rows without a gradient in a step are left alone
// until they are needed: settle() then makes up for the missed steps exactly as a dense optimiser would have.
class ATTUNE_EXPORT Adam {
 public:
  Adam(const SequenceEncoder<float>& encoder, const AdamOptions& options);
  // The general form, for any weights: `decayed` marks elements of the dense part that weight decay touches.
  Adam(std::size_t dense, std::vector<bool> decayed, std::size_t rows, std::size_t dim, const AdamOptions& options);

  // One step: weights -= step(gradient * gradient_scale), learning rate options.learning_rate * learning_rate_scale.
  void step(std::span<float> weights, EmbeddingTable<float>& items, const GradientBuffer& gradient,
            double gradient_scale = 1.0, double learning_rate_scale = 1.0);
  // Makes up missed steps of the given rows (before they are read), or of all.
  void settle(EmbeddingTable<float>& items, std::span<const ItemHandle> rows);
  void settle_all(EmbeddingTable<float>& items);
  std::uint64_t steps() const noexcept { return static_cast<std::uint64_t>(state_.rates.size()); }

  const AdamState& state() const noexcept { return state_; }
  // Goes on from the state of an optimiser of the same weights and options. Throws Error(invalid_argument) where the
  // arrays do not have the lengths of this one's, or a row has made more steps than there are.
  void restore(AdamState state);

 private:
  struct Run {  // elements of the dense part with one weight decay
    std::size_t begin, end;
    bool decayed;
  };
  detail::AdamStep<float> step_at(std::size_t step, double gradient_scale, bool decayed) const;
  double log_decay_after(double rate) const;  // of one more step
  // `newest` is the step that was made last.
  void settle_row(std::span<float> row, std::size_t index, const detail::AdamStep<float>& newest);

  AdamOptions options_;
  std::vector<Run> runs_;
  std::size_t dim_;
  std::size_t replayed_;  // missed steps after which the momentum no longer moves a weight
  AdamState state_;
  std::vector<float> no_gradient_;
  std::vector<double> log_decay_;  // [steps + 1]: log of what weight decay left of a weight after each
};

}  // namespace attune::inline v0_1
