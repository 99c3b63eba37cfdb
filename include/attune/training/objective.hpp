// SPDX-License-Identifier: Apache-2.0
#pragma once

// What training minimises, as a function of the encoder's outputs: cross-entropy of the softmax over the whole
// catalogue, on cosine logits (divided by a temperature) or dot logits. Fused and chunked: the logits of a batch are
// never stored whole.

#include <cstddef>
#include <cstdint>
#include <span>

#include "attune/detail/kernel_table.hpp"
#include "attune/model/embedding_table.hpp"
#include "attune/model/workspace.hpp"
#include "attune/training/optimizer.hpp"

namespace attune::inline v0_1 {

// The output side of the item table, prepared once per step and shared by all threads: rows as the logits see them
// (normalised for cosine), and their inverse norms.
template <class T>
class ATTUNE_EXPORT OutputTable {
 public:
  // Rows are copied. A zero row has logit 0 under cosine and passes no gradient. `rounded`: products may round their
  // inputs to bfloat16, where this CPU has instructions for it.
  void assign(const EmbeddingTable<T>& items, ScoreKind kind, double temperature, bool rounded = false);

  std::size_t rows() const noexcept { return rows_; }
  std::size_t dim() const noexcept { return dim_; }
  ScoreKind kind() const noexcept { return kind_; }
  T logit_scale() const noexcept { return logit_scale_; }                       // 1 / temperature for cosine, 1 for dot
  std::span<const T> data() const noexcept { return data_; }                    // [rows, D]
  std::span<const T> inverse_norms() const noexcept { return inverse_norms_; }  // [rows], empty for dot
  const detail::SoftmaxTable<T>& kernels() const noexcept { return *kernels_; }
  const T* packed() const noexcept { return packed_.data(); }  // data() in the form of the kernels

 private:
  std::size_t rows_ = 0, dim_ = 0;
  ScoreKind kind_ = ScoreKind::cosine;
  T logit_scale_ = 1;
  std::vector<T> data_, inverse_norms_;
  const detail::SoftmaxTable<T>* kernels_ = nullptr;
  Buffer<T> packed_;
};

// Memory of one thread, reused from call to call.
template <class T>
struct ObjectiveScratch {
  std::vector<T> d_outputs;         // [rows, D]: gradient of the OutputTable's rows, summed until the fold
  std::vector<std::size_t> tokens;  // [P]: the positions of a block
  Buffer<T> block;                  // their vectors and logits
};

// Sum over tokens with targets[i] != kNoHandle of weights[i] * -log softmax(logits_i)[targets[i]].
// hidden and d_hidden [N, D]; d_hidden is overwritten (zero where there is no target); targets, weights [N] (weights
// may be empty: all one). A zero hidden vector has logits 0 under cosine and passes no gradient. Gradients of the table
// stay in `scratch` until softmax_cross_entropy_fold.
template <class T>
double softmax_cross_entropy(std::span<T> d_hidden, std::span<const T> hidden, std::span<const ItemHandle> targets,
                             std::span<const T> weights, const OutputTable<T>& table, ObjectiveScratch<T>& scratch);

// Adds the gradient of the table, taken back through the normalisation, to the rows of `gradient`, and clears it.
template <class T>
void softmax_cross_entropy_fold(BasicGradientBuffer<T>& gradient, const OutputTable<T>& table,
                                ObjectiveScratch<T>& scratch);

extern template class OutputTable<float>;
extern template class OutputTable<double>;

}  // namespace attune::inline v0_1
