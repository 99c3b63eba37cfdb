// SPDX-License-Identifier: Apache-2.0
#include "attune/training/optimizer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "attune/detail/kernels.hpp"
#include "attune/error.hpp"

namespace attune::inline v0_1 {

template <class T>
BasicGradientBuffer<T>::BasicGradientBuffer(std::size_t dense, std::size_t rows, std::size_t dim)
    : dim_(dim), dense_(dense, T(0)), slot_of_row_(rows, kNoHandle) {}

template <class T>
std::span<T> BasicGradientBuffer<T>::row(ItemHandle item) {
  std::uint32_t& slot = slot_of_row_[item];
  if (slot == kNoHandle) {
    slot = static_cast<std::uint32_t>(touched_.size());
    touched_.push_back(item);
    values_.resize(values_.size() + dim_, T(0));
  }
  return {values_.data() + slot * dim_, dim_};
}

template <class T>
void BasicGradientBuffer<T>::clear() noexcept {
  std::fill(dense_.begin(), dense_.end(), T(0));
  for (const ItemHandle item : touched_) slot_of_row_[item] = kNoHandle;
  touched_.clear();
  values_.clear();
}

template <class T>
void BasicGradientBuffer<T>::add(const BasicGradientBuffer& other) {
  const auto& kernels = detail::kernels<T>();
  kernels.add(dense_.data(), other.dense_.data(), dense_.size());
  for (std::size_t i = 0; i < other.touched_.size(); ++i) {
    kernels.add(row(other.touched_[i]).data(), other.touched_row(i).data(), dim_);
  }
}

template <class T>
double BasicGradientBuffer<T>::squared_norm() const noexcept {
  double sum = 0;
  for (const T x : dense_) sum += static_cast<double>(x) * static_cast<double>(x);
  for (const T x : values_) sum += static_cast<double>(x) * static_cast<double>(x);
  return sum;
}

template class BasicGradientBuffer<float>;
template class BasicGradientBuffer<double>;

namespace {

std::vector<bool> decayed_elements(const ParameterList& parameters) {
  std::vector<bool> decayed(parameters.total(), false);
  for (const Parameter& part : parameters.list()) {
    std::fill_n(decayed.begin() + static_cast<std::ptrdiff_t>(part.offset), part.size, part.decay);
  }
  return decayed;
}

// Without a gradient m / sqrt(v) shrinks by beta1 / sqrt(beta2) per step: the count after which it has lost ten digits.
std::size_t steps_until_still(const AdamOptions& options) {
  const double ratio = options.beta1 / std::sqrt(options.beta2);
  if (ratio <= 0) return 1;
  if (ratio >= 1) return std::numeric_limits<std::size_t>::max();
  return static_cast<std::size_t>(std::ceil(std::log(1e-10) / std::log(ratio)));
}

}  // namespace

Adam::Adam(const SequenceEncoder<float>& encoder, const AdamOptions& options)
    : Adam(encoder.parameters().total(), decayed_elements(encoder.parameters()), encoder.items().rows(), encoder.dim(),
           options) {}

Adam::Adam(std::size_t dense, std::vector<bool> decayed, std::size_t rows, std::size_t dim, const AdamOptions& options)
    : options_(options),
      dim_(dim),
      replayed_(steps_until_still(options)),
      state_{std::vector<float>(dense),      std::vector<float>(dense),        std::vector<float>(rows * dim),
             std::vector<float>(rows * dim), std::vector<std::uint32_t>(rows), {}},
      no_gradient_(dim, 0.0f),
      log_decay_{0.0} {
  for (std::size_t i = 0; i < dense; ++i) {
    if (runs_.empty() || runs_.back().decayed != decayed[i]) runs_.push_back({i, i, decayed[i]});
    runs_.back().end = i + 1;
  }
}

void Adam::restore(AdamState state) {
  const auto sizes = [](const AdamState& s) {
    return std::array{s.dense_m.size(), s.dense_v.size(), s.row_m.size(), s.row_v.size(), s.row_steps.size()};
  };
  const std::size_t steps = state.rates.size();
  if (sizes(state) != sizes(state_) || std::ranges::any_of(state.row_steps, [&](auto made) { return made > steps; })) {
    throw Error(ErrorCode::invalid_argument, "the state of an optimiser does not fit the weights");
  }
  state_ = std::move(state);
  log_decay_.resize(1);
  for (const double rate : state_.rates) log_decay_.push_back(log_decay_after(rate));
}

double Adam::log_decay_after(double rate) const {
  return log_decay_.back() + std::log1p(-rate * options_.weight_decay);
}

// Steps count from 1.
detail::AdamStep<float> Adam::step_at(std::size_t step, double gradient_scale, bool decayed) const {
  const auto t = static_cast<double>(step);
  const double rate = state_.rates[step - 1];
  return {.beta1 = static_cast<float>(options_.beta1),
          .beta2 = static_cast<float>(options_.beta2),
          .epsilon = static_cast<float>(options_.epsilon),
          .step_size = static_cast<float>(rate / (1.0 - std::pow(options_.beta1, t))),
          .inverse_sqrt_correction = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(options_.beta2, t))),
          .decay = static_cast<float>(decayed ? rate * options_.weight_decay : 0.0),
          .gradient_scale = static_cast<float>(gradient_scale)};
}

void Adam::step(std::span<float> weights, EmbeddingTable<float>& items, const GradientBuffer& gradient,
                double gradient_scale, double learning_rate_scale) {
  settle(items, gradient.touched());
  state_.rates.push_back(options_.learning_rate * learning_rate_scale);
  log_decay_.push_back(log_decay_after(state_.rates.back()));
  const std::size_t now = state_.rates.size();
  const auto& kernels = detail::kernels<float>();

  for (const Run& run : runs_) {
    kernels.adam(weights.data() + run.begin, state_.dense_m.data() + run.begin, state_.dense_v.data() + run.begin,
                 gradient.dense().data() + run.begin, run.end - run.begin, step_at(now, gradient_scale, run.decayed));
  }
  const auto row_step = step_at(now, gradient_scale, true);
  for (std::size_t i = 0; i < gradient.touched().size(); ++i) {
    const std::size_t item = gradient.touched()[i];
    kernels.adam(items.row(item).data(), state_.row_m.data() + item * dim_, state_.row_v.data() + item * dim_,
                 gradient.touched_row(i).data(), dim_, row_step);
    state_.row_steps[item] = static_cast<std::uint32_t>(now);
  }
}

void Adam::settle(EmbeddingTable<float>& items, std::span<const ItemHandle> rows) {
  if (state_.rates.empty()) return;
  const auto newest = step_at(state_.rates.size(), 1.0, true);
  for (const ItemHandle item : rows) settle_row(items.row(item), item, newest);
}

void Adam::settle_all(EmbeddingTable<float>& items) {
  if (state_.rates.empty()) return;
  const auto newest = step_at(state_.rates.size(), 1.0, true);
  for (std::size_t item = 0; item < state_.row_steps.size(); ++item) settle_row(items.row(item), item, newest);
}

void Adam::settle_row(std::span<float> row, std::size_t index, const detail::AdamStep<float>& newest) {
  const std::size_t now = state_.rates.size();
  const std::size_t last = state_.row_steps[index];
  if (last == now) return;
  const auto& kernels = detail::kernels<float>();
  const std::size_t replay_end = now - last > replayed_ ? last + replayed_ : now;
  float* const m = state_.row_m.data() + index * dim_;
  float* const v = state_.row_v.data() + index * dim_;
  const bool moved = std::any_of(m, m + dim_, [](float x) { return x != 0.0f; });
  const std::size_t replayed = moved ? replay_end : last;
  for (std::size_t step = last + 1; step <= replayed; ++step) {
    const auto missed = step == now ? newest : step_at(step, 1.0, true);
    kernels.adam(row.data(), m, v, no_gradient_.data(), dim_, missed);
  }
  if (replayed < now) {
    const auto rest = static_cast<double>(now - replayed);
    kernels.scale(m, static_cast<float>(std::pow(options_.beta1, rest)), dim_);
    kernels.scale(v, static_cast<float>(std::pow(options_.beta2, rest)), dim_);
    const double decay = log_decay_[now] - log_decay_[replayed];
    if (decay != 0.0) kernels.scale(row.data(), static_cast<float>(std::exp(decay)), dim_);
  }
  state_.row_steps[index] = static_cast<std::uint32_t>(now);
}

}  // namespace attune::inline v0_1
