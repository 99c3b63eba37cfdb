// SPDX-License-Identifier: Apache-2.0
#include "attune/training/objective.hpp"

#include <algorithm>
#include <cmath>

#include "attune/detail/kernels.hpp"
#include "attune/detail/layers.hpp"
#include "training/normalize.hpp"

// P positions of a block, D width, W columns of the table, V rows of it.

namespace attune::inline v0_1 {

namespace {

using detail::dot;
using detail::normalize_backward;
using detail::normalize_forward;

// P positions that have a target, gathered from anywhere in the batch.
template <class T>
struct Block {
  Block(ObjectiveScratch<T>& scratch, const OutputTable<T>& table) {
    detail::Carver<T> sizes(nullptr);
    carve(sizes, table);
    detail::Carver<T> carver(scratch.block.take(sizes.used()).data());
    carve(carver, table);
  }
  T *hidden, *d_hidden;     // [P, W], as the logits see them
  T *targets, *d_target;    // [P, W]: rows of the targets; [W]
  T* expected;              // [W]: of a position
  T* inverse_norms;         // [P], of hidden
  T* target_inverse_norms;  // [P], of targets outside the table
  T *shifts, *sums;         // [P]
  T* weights;               // of the softmax, in the form of the kernels that made them
  T* logits;                // [V]

 private:
  void carve(detail::Carver<T>& carver, const OutputTable<T>& table) {
    constexpr std::size_t kPositions = detail::kMaxPositions;
    for (T** vectors : {&hidden, &d_hidden, &targets}) *vectors = carver.take(kPositions * table.width());
    for (T** vector : {&d_target, &expected}) *vector = carver.take(table.width());
    for (T** numbers : {&inverse_norms, &target_inverse_norms, &shifts, &sums}) *numbers = carver.take(kPositions);
    const auto weights_size = [&](const auto& form) { return form.weights_size(kPositions, table.rows()); };
    weights = carver.take(std::max(weights_size(table.kernels()), weights_size(detail::kernels<T>().softmax_table)));
    logits = carver.take(table.rows());
  }
};

template <class T>
struct Problem {
  std::span<const ItemHandle> targets;
  std::span<const T> weights;
  const OutputTable<T>& table;
  T smoothing;
  const SoftTargets<T>& soft_targets;
};

// Position p of the block: vector and target row as the logits see them.
template <class T>
void gather(Block<T>& block, std::size_t p, const T* hidden, ItemHandle target, const OutputTable<T>& table) {
  const std::size_t dim = table.dim(), width = table.width();
  T* const row = block.hidden + p * width;
  std::copy_n(hidden, dim, row);
  if (table.kind() == ScoreKind::cosine) block.inverse_norms[p] = normalize_forward(row, dim);
  std::fill(row + dim, row + width, T(1) / table.logit_scale());
  T* const target_row = block.targets + p * width;
  if (const std::uint32_t there = table.row_of(target); there != kNoHandle) {
    std::copy_n(table.data().data() + there * width, width, target_row);
    return;
  }
  std::copy_n(table.items().row(target).data(), dim, target_row);
  if (table.kind() == ScoreKind::cosine) block.target_inverse_norms[p] = normalize_forward(target_row, dim);
  std::fill(target_row + dim, target_row + width, table.bias(target));
}

// Softmax of the block, relative to each position's target, so that no sum is below one where the target is in the
// table. Where other logits are so far above the target's that their exponentials overflow, the largest logit takes its
// place. Returns the kernels that made the weights: not the rounding ones where rounding moved a logit by much.
template <class T>
const detail::SoftmaxTable<T>& softmax_relative_to_target(Block<T>& block, std::size_t positions,
                                                          const OutputTable<T>& table, ObjectiveScratch<T>& scratch) {
  const std::size_t width = table.width(), rows = table.rows();
  const T scale = table.logit_scale();
  const detail::KernelTable<T>& kernels = detail::kernels<T>();
  const detail::SoftmaxTable<T>* form = &table.kernels();
  const auto forward = [&](const T* packed) {
    form->forward(block.d_hidden, block.sums, block.weights, block.hidden, packed, scale, block.shifts, positions, rows,
                  width);
  };
  for (std::size_t p = 0; p < positions; ++p) {
    block.shifts[p] = scale * dot(block.hidden + p * width, block.targets + p * width, width);
  }
  if (rows == 0) {
    std::fill_n(block.d_hidden, positions * width, T(0));
    std::fill_n(block.sums, positions, T(0));
    return *form;
  }
  const T* packed = table.packed();
  forward(packed);
  constexpr T kLeastSum = T(0.9), kLargestSum = T(1e30);
  const auto in_range = [&](std::size_t p) {
    const bool in_table = table.row_of(scratch.targets[p]) != kNoHandle;
    return block.sums[p] <= kLargestSum && (!in_table || block.sums[p] >= kLeastSum);
  };
  const auto all_in_range = [&] {
    for (std::size_t p = 0; p < positions; ++p) {
      if (!in_range(p) && std::isfinite(block.shifts[p])) return false;
    }
    return true;
  };
  if (form != &kernels.softmax_table && !all_in_range()) {
    form = &kernels.softmax_table;
    T* const exact = scratch.packed.take(form->packed_size(rows, width)).data();
    form->pack(exact, table.data().data(), rows, width);
    packed = exact;
    forward(packed);
  }
  bool overflowed = false;
  for (std::size_t p = 0; p < positions; ++p) {
    if (block.sums[p] <= kLargestSum || !std::isfinite(block.shifts[p])) continue;
    overflowed = true;
    kernels.matmul_nt(block.logits, rows, block.hidden + p * width, width, table.data().data(), width, 1, rows, width,
                      false);
    block.shifts[p] = scale * kernels.max(block.logits, rows);
  }
  if (overflowed) forward(packed);
  return *form;
}

// What position p takes from and gives to the row of its target: `d_target` [W] is its gradient.
template <class T>
void add_to_target(OutputGradient<T>& outputs, BasicGradientBuffer<T>& gradient, const T* d_target,
                   const Block<T>& block, std::size_t p, ItemHandle target, const OutputTable<T>& table) {
  const auto& kernels = detail::kernels<T>();
  const std::size_t width = table.width();
  if (const std::uint32_t row = table.row_of(target); row != kNoHandle) {
    kernels.add(outputs.rows.data() + row * width, d_target, width);
  } else if (table.kind() == ScoreKind::cosine) {
    normalize_backward(gradient.row(target).data(), d_target, block.targets + p * width, block.target_inverse_norms[p],
                       table.dim());
  } else {
    kernels.add(gradient.row(target).data(), d_target, table.dim());
  }
}

// Fills block.expected with the row that position p, `token` of the batch, learns to expect, in proportion to the
// shares of what it is made of, and adds to `outputs` what all but the target take from it. Returns the target's share.
template <class T>
T expect(OutputGradient<T>& outputs, Block<T>& block, std::size_t p, std::size_t token, T factor,
         const Problem<T>& problem) {
  const OutputTable<T>& table = problem.table;
  const SoftTargets<T>& soft = problem.soft_targets;
  const auto& kernels = detail::kernels<T>();
  const std::size_t width = table.width();
  const T* const hidden = block.hidden + p * width;
  std::fill_n(block.expected, width, T(0));
  T left = 1;
  for (std::size_t k = token * soft.count; k < (token + 1) * soft.count; ++k) {
    if (soft.items[k] == kNoHandle) continue;
    const std::size_t at = table.row_of(soft.items[k]) * width;
    kernels.scaled_add(block.expected, soft.shares[k], table.data().data() + at, width);
    kernels.scaled_add(outputs.rows.data() + at, -factor * soft.shares[k], hidden, width);
    left -= soft.shares[k];
  }
  const T smoothed = left * problem.smoothing;
  if (smoothed != 0) {
    kernels.scaled_add(block.expected, smoothed, table.mean().data(), width);
    kernels.scaled_add(outputs.common.data(), -factor * smoothed / static_cast<T>(table.rows()), hidden, width);
  }
  kernels.scaled_add(block.expected, left - smoothed, block.targets + p * width, width);
  return left - smoothed;
}

// Loss and gradients of the block's positions. Of the target's probability soft targets k take t_k, and of what they
// leave, l, smoothing spreads a share s: the loss is log sum exp z - sum t_k z_k - l (1 - s) z_target - l s mean z, and
// the gradient of a logit weight * scale * (share of the softmax, less what was expected of it).
template <class T>
double finish_block(std::span<T> d_hidden, OutputGradient<T>& outputs, BasicGradientBuffer<T>& gradient,
                    Block<T>& block, const Problem<T>& problem, ObjectiveScratch<T>& scratch) {
  const OutputTable<T>& table = problem.table;
  const auto& kernels = detail::kernels<T>();
  const std::size_t dim = table.dim(), width = table.width(), positions = scratch.tokens.size();
  const T scale = table.logit_scale();
  const auto& form = softmax_relative_to_target(block, positions, table, scratch);
  double loss = 0;
  for (std::size_t p = 0; p < positions; ++p) {
    const std::size_t token = scratch.tokens[p];
    const ItemHandle target = problem.targets[token];
    T *const hidden = block.hidden + p * width, *const d_row = block.d_hidden + p * width;
    const T* const target_row = block.targets + p * width;
    T own_share = 0;  // of the target in the softmax, beyond the table
    if (table.row_of(target) == kNoHandle) {
      const T own = std::exp(scale * dot(hidden, target_row, width) - block.shifts[p]);
      block.sums[p] += own;
      own_share = own / block.sums[p];
      kernels.scaled_add(d_row, own, target_row, width);
    }
    const T weight = problem.weights.empty() ? T(1) : problem.weights[token], factor = scale * weight;
    const T kept = expect(outputs, block, p, token, factor, problem);
    const T expected = scale * dot(hidden, block.expected, width);
    loss += static_cast<double>(weight) *
            (std::log(static_cast<double>(block.sums[p])) + static_cast<double>(block.shifts[p] - expected));

    kernels.scale(d_row, factor / block.sums[p], width);
    kernels.scaled_add(d_row, -factor, block.expected, width);
    T* const d_token = d_hidden.data() + token * dim;
    if (table.kind() == ScoreKind::cosine) {
      normalize_backward(d_token, d_row, hidden, block.inverse_norms[p], dim);
    } else {
      std::copy_n(d_row, dim, d_token);
    }
    std::fill_n(block.d_target, width, T(0));
    kernels.scaled_add(block.d_target, factor * (own_share - kept), hidden, width);
    add_to_target(outputs, gradient, block.d_target, block, p, target, table);
    kernels.scale(hidden, factor / block.sums[p], width);
  }
  form.backward(outputs.rows.data(), block.weights, block.hidden, positions, table.rows(), width);
  scratch.tokens.clear();
  scratch.targets.clear();
  return loss;
}

}  // namespace

template <class T>
void OutputTable<T>::assign(const EmbeddingTable<T>& items, ScoreKind kind, double temperature, bool rounded) {
  row_of_.clear();
  rows_ = items.rows();
  bias_ = {};
  fill(items, kind, temperature, rounded);
}

template <class T>
void OutputTable<T>::assign_set(const EmbeddingTable<T>& items, ScoreKind kind, double temperature,
                                std::span<const ItemHandle> set, std::span<const float> bias, bool rounded) {
  if (row_of_.size() != items.rows()) {
    row_of_.assign(items.rows(), kNoHandle);
  } else {
    for (const ItemHandle item : set_) row_of_[item] = kNoHandle;
  }
  set_.assign(set.begin(), set.end());
  rows_ = set.size();
  for (std::size_t row = 0; row < rows_; ++row) row_of_[set_[row]] = static_cast<std::uint32_t>(row);
  bias_ = bias;
  fill(items, kind, temperature, rounded);
}

template <class T>
void OutputTable<T>::fill(const EmbeddingTable<T>& items, ScoreKind kind, double temperature, bool rounded) {
  const auto& kernels = detail::kernels<T>();
  items_ = &items;
  dim_ = items.dim();
  width_ = dim_ + (bias_.empty() ? 0 : 1);
  kind_ = kind;
  logit_scale_ = kind == ScoreKind::cosine ? static_cast<T>(1.0 / temperature) : T(1);
  constexpr std::size_t kWidest = 1024;  // the rounding kernels hold 192 bytes of the stack for each column
  kernels_ = rounded && width_ <= kWidest ? &kernels.rounded_softmax_table : &kernels.softmax_table;
  data_.resize(rows_ * width_);
  inverse_norms_.resize(kind == ScoreKind::cosine ? rows_ : 0);
  mean_.assign(width_, T(0));
  for (std::size_t r = 0; r < rows_; ++r) {
    T* const out = data_.data() + r * width_;
    std::copy_n(items.row(item_of(r)).data(), dim_, out);
    if (kind == ScoreKind::cosine) inverse_norms_[r] = normalize_forward(out, dim_);
    std::fill(out + dim_, out + width_, bias(item_of(r)));
    kernels.add(mean_.data(), out, width_);
  }
  if (rows_ > 0) kernels.scale(mean_.data(), T(1) / static_cast<T>(rows_), width_);
  kernels_->pack(packed_.take(kernels_->packed_size(rows_, width_)).data(), data_.data(), rows_, width_);
}

template <class T>
double softmax_cross_entropy(std::span<T> d_hidden, OutputGradient<T>& outputs, BasicGradientBuffer<T>& gradient,
                             std::span<const T> hidden, std::span<const ItemHandle> targets, std::span<const T> weights,
                             const OutputTable<T>& table, double label_smoothing, ObjectiveScratch<T>& scratch,
                             const SoftTargets<T>& soft_targets) {
  outputs.rows.resize(table.data().size(), T(0));
  outputs.common.resize(table.width(), T(0));
  std::fill(d_hidden.begin(), d_hidden.end(), T(0));
  const Problem<T> problem{targets, weights, table, static_cast<T>(label_smoothing), soft_targets};
  Block<T> block(scratch, table);
  double loss = 0;
  scratch.tokens.clear();
  scratch.targets.clear();
  for (std::size_t token = 0; token < targets.size(); ++token) {
    if (targets[token] == kNoHandle) continue;
    gather(block, scratch.tokens.size(), hidden.data() + token * table.dim(), targets[token], table);
    scratch.tokens.push_back(token);
    scratch.targets.push_back(targets[token]);
    if (scratch.tokens.size() == detail::kMaxPositions) {
      loss += finish_block(d_hidden, outputs, gradient, block, problem, scratch);
    }
  }
  if (!scratch.tokens.empty()) loss += finish_block(d_hidden, outputs, gradient, block, problem, scratch);
  return loss;
}

template <class T>
void softmax_cross_entropy_fold(BasicGradientBuffer<T>& gradient, const OutputTable<T>& table,
                                OutputGradient<T>& outputs) {
  if (outputs.rows.empty()) return;
  const auto& kernels = detail::kernels<T>();
  const std::size_t dim = table.dim(), width = table.width();
  for (std::size_t r = 0; r < table.rows(); ++r) {
    T* const d_output = outputs.rows.data() + r * width;
    kernels.add(d_output, outputs.common.data(), width);
    T* const d_row = gradient.row(table.item_of(r)).data();
    if (table.kind() == ScoreKind::cosine) {
      normalize_backward(d_row, d_output, table.data().data() + r * width, table.inverse_norms()[r], dim);
    } else {
      kernels.add(d_row, d_output, dim);
    }
  }
  std::fill(outputs.rows.begin(), outputs.rows.end(), T(0));
  std::fill(outputs.common.begin(), outputs.common.end(), T(0));
}

#define ATTUNE_INSTANTIATE(T)                                                                                          \
  template class OutputTable<T>;                                                                                       \
  template double softmax_cross_entropy(std::span<T>, OutputGradient<T>&, BasicGradientBuffer<T>&, std::span<const T>, \
                                        std::span<const ItemHandle>, std::span<const T>, const OutputTable<T>&,        \
                                        double, ObjectiveScratch<T>&, const SoftTargets<T>&);                          \
  template void softmax_cross_entropy_fold(BasicGradientBuffer<T>&, const OutputTable<T>&, OutputGradient<T>&);
ATTUNE_INSTANTIATE(float)
ATTUNE_INSTANTIATE(double)
#undef ATTUNE_INSTANTIATE

}  // namespace attune::inline v0_1
