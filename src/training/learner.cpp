// SPDX-License-Identifier: Apache-2.0
#include "training/learner.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <string>

#include "attune/detail/dropout.hpp"
#include "attune/detail/kernels.hpp"
#include "attune/error.hpp"
#include "model/manifest.hpp"

namespace attune::inline v0_1::detail {

namespace {

constexpr std::size_t kWholeHistory = std::numeric_limits<std::size_t>::max() - 1;

std::vector<TrainingSequence> sequences_of(const TrainerConfig& config, const Histories& train, std::size_t window,
                                           std::size_t epoch) {
  if (config.windows == Windows::newest) return training_sequences(train, window);
  return training_windows(train, window, std::min(config.overlap, window - 1), config.seed, epoch);
}

std::vector<bool> items_with_rows(const EmbeddingTable<float>& items) {
  std::vector<bool> with_row;
  for (std::size_t item = 0; item < items.rows(); ++item) {
    with_row.push_back(std::ranges::any_of(items.row(item), [](float x) { return x != 0.0f; }));
  }
  return with_row;
}

bool not_finite(float x) { return !std::isfinite(x); }

// The parameter that holds the first element of `dense` that is not finite; "" if there is none.
std::string first_not_finite(const ParameterList& parameters, std::span<const float> dense) {
  const auto found = std::find_if(dense.begin(), dense.end(), not_finite);
  return found == dense.end() ? "" : parameters.owner(static_cast<std::size_t>(found - dense.begin())).name;
}

std::string row_name(std::size_t item) { return "items.weight row " + std::to_string(item); }

std::string first_not_finite(const SequenceEncoder<float>& encoder) {
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

std::size_t targets_window(const EncoderConfig& config) {
  return config.mask_token ? std::max<std::size_t>(1, config.max_sequence_length - 1) : config.max_sequence_length;
}

std::vector<TrainingSequence> require_sequences(const TrainerConfig& config, const Histories& train) {
  if (!train.item_ids) throw Error(ErrorCode::invalid_data, "training histories: expected item ids, found none");
  if (config.encoder.time_buckets > 0 && train.times.empty()) {
    throw Error(ErrorCode::invalid_data,
                "training histories: expected times, as the encoder reads them (time_buckets is " +
                    std::to_string(config.encoder.time_buckets) + "), found none");
  }
  auto sequences = sequences_of(config, train, targets_window(config.encoder), 1);
  if (sequences.empty()) {
    throw Error(ErrorCode::invalid_data,
                "training histories: expected a user with at least two events, found none among " +
                    std::to_string(train.num_users()) + " users with " + std::to_string(train.num_events()) +
                    " events");
  }
  return sequences;
}

EncoderConfig within(EncoderConfig config, const Histories& train) {
  std::size_t longest = 0;
  for (std::size_t user = 0; user < train.num_users(); ++user) longest = std::max(longest, train.of(user).size());
  config.max_sequence_length = std::min(config.max_sequence_length, config.mask_token ? longest : longest - 1);
  config.hop = std::min(config.effective_hop(), config.max_sequence_length);
  return config;
}

Learner::Learner(const TrainerConfig& config, const Histories& train, Executor& executor, Communicator* ranks)
    : config_(config),
      histories_(train),
      ranks_(ranks && ranks->size() > 1 ? ranks : nullptr),
      sequences_(require_sequences(config, train)),
      trained_(trained_items(config.windows == Windows::newest ? sequences_ : training_sequences(train, kWholeHistory),
                             train)),
      encoder_(make_encoder(within(config.encoder, train), train.num_items())),
      adam_(*encoder_, config.adam),
      batch_gradient_(config, train, *encoder_, executor, std::nullopt, ranks) {
  encoder_->initialize(config.seed);
  begin_average();
}

Learner::Learner(const TrainerConfig& config, const Histories& train, const SequenceEncoder<float>& start,
                 Executor& executor)
    : config_(config),
      histories_(train),
      trained_(items_with_rows(start.items())),
      encoder_(make_encoder(start.config(), start.items().rows())),
      adam_(*encoder_, config.adam),
      batch_gradient_(config, train, *encoder_, executor) {
  std::ranges::copy(start.weights(), encoder_->weights().begin());
  for (std::size_t c = 0; c < start.items().num_chunks(); ++c) {
    std::ranges::copy(start.items().chunk(c), encoder_->items().chunk(c).begin());
  }
  begin_average();
}

void Learner::begin_average() {
  if (config_.average == 0) return;
  average_.assign(encoder_->weights().begin(), encoder_->weights().end());
  average_items_ = EmbeddingTable<float>(encoder_->items().rows(), encoder_->dim());
  for (std::size_t c = 0; c < average_items_.num_chunks(); ++c) {
    std::ranges::copy(encoder_->items().chunk(c), average_items_.chunk(c).begin());
  }
}

// Linear warm-up, then down to the share that is left at the end.
double Learner::learning_rate_scale(std::size_t step, std::size_t steps) const {
  const auto share = [](std::size_t a, std::size_t b) { return static_cast<double>(a) / static_cast<double>(b); };
  const double warmup = step < config_.warmup_steps ? share(step + 1, config_.warmup_steps) : 1.0;
  const double done = std::min(1.0, share(step, steps));
  double left = 1.0;
  if (config_.schedule == Schedule::linear) left = 1.0 - done;
  if (config_.schedule == Schedule::cosine) left = 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  return warmup * (config_.final_learning_rate + (1.0 - config_.final_learning_rate) * left);
}

// average += (1 - decay) (weights - average); the first steps, which would weigh too much, decay faster.
void Learner::update_average() {
  if (config_.average == 0) return;
  const auto step = static_cast<double>(adam_.steps());
  const auto rate = static_cast<float>(1.0 - std::min(config_.average, (1.0 + step) / (10.0 + step)));
  const auto& table = kernels<float>();
  const auto move = [&](std::span<float> average, std::span<const float> weights) {
    table.scale(average.data(), 1.0f - rate, average.size());
    table.scaled_add(average.data(), rate, weights.data(), average.size());
  };
  move(average_, encoder_->weights());
  for (std::size_t c = 0; c < average_items_.num_chunks(); ++c)
    move(average_items_.chunk(c), encoder_->items().chunk(c));
}

std::optional<double> Learner::train_epoch(std::size_t epoch, std::size_t planned,
                                           const std::function<bool(const StepReport&)>& progress) {
  if (config_.windows == Windows::all) {
    sequences_ = sequences_of(config_, histories_, targets_window(encoder_->config()), epoch);
  }
  order_.resize(sequences_.size());
  shuffle(order_, config_.seed, epoch);
  const std::size_t steps = (order_.size() + config_.batch_sequences - 1) / config_.batch_sequences;
  double loss_sum = 0, targets = 0;
  for (std::size_t step = 0; step < steps; ++step) {
    const std::size_t begin = step * config_.batch_sequences;
    const std::size_t end = std::min(begin + config_.batch_sequences, order_.size());
    batch_.clear();
    for (std::size_t i = begin; i < end; ++i) batch_.push_back(sequences_[order_[i]]);

    const auto loss = batch_gradient_.compute(batch_, stream_of(config_.seed, Purpose::dropout, adam_.steps()));
    const double mean = loss.targets == 0 ? 0.0 : loss.sum / loss.targets;
    if (loss.targets != 0) {
      check_gradient(mean, epoch, step + 1);
      adam_.step(encoder_->weights(), encoder_->items(), batch_gradient_.gradient(), 1.0 / loss.targets,
                 learning_rate_scale(adam_.steps(), planned * steps));
      // The next step may read any row, and the average takes all as they are now.
      adam_.settle_all(encoder_->items());
      update_average();
    }
    loss_sum += loss.sum;
    targets += loss.targets;
    if (stopped(progress && !progress({.epoch = epoch, .step = step + 1, .steps = steps, .loss = mean})))
      return std::nullopt;
  }
  if (targets == 0) {
    throw Error(ErrorCode::invalid_data, "training: every target has weight 0; see event_weights and value_weights");
  }
  check_weights(epoch, steps);
  if (ranks_) check_ranks(epoch);
  return loss_sum / targets;
}

// Whether rank 0 says so.
bool Learner::stopped(bool here) {
  std::array said{std::byte{here}};
  if (ranks_) ranks_->broadcast(said);
  return said[0] != std::byte{0};
}

void Learner::check_gradient(double loss, std::size_t epoch, std::size_t step) const {
  const GradientBuffer& gradient = batch_gradient_.gradient();
  if (std::isfinite(loss) && std::isfinite(gradient.squared_norm())) return;
  check_weights(epoch, step);
  const std::string parameter = first_not_finite(encoder_->parameters(), gradient);
  fail(parameter.empty() ? "the loss" : "the gradient of " + parameter, epoch, step);
}

void Learner::check_weights(std::size_t epoch, std::size_t step) const {
  const std::string parameter = first_not_finite(*encoder_);
  if (!parameter.empty()) fail(parameter, epoch, step);
}

void Learner::check_ranks(std::size_t epoch) const {
  std::uint32_t checksum = crc32_of(std::as_bytes(encoder_->weights()));
  const EmbeddingTable<float>& items = encoder_->items();
  for (std::size_t c = 0; c < items.num_chunks(); ++c) checksum = crc32_of(std::as_bytes(items.chunk(c)), checksum);
  const auto checksums = ranks_->gather(std::as_bytes(std::span(&checksum, 1)));
  for (std::size_t rank = 1; rank < checksums.size(); ++rank) {
    if (checksums[rank] == checksums[0]) continue;
    throw Error(ErrorCode::unsupported, "training: expected ranks that compute alike, found other weights at rank " +
                                            std::to_string(rank) + " than at rank 0 behind epoch " +
                                            std::to_string(epoch));
  }
}

void Learner::copy_weights(SequenceEncoder<float>& encoder) {
  const bool averaged = config_.average != 0;
  std::ranges::copy(averaged ? std::span<const float>(average_) : encoder_->weights(), encoder.weights().begin());
  const EmbeddingTable<float>& rows = averaged ? average_items_ : encoder_->items();
  for (std::size_t item = 0; item < encoder.items().rows(); ++item) {
    const auto from = rows.row(item);
    const auto to = encoder.items().row(item);
    if (trained_[item]) {
      std::copy(from.begin(), from.end(), to.begin());
    } else {
      std::fill(to.begin(), to.end(), 0.0f);
    }
  }
}

}  // namespace attune::inline v0_1::detail
