// SPDX-License-Identifier: Apache-2.0
#include "training/learner.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"

namespace attune::inline v0_1::detail {

namespace {

std::vector<TrainingSequence> require_sequences(const Histories& train, std::size_t window) {
  if (!train.item_ids) throw Error(ErrorCode::invalid_data, "training histories: expected item ids, found none");
  auto sequences = training_sequences(train, window);
  if (sequences.empty()) {
    throw Error(ErrorCode::invalid_data,
                "training histories: expected a user with at least two events, found none among " +
                    std::to_string(train.num_users()) + " users with " + std::to_string(train.num_events()) +
                    " events");
  }
  return sequences;
}

EncoderConfig within(EncoderConfig config, std::span<const TrainingSequence> sequences) {
  std::size_t longest = 0;
  for (const TrainingSequence& sequence : sequences) longest = std::max(longest, sequence.length - 1);
  config.max_sequence_length = std::min(config.max_sequence_length, longest);
  config.hop = std::min(config.effective_hop(), config.max_sequence_length);
  return config;
}

bool not_finite(float x) { return !std::isfinite(x); }

// The parameter that holds the first element of `dense` that is not finite; "" if there is none.
std::string first_not_finite(const ParameterList& parameters, std::span<const float> dense) {
  const auto found = std::find_if(dense.begin(), dense.end(), not_finite);
  return found == dense.end() ? "" : parameters.owner(static_cast<std::size_t>(found - dense.begin())).name;
}

std::string row_name(std::size_t item) { return "items.weight row " + std::to_string(item); }

std::string first_not_finite(const SasrecEncoder& encoder) {
  for (std::size_t item = 0; item < encoder.items().rows(); ++item) {
    const auto row = encoder.items().row(item);
    if (std::any_of(row.begin(), row.end(), not_finite)) return row_name(item);
  }
  return first_not_finite(encoder.parameters(), encoder.weights());
}

std::string first_not_finite(const ParameterList& parameters, const GradientBuffer& gradient) {
  for (std::size_t i = 0; i < gradient.touched().size(); ++i) {
    const auto row = gradient.touched_row(i);
    if (std::any_of(row.begin(), row.end(), not_finite)) return row_name(gradient.touched()[i]);
  }
  return first_not_finite(parameters, gradient.dense());
}

[[noreturn]] void fail(const std::string& what, std::size_t epoch, std::size_t step) {
  throw Error(ErrorCode::non_finite, "training: " + what + " is not finite at epoch " + std::to_string(epoch) +
                                         ", step " + std::to_string(step) + "; a lower learning rate may help");
}

}  // namespace

Learner::Learner(const TrainerConfig& config, const Histories& train, Executor& executor)
    : config_(config),
      sequences_(require_sequences(train, config.encoder.max_sequence_length)),
      trained_(trained_items(sequences_, train)),
      encoder_(within(config.encoder, sequences_), train.num_items()),
      adam_(encoder_, config.adam),
      batch_gradient_(config, train, encoder_, executor),
      order_(sequences_.size()) {
  encoder_.initialize(config.seed);
}

// Linear warm-up, then half a cosine down to the share that is left at the end.
double Learner::learning_rate_scale(std::size_t step, std::size_t steps) const {
  const auto share = [](std::size_t a, std::size_t b) { return static_cast<double>(a) / static_cast<double>(b); };
  const double warmup = step < config_.warmup_steps ? share(step + 1, config_.warmup_steps) : 1.0;
  const double left = 0.5 * (1.0 + std::cos(std::numbers::pi * std::min(1.0, share(step, steps))));
  return warmup * (config_.final_learning_rate + (1.0 - config_.final_learning_rate) * left);
}

std::optional<double> Learner::train_epoch(std::size_t epoch, std::size_t planned,
                                           const std::function<bool(const StepReport&)>& progress) {
  shuffle(order_, config_.seed, epoch);
  const std::size_t steps = (order_.size() + config_.batch_sequences - 1) / config_.batch_sequences;
  double loss_sum = 0;
  std::size_t targets = 0;
  for (std::size_t step = 0; step < steps; ++step) {
    const std::size_t begin = step * config_.batch_sequences;
    const std::size_t end = std::min(begin + config_.batch_sequences, order_.size());
    batch_.clear();
    for (std::size_t i = begin; i < end; ++i) batch_.push_back(sequences_[order_[i]]);

    const auto loss = batch_gradient_.compute(batch_, stream_of(config_.seed, Purpose::dropout, adam_.steps()));
    const double mean = loss.sum / static_cast<double>(loss.targets);
    check_gradient(mean, epoch, step + 1);
    adam_.step(encoder_.weights(), encoder_.items(), batch_gradient_.gradient(),
               1.0 / static_cast<double>(loss.targets), learning_rate_scale(adam_.steps(), planned * steps));
    loss_sum += loss.sum;
    targets += loss.targets;
    if (progress && !progress({.epoch = epoch, .step = step + 1, .steps = steps, .loss = mean})) return std::nullopt;
  }
  check_weights(epoch, steps);
  return loss_sum / static_cast<double>(targets);
}

void Learner::check_gradient(double loss, std::size_t epoch, std::size_t step) const {
  const GradientBuffer& gradient = batch_gradient_.gradient();
  if (std::isfinite(loss) && std::isfinite(gradient.squared_norm())) return;
  check_weights(epoch, step);
  const std::string parameter = first_not_finite(encoder_.parameters(), gradient);
  fail(parameter.empty() ? "the loss" : "the gradient of " + parameter, epoch, step);
}

void Learner::check_weights(std::size_t epoch, std::size_t step) const {
  const std::string parameter = first_not_finite(encoder_);
  if (!parameter.empty()) fail(parameter, epoch, step);
}

void Learner::copy_weights(SasrecEncoder& encoder) {
  adam_.settle_all(encoder_.items());
  std::copy(encoder_.weights().begin(), encoder_.weights().end(), encoder.weights().begin());
  for (std::size_t item = 0; item < encoder.items().rows(); ++item) {
    const auto from = encoder_.items().row(item);
    const auto to = encoder.items().row(item);
    if (trained_[item]) {
      std::copy(from.begin(), from.end(), to.begin());
    } else {
      std::fill(to.begin(), to.end(), 0.0f);
    }
  }
}

}  // namespace attune::inline v0_1::detail
