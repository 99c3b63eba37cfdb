// SPDX-License-Identifier: Apache-2.0
#pragma once

// What training minimises, as a function of the encoder's outputs: cross-entropy of a softmax over the whole catalogue
// or over sampled items, or binary cross-entropy against sampled items, on cosine logits (divided by a temperature) or
// dot logits. Fused and chunked: the logits of a batch are never stored whole.
//
// N tokens, D width, V rows of the table that logits are made with, M negatives.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/detail/kernel_table.hpp"
#include "attune/model/embedding_table.hpp"
#include "attune/model/workspace.hpp"
#include "attune/training/optimizer.hpp"

namespace attune::inline v0_1 {

enum class LossKind : std::uint8_t { softmax, sampled_softmax, bce, gbce };

struct ObjectiveConfig {
  LossKind loss = LossKind::softmax;
  double label_smoothing = 0;  // softmax: share of the target's probability that is spread over the catalogue

  // Sampled losses.
  std::size_t negatives = 128;
  bool shared_negatives = false;  // sampled_softmax: one set per step for all positions, and not one per position
  double sampling_power = 0;      // items are drawn in proportion to (training events)^power; 0: uniformly
  // sampled_softmax: logits less the logarithm of an item's share of the draws, or of the probability that a shared set
  // holds it (Bengio & Senecal 2008).
  bool log_q = false;
  double calibration = 0.75;  // gbce: 0 is bce, 1 undoes the overconfidence that sampling brings

  // Throws Error(invalid_config) naming the field, what is allowed and what was given.
  ATTUNE_EXPORT void validate() const;
};

// Draws items that occur in training. Every call ends: where nothing else can be drawn it says so.
class ATTUNE_EXPORT NegativeSampler {
 public:
  NegativeSampler() = default;
  // counts [items]: events of each item in training.
  NegativeSampler(std::span<const std::uint64_t> counts, double power);

  // Items that can be drawn.
  std::size_t size() const noexcept { return items_.size(); }
  // An item other than `except`, a function of `key` alone; kNoHandle where there is no other.
  ItemHandle draw(std::uint64_t key, ItemHandle except = kNoHandle) const noexcept;
  // `count` different items, fewer where there are fewer, ascending.
  void draw_set(std::vector<ItemHandle>& set, std::size_t count, std::uint64_t key) const;
  // Logarithm of the share of draws; 0 for an item that is never drawn.
  float log_share(ItemHandle item) const noexcept { return item < log_shares_.size() ? log_shares_[item] : 0.0f; }
  // [items]: logarithm of the probability that a set of `count` items holds an item, nearly; 0 where it holds all.
  std::vector<float> log_inclusions(std::size_t count) const;

 private:
  bool uniform_ = true;
  std::vector<ItemHandle> items_;
  std::vector<double> cumulative_;  // [size()], ends at 1
  std::vector<float> log_shares_;   // [items]
};

// The output side of the item table, prepared once per step and shared by all threads: all rows, or a set of them, as
// the logits see them (normalised for cosine).
template <class T>
class ATTUNE_EXPORT OutputTable {
 public:
  // Rows are copied. A zero row has logit 0 under cosine and passes no gradient. `rounded`: products may round their
  // inputs to bfloat16, where this CPU has instructions for it.
  void assign(const EmbeddingTable<T>& items, ScoreKind kind, double temperature, bool rounded = false);
  // Only the rows of `set` (different items); `bias` [items] is added to the logits of items, and may be empty. It must
  // outlive the use of the table.
  void assign_set(const EmbeddingTable<T>& items, ScoreKind kind, double temperature, std::span<const ItemHandle> set,
                  std::span<const float> bias, bool rounded = false);

  std::size_t rows() const noexcept { return rows_; }
  std::size_t dim() const noexcept { return dim_; }
  // Columns of data(): dim(), and one more where there is a bias.
  std::size_t width() const noexcept { return width_; }
  ScoreKind kind() const noexcept { return kind_; }
  T logit_scale() const noexcept { return logit_scale_; }                       // 1 / temperature for cosine, 1 for dot
  std::span<const T> data() const noexcept { return data_; }                    // [rows, width]
  std::span<const T> inverse_norms() const noexcept { return inverse_norms_; }  // [rows], empty for dot
  std::span<const T> mean() const noexcept { return mean_; }                    // [width], of the rows
  const EmbeddingTable<T>& items() const noexcept { return *items_; }           // valid until they change
  T bias(ItemHandle item) const noexcept { return bias_.empty() ? T(0) : static_cast<T>(bias_[item]); }
  bool whole() const noexcept { return row_of_.empty(); }
  ItemHandle item_of(std::size_t row) const noexcept { return whole() ? static_cast<ItemHandle>(row) : set_[row]; }
  std::uint32_t row_of(ItemHandle item) const noexcept { return whole() ? item : row_of_[item]; }  // kNoHandle: none
  const detail::SoftmaxTable<T>& kernels() const noexcept { return *kernels_; }
  const T* packed() const noexcept { return packed_.data(); }  // data() in the form of the kernels

 private:
  void fill(const EmbeddingTable<T>& items, ScoreKind kind, double temperature, bool rounded);

  const EmbeddingTable<T>* items_ = nullptr;
  std::size_t rows_ = 0, dim_ = 0, width_ = 0;
  ScoreKind kind_ = ScoreKind::cosine;
  T logit_scale_ = 1;
  std::span<const float> bias_;
  std::vector<ItemHandle> set_;
  std::vector<std::uint32_t> row_of_;  // [items] where only a set is here
  std::vector<T> data_, inverse_norms_, mean_;
  const detail::SoftmaxTable<T>* kernels_ = nullptr;
  Buffer<T> packed_;
};

// Memory of one thread, reused from call to call.
template <class T>
struct ObjectiveScratch {
  std::vector<std::size_t> tokens;  // [P]: the positions of a block
  std::vector<ItemHandle> targets;  // [P]
  Buffer<T> block;                  // their vectors and logits
  Buffer<T> packed;                 // the table as it is, where rounding is too coarse for a block
};

// The gradient of the table's rows as the logits see them, until it is folded.
template <class T>
struct OutputGradient {
  std::vector<T> rows;    // [V, width]
  std::vector<T> common;  // [width]: of every row
};

// Items beside the target that a position learns to expect: K of them, of which any may be kNoHandle, and the share of
// the target's probability that each takes; those of a position sum to 1 at most. All [N, K].
template <class T>
struct SoftTargets {
  std::size_t count = 0;  // K
  std::span<const ItemHandle> items = {};
  std::span<const T> shares = {};
};

// Sum over tokens with targets[i] != kNoHandle of weights[i] * cross-entropy of the softmax over the table's rows and
// the target, or what soft targets (of a whole table) and smoothing leave of it. hidden and d_hidden [N, D]; d_hidden
// is overwritten (zero where there is no target); targets, weights [N] (weights may be empty: all one). A zero hidden
// vector has logits 0 under cosine and passes no gradient. Gradients of the table's rows are added to `outputs`, those
// of targets outside a set to `gradient`.
template <class T>
ATTUNE_EXPORT double softmax_cross_entropy(std::span<T> d_hidden, OutputGradient<T>& outputs,
                                           BasicGradientBuffer<T>& gradient, std::span<const T> hidden,
                                           std::span<const ItemHandle> targets, std::span<const T> weights,
                                           const OutputTable<T>& table, double label_smoothing,
                                           ObjectiveScratch<T>& scratch, const SoftTargets<T>& soft_targets = {});

// Adds the gradient of the table's rows, taken back through the normalisation, to the rows of `gradient`, and clears
// it.
template <class T>
ATTUNE_EXPORT void softmax_cross_entropy_fold(BasicGradientBuffer<T>& gradient, const OutputTable<T>& table,
                                              OutputGradient<T>& outputs);

// The same sum for losses with negatives of each position's own, drawn by `sampler` as functions of keys[i] [N]:
// sampled_softmax, bce, or gbce (Petrov & Macdonald 2023). Gradients of items are added to `gradient`.
template <class T>
ATTUNE_EXPORT double sampled_loss(std::span<T> d_hidden, BasicGradientBuffer<T>& gradient, std::span<const T> hidden,
                                  std::span<const ItemHandle> targets, std::span<const T> weights,
                                  std::span<const std::uint64_t> keys, const EmbeddingTable<T>& items, ScoreKind kind,
                                  double temperature, const ObjectiveConfig& objective, const NegativeSampler& sampler,
                                  ObjectiveScratch<T>& scratch);

extern template class OutputTable<float>;
extern template class OutputTable<double>;

}  // namespace attune::inline v0_1
