// SPDX-License-Identifier: Apache-2.0
#include "attune/training/objective.hpp"

#include <algorithm>
#include <cmath>

#include "attune/detail/kernels.hpp"

// P positions of a block, D width, V rows of the table.

namespace attune::inline v0_1 {

namespace {

// 1 / |x|, and 0 for a zero vector. In double, so that no finite vector overflows; NaN stays NaN.
template <class T>
T inverse_norm(const T* x, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum == 0.0 ? T(0) : static_cast<T>(1.0 / std::sqrt(sum));
}

// y = x / |x|, in place; returns 1 / |x|.
template <class T>
T normalize_forward(T* x, std::size_t dim) {
  const T inverse = inverse_norm(x, dim);
  for (std::size_t i = 0; i < dim; ++i) x[i] *= inverse;
  return inverse;
}

// d_x += (d_y - y (y . d_y)) / |x|, all [D].
template <class T>
void normalize_backward(T* d_x, const T* d_y, const T* y, T inverse, std::size_t dim) {
  T along = 0;
  for (std::size_t i = 0; i < dim; ++i) along += y[i] * d_y[i];
  for (std::size_t i = 0; i < dim; ++i) d_x[i] += (d_y[i] - y[i] * along) * inverse;
}

// The logits of a block stay within a few megabytes, whatever the size of the catalogue.
std::size_t block_positions(std::size_t rows) {
  constexpr std::size_t kElements = std::size_t{1} << 19;
  return std::clamp<std::size_t>(kElements / std::max<std::size_t>(rows, 1), 16, 128);
}

// Positions that have a target, gathered from anywhere in the batch.
template <class T>
struct Block {
  Block(ObjectiveScratch<T>& scratch, const OutputTable<T>& table, std::size_t positions) {
    const std::size_t vectors = positions * table.dim();
    hidden = scratch.block.take(2 * vectors + positions * (table.rows() + 3)).data();
    d_hidden = hidden + vectors;
    inverse_norms = d_hidden + vectors;
    factors = inverse_norms + positions;
    target_factors = factors + positions;
    logits = target_factors + positions;
  }
  T *hidden, *d_hidden;         // [P, D], as the logits see them
  T* inverse_norms;             // [P]
  T *factors, *target_factors;  // [P]
  T* logits;                    // [P, V]
};

// In place: logits [V] of one position become exp(scale * logit - shift), which sum to `sum`. Returns
// -log softmax(scale * logits)[target].
template <class T>
double exponentiate(T* logits, ItemHandle target, const OutputTable<T>& table, T& sum) {
  const auto& kernels = detail::kernels<T>();
  const T scale = table.logit_scale();
  const T target_logit = scale * logits[target];
  // Cosines lie in [-1, 1]: where exp(-2 scale) is far from underflow, the bound serves as well as the maximum.
  const bool bounded = table.kind() == ScoreKind::cosine && scale <= T(40);
  const T shift = scale * (bounded ? T(1) : kernels.max(logits, table.rows()));
  sum = kernels.exp_sum(logits, table.rows(), scale, shift);
  return std::log(static_cast<double>(sum)) + static_cast<double>(shift) - static_cast<double>(target_logit);
}

// Loss of the block's positions; block.logits become exp(logit - shift), block.factors what multiplies them in the
// gradients of the logits.
template <class T>
double block_forward(Block<T>& block, std::span<const ItemHandle> targets, std::span<const T> weights,
                     const OutputTable<T>& table, std::span<const std::size_t> tokens) {
  const std::size_t dim = table.dim(), rows = table.rows();
  detail::kernels<T>().matmul_nt(block.logits, rows, block.hidden, dim, table.data().data(), dim, tokens.size(), rows,
                                 dim, false);
  double loss = 0;
  for (std::size_t p = 0; p < tokens.size(); ++p) {
    const T weight = weights.empty() ? T(1) : weights[tokens[p]];
    T sum = 0;
    loss += static_cast<double>(weight) * exponentiate(block.logits + p * rows, targets[tokens[p]], table, sum);
    block.target_factors[p] = table.logit_scale() * weight;
    block.factors[p] = block.target_factors[p] / sum;
  }
  return loss;
}

// The gradient of the logits is factor * exp(logit - shift), less target_factor at the target.
template <class T>
void block_backward(std::span<T> d_hidden, Block<T>& block, std::span<const ItemHandle> targets,
                    const OutputTable<T>& table, ObjectiveScratch<T>& scratch) {
  const auto& kernels = detail::kernels<T>();
  const std::size_t dim = table.dim(), rows = table.rows(), positions = scratch.tokens.size();
  const T* const outputs = table.data().data();
  T* const d_outputs = scratch.d_outputs.data();
  kernels.matmul_nn(block.d_hidden, dim, block.logits, rows, outputs, dim, positions, dim, rows, false);
  for (std::size_t p = 0; p < positions; ++p) {
    const std::size_t token = scratch.tokens[p];
    const std::size_t target = targets[token];
    T* const hidden = block.hidden + p * dim;
    T* const d_row = block.d_hidden + p * dim;
    kernels.scale(d_row, block.factors[p], dim);
    kernels.scaled_add(d_row, -block.target_factors[p], outputs + target * dim, dim);
    if (table.kind() == ScoreKind::cosine) {
      normalize_backward(d_hidden.data() + token * dim, d_row, hidden, block.inverse_norms[p], dim);
    } else {
      std::copy_n(d_row, dim, d_hidden.data() + token * dim);
    }
    kernels.scaled_add(d_outputs + target * dim, -block.target_factors[p], hidden, dim);
    kernels.scale(hidden, block.factors[p], dim);
  }
  kernels.matmul_tn(d_outputs, dim, block.logits, rows, block.hidden, dim, rows, dim, positions, true);
}

}  // namespace

template <class T>
void OutputTable<T>::assign(const EmbeddingTable<T>& items, ScoreKind kind, double temperature) {
  rows_ = items.rows();
  dim_ = items.dim();
  kind_ = kind;
  logit_scale_ = kind == ScoreKind::cosine ? static_cast<T>(1.0 / temperature) : T(1);
  data_.resize(rows_ * dim_);
  inverse_norms_.resize(kind == ScoreKind::cosine ? rows_ : 0);
  for (std::size_t r = 0; r < rows_; ++r) {
    T* const out = data_.data() + r * dim_;
    std::copy_n(items.row(r).data(), dim_, out);
    if (kind == ScoreKind::cosine) inverse_norms_[r] = normalize_forward(out, dim_);
  }
}

template <class T>
double softmax_cross_entropy(std::span<T> d_hidden, std::span<const T> hidden, std::span<const ItemHandle> targets,
                             std::span<const T> weights, const OutputTable<T>& table, ObjectiveScratch<T>& scratch) {
  const std::size_t dim = table.dim();
  const std::size_t positions = block_positions(table.rows());
  if (scratch.d_outputs.size() != table.data().size()) scratch.d_outputs.assign(table.data().size(), T(0));
  std::fill(d_hidden.begin(), d_hidden.end(), T(0));
  Block<T> block(scratch, table, positions);
  double loss = 0;
  const auto finish_block = [&] {
    loss += block_forward(block, targets, weights, table, scratch.tokens);
    block_backward(d_hidden, block, targets, table, scratch);
    scratch.tokens.clear();
  };

  scratch.tokens.clear();
  for (std::size_t token = 0; token < targets.size(); ++token) {
    if (targets[token] == kNoHandle) continue;
    const std::size_t p = scratch.tokens.size();
    T* const row = block.hidden + p * dim;
    std::copy_n(hidden.data() + token * dim, dim, row);
    if (table.kind() == ScoreKind::cosine) block.inverse_norms[p] = normalize_forward(row, dim);
    scratch.tokens.push_back(token);
    if (scratch.tokens.size() == positions) finish_block();
  }
  if (!scratch.tokens.empty()) finish_block();
  return loss;
}

template <class T>
void softmax_cross_entropy_fold(BasicGradientBuffer<T>& gradient, const OutputTable<T>& table,
                                ObjectiveScratch<T>& scratch) {
  if (scratch.d_outputs.empty()) return;
  const std::size_t dim = table.dim();
  for (std::size_t r = 0; r < table.rows(); ++r) {
    T* const d_output = scratch.d_outputs.data() + r * dim;
    T* const d_row = gradient.row(static_cast<ItemHandle>(r)).data();
    if (table.kind() == ScoreKind::cosine) {
      normalize_backward(d_row, d_output, table.data().data() + r * dim, table.inverse_norms()[r], dim);
    } else {
      detail::kernels<T>().add(d_row, d_output, dim);
    }
    std::fill_n(d_output, dim, T(0));
  }
}

template class OutputTable<float>;
template class OutputTable<double>;
template ATTUNE_EXPORT double softmax_cross_entropy(std::span<float>, std::span<const float>,
                                                    std::span<const ItemHandle>, std::span<const float>,
                                                    const OutputTable<float>&, ObjectiveScratch<float>&);
template ATTUNE_EXPORT double softmax_cross_entropy(std::span<double>, std::span<const double>,
                                                    std::span<const ItemHandle>, std::span<const double>,
                                                    const OutputTable<double>&, ObjectiveScratch<double>&);
template ATTUNE_EXPORT void softmax_cross_entropy_fold(BasicGradientBuffer<float>&, const OutputTable<float>&,
                                                       ObjectiveScratch<float>&);
template ATTUNE_EXPORT void softmax_cross_entropy_fold(BasicGradientBuffer<double>&, const OutputTable<double>&,
                                                       ObjectiveScratch<double>&);

}  // namespace attune::inline v0_1
