// SPDX-License-Identifier: Apache-2.0
// Losses with negatives of each position's own.

#include <algorithm>
#include <cmath>

#include "attune/detail/dropout.hpp"
#include "attune/detail/kernels.hpp"
#include "attune/detail/layers.hpp"
#include "attune/training/objective.hpp"
#include "training/normalize.hpp"

// C candidates of a position, the target first; D width.

namespace attune::inline v0_1 {

namespace {

using detail::normalize_backward;
using detail::normalize_forward;

template <class T>
struct Candidates {
  Candidates(ObjectiveScratch<T>& scratch, std::size_t most, std::size_t width) : dim(width) {
    detail::Carver<T> sizes(nullptr);
    carve(sizes, most);
    detail::Carver<T> carver(scratch.block.take(sizes.used()).data());
    carve(carver, most);
  }
  std::size_t dim, count = 0;
  std::vector<ItemHandle> items;
  T* rows;               // [C, D], as the logits see them
  T* inverse_norms;      // [C]
  T *logits, *d_logits;  // [C]
  T *hidden, *d_hidden;  // [D], as the logits see it
  T* d_row;              // [D]

 private:
  void carve(detail::Carver<T>& carver, std::size_t most) {
    rows = carver.take(most * dim);
    for (T** numbers : {&inverse_norms, &logits, &d_logits}) *numbers = carver.take(most);
    for (T** vectors : {&hidden, &d_hidden, &d_row}) *vectors = carver.take(dim);
  }
};

// log(1 + exp(x)) and its derivative.
template <class T>
T softplus(T x) {
  return x > T(0) ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}
template <class T>
T sigmoid(T x) {
  return x >= T(0) ? T(1) / (T(1) + std::exp(-x)) : std::exp(x) / (T(1) + std::exp(x));
}

// -log softmax(logits)[0]; d_logits [C] is overwritten.
template <class T>
T softmax_loss(T* d_logits, const T* logits, std::size_t count) {
  const T most = *std::max_element(logits, logits + count);
  T sum = 0;
  for (std::size_t c = 0; c < count; ++c) sum += d_logits[c] = std::exp(logits[c] - most);
  for (std::size_t c = 0; c < count; ++c) d_logits[c] /= sum;
  d_logits[0] -= T(1);
  return std::log(sum) + most - logits[0];
}

// -beta log sigmoid(logits[0]) - sum over negatives of log(1 - sigmoid(logit)).
template <class T>
T binary_loss(T* d_logits, const T* logits, std::size_t count, T beta) {
  T loss = beta * softplus(-logits[0]);
  d_logits[0] = -beta * sigmoid(-logits[0]);
  for (std::size_t c = 1; c < count; ++c) {
    loss += softplus(logits[c]);
    d_logits[c] = sigmoid(logits[c]);
  }
  return loss;
}

// The exponent of the target's probability that makes up for sampling `negatives` of the other items (Petrov &
// Macdonald 2023, eq. 9), moved towards 1 as calibration falls.
double target_exponent(const ObjectiveConfig& objective, std::size_t num_items) {
  if (objective.loss != LossKind::gbce || num_items < 2) return 1.0;
  const double rate = std::min(1.0, static_cast<double>(objective.negatives) / static_cast<double>(num_items - 1));
  return rate * (objective.calibration * (1.0 - 1.0 / rate) + 1.0 / rate);
}

}  // namespace

template <class T>
double sampled_loss(std::span<T> d_hidden, BasicGradientBuffer<T>& gradient, std::span<const T> hidden,
                    std::span<const ItemHandle> targets, std::span<const T> weights,
                    std::span<const std::uint64_t> keys, const EmbeddingTable<T>& items, ScoreKind kind,
                    double temperature, const ObjectiveConfig& objective, const NegativeSampler& sampler,
                    ObjectiveScratch<T>& scratch) {
  const auto& kernels = detail::kernels<T>();
  const std::size_t dim = items.dim();
  const bool cosine = kind == ScoreKind::cosine, softmax = objective.loss == LossKind::sampled_softmax;
  const T scale = cosine ? static_cast<T>(1.0 / temperature) : T(1);
  const T beta = static_cast<T>(target_exponent(objective, sampler.size()));
  Candidates<T> some(scratch, objective.negatives + 1, dim);
  std::fill(d_hidden.begin(), d_hidden.end(), T(0));
  double loss = 0;
  for (std::size_t token = 0; token < targets.size(); ++token) {
    if (targets[token] == kNoHandle) continue;
    std::copy_n(hidden.data() + token * dim, dim, some.hidden);
    const T inverse = cosine ? normalize_forward(some.hidden, dim) : T(1);
    some.items.assign(1, targets[token]);
    for (std::size_t n = 0; n < objective.negatives; ++n) {
      const ItemHandle item = sampler.draw(detail::mix(keys[token], n), targets[token]);
      if (item != kNoHandle) some.items.push_back(item);
    }
    some.count = some.items.size();
    for (std::size_t c = 0; c < some.count; ++c) {
      T* const row = some.rows + c * dim;
      std::copy_n(items.row(some.items[c]).data(), dim, row);
      if (cosine) some.inverse_norms[c] = normalize_forward(row, dim);
      some.logits[c] = scale * detail::dot(row, some.hidden, dim);
      if (objective.log_q) some.logits[c] -= static_cast<T>(sampler.log_share(some.items[c]));
    }
    const T weight = weights.empty() ? T(1) : weights[token];
    loss += static_cast<double>(weight * (softmax ? softmax_loss(some.d_logits, some.logits, some.count)
                                                  : binary_loss(some.d_logits, some.logits, some.count, beta)));

    kernels.scale(some.d_logits, weight * scale, some.count);
    kernels.matmul_nn(some.d_hidden, dim, some.d_logits, some.count, some.rows, dim, 1, dim, some.count, false);
    for (std::size_t c = 0; c < some.count; ++c) {
      T* const d_item = gradient.row(some.items[c]).data();
      if (!cosine) {
        kernels.scaled_add(d_item, some.d_logits[c], some.hidden, dim);
        continue;
      }
      std::fill_n(some.d_row, dim, T(0));
      kernels.scaled_add(some.d_row, some.d_logits[c], some.hidden, dim);
      normalize_backward(d_item, some.d_row, some.rows + c * dim, some.inverse_norms[c], dim);
    }
    T* const d_token = d_hidden.data() + token * dim;
    if (cosine) {
      normalize_backward(d_token, some.d_hidden, some.hidden, inverse, dim);
    } else {
      std::copy_n(some.d_hidden, dim, d_token);
    }
  }
  return loss;
}

#define ATTUNE_INSTANTIATE(T)                                                                                          \
  template double sampled_loss(std::span<T>, BasicGradientBuffer<T>&, std::span<const T>, std::span<const ItemHandle>, \
                               std::span<const T>, std::span<const std::uint64_t>, const EmbeddingTable<T>&,           \
                               ScoreKind, double, const ObjectiveConfig&, const NegativeSampler&,                      \
                               ObjectiveScratch<T>&);
ATTUNE_INSTANTIATE(float)
ATTUNE_INSTANTIATE(double)
#undef ATTUNE_INSTANTIATE

}  // namespace attune::inline v0_1
