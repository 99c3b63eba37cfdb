// SPDX-License-Identifier: Apache-2.0
#include "attune/training/objective.hpp"

#include <algorithm>
#include <cmath>

#include "attune/detail/kernels.hpp"
#include "attune/detail/layers.hpp"

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

// P positions that have a target, gathered from anywhere in the batch.
template <class T>
struct Block {
  Block(ObjectiveScratch<T>& scratch, const OutputTable<T>& table) {
    detail::Carver<T> sizes(nullptr);
    carve(sizes, table);
    detail::Carver<T> carver(scratch.block.take(sizes.used()).data());
    carve(carver, table);
  }
  T *hidden, *d_hidden;  // [P, D], as the logits see them
  T* inverse_norms;      // [P]
  T *shifts, *sums;      // [P]
  T* weights;            // of the softmax, in the form of its kernels
  T* logits;             // [V]

 private:
  void carve(detail::Carver<T>& carver, const OutputTable<T>& table) {
    constexpr std::size_t kPositions = detail::kMaxPositions;
    hidden = carver.take(kPositions * table.dim());
    d_hidden = carver.take(kPositions * table.dim());
    inverse_norms = carver.take(kPositions);
    shifts = carver.take(kPositions);
    sums = carver.take(kPositions);
    weights = carver.take(table.kernels().weights_size(kPositions, table.rows()));
    logits = carver.take(table.rows());
  }
};

template <class T>
T dot(const T* x, const T* y, std::size_t n) {
  T sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// Softmax of the block, relative to each position's target: no sum is below one. Where other logits are so far above
// the target's that their exponentials overflow, the largest logit takes its place.
template <class T>
void softmax_relative_to_target(Block<T>& block, std::span<const ItemHandle> targets, const OutputTable<T>& table,
                                std::span<const std::size_t> tokens) {
  const std::size_t dim = table.dim(), rows = table.rows(), positions = tokens.size();
  const T scale = table.logit_scale();
  const auto forward = [&] {
    table.kernels().forward(block.d_hidden, block.sums, block.weights, block.hidden, table.packed(), scale,
                            block.shifts, positions, rows, dim);
  };
  for (std::size_t p = 0; p < positions; ++p) {
    block.shifts[p] = scale * dot(block.hidden + p * dim, table.data().data() + targets[tokens[p]] * dim, dim);
  }
  forward();
  constexpr T kLargestSum = T(1e30);
  bool overflowed = false;
  for (std::size_t p = 0; p < positions; ++p) {
    if (block.sums[p] <= kLargestSum || !std::isfinite(block.shifts[p])) continue;
    overflowed = true;
    const auto& kernels = detail::kernels<T>();
    kernels.matmul_nt(block.logits, rows, block.hidden + p * dim, dim, table.data().data(), dim, 1, rows, dim, false);
    block.shifts[p] = scale * kernels.max(block.logits, rows);
  }
  if (overflowed) forward();
}

// Loss and gradients of the block's positions. The gradient of a logit is weight * scale * (share of the softmax, less
// 1 at the target).
template <class T>
double finish_block(std::span<T> d_hidden, Block<T>& block, std::span<const ItemHandle> targets,
                    std::span<const T> weights, const OutputTable<T>& table, ObjectiveScratch<T>& scratch) {
  softmax_relative_to_target(block, targets, table, scratch.tokens);
  const auto& kernels = detail::kernels<T>();
  const std::size_t dim = table.dim();
  T* const d_outputs = scratch.d_outputs.data();
  double loss = 0;
  for (std::size_t p = 0; p < scratch.tokens.size(); ++p) {
    const std::size_t token = scratch.tokens[p], target = targets[token];
    T* const hidden = block.hidden + p * dim;
    T* const d_row = block.d_hidden + p * dim;
    const T* const output = table.data().data() + target * dim;
    const T weight = weights.empty() ? T(1) : weights[token], factor = table.logit_scale() * weight;
    const T target_logit = table.logit_scale() * dot(hidden, output, dim);
    loss += static_cast<double>(weight) *
            (std::log(static_cast<double>(block.sums[p])) + static_cast<double>(block.shifts[p] - target_logit));
    kernels.scale(d_row, factor / block.sums[p], dim);
    kernels.scaled_add(d_row, -factor, output, dim);
    if (table.kind() == ScoreKind::cosine) {
      normalize_backward(d_hidden.data() + token * dim, d_row, hidden, block.inverse_norms[p], dim);
    } else {
      std::copy_n(d_row, dim, d_hidden.data() + token * dim);
    }
    kernels.scaled_add(d_outputs + target * dim, -factor, hidden, dim);
    kernels.scale(hidden, factor / block.sums[p], dim);
  }
  table.kernels().backward(d_outputs, block.weights, block.hidden, scratch.tokens.size(), table.rows(), dim);
  scratch.tokens.clear();
  return loss;
}

}  // namespace

template <class T>
void OutputTable<T>::assign(const EmbeddingTable<T>& items, ScoreKind kind, double temperature, bool rounded) {
  const auto& kernels = detail::kernels<T>();
  kernels_ = rounded ? &kernels.rounded_softmax_table : &kernels.softmax_table;
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
  kernels_->pack(packed_.take(kernels_->packed_size(rows_, dim_)).data(), data_.data(), rows_, dim_);
}

template <class T>
double softmax_cross_entropy(std::span<T> d_hidden, std::span<const T> hidden, std::span<const ItemHandle> targets,
                             std::span<const T> weights, const OutputTable<T>& table, ObjectiveScratch<T>& scratch) {
  const std::size_t dim = table.dim();
  if (scratch.d_outputs.size() != table.data().size()) scratch.d_outputs.assign(table.data().size(), T(0));
  std::fill(d_hidden.begin(), d_hidden.end(), T(0));
  Block<T> block(scratch, table);
  double loss = 0;
  scratch.tokens.clear();
  for (std::size_t token = 0; token < targets.size(); ++token) {
    if (targets[token] == kNoHandle) continue;
    const std::size_t p = scratch.tokens.size();
    T* const row = block.hidden + p * dim;
    std::copy_n(hidden.data() + token * dim, dim, row);
    if (table.kind() == ScoreKind::cosine) block.inverse_norms[p] = normalize_forward(row, dim);
    scratch.tokens.push_back(token);
    if (scratch.tokens.size() == detail::kMaxPositions) {
      loss += finish_block(d_hidden, block, targets, weights, table, scratch);
    }
  }
  if (!scratch.tokens.empty()) loss += finish_block(d_hidden, block, targets, weights, table, scratch);
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
