// SPDX-License-Identifier: Apache-2.0
#include "training/batch_gradient.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "attune/detail/kernels.hpp"
#include "attune/model/count_models.hpp"

namespace attune::inline v0_1::detail {

namespace {

// Names what a random number of a step is for.
constexpr std::uint64_t kDrawNegatives = 1, kHideEvents = 2;

}  // namespace

BatchGradient::BatchGradient(const TrainerConfig& config, const Histories& histories,
                             const SequenceEncoder<float>& encoder, Executor& executor,
                             const std::optional<NegativeSampler>& sampler, Communicator* ranks)
    : config_(config),
      histories_(histories),
      encoder_(encoder),
      executor_(executor),
      ranks_(ranks && ranks->size() > 1 ? ranks : nullptr),
      weighted_(!config.event_weights.empty() || config.value_weights),
      workers_(executor.concurrency()),
      hands_(config.gradient_slots) {
  std::size_t last_hand = hands_.size();
  if (ranks_) {
    first_hand_ = hands_.size() * ranks_->rank() / ranks_->size();
    last_hand = hands_.size() * (ranks_->rank() + 1) / ranks_->size();
    for (std::size_t r = 0; r < ranks_->size(); ++r)
      rows_of_ranks_.emplace_back(0, encoder.items().rows(), encoder.dim());
  }
  slots_.reserve(last_hand - first_hand_);
  while (slots_.size() < last_hand - first_hand_) slots_.emplace_back(encoder);
  for (const std::string& kind : histories.event_kinds) {
    const auto named = config.event_weights.find(kind);
    kind_weights_.push_back(named == config.event_weights.end() ? 1.0f : static_cast<float>(named->second));
  }
  if (config.teacher && config.distillation.weight > 0) teacher_.emplace(config, histories, executor);
  if (config.objective.loss == LossKind::softmax) return;
  sampler_ =
      sampler ? *sampler : NegativeSampler(PopularityModel::fit(histories).counts(), config.objective.sampling_power);
  if (!config.objective.log_q) return;
  if (config.objective.shared_negatives) bias_ = sampler_.log_inclusions(config.objective.negatives);
  for (float& logarithm : bias_) logarithm = -logarithm;
}

void BatchGradient::prepare_outputs(std::uint64_t stream) {
  const EncoderConfig& config = encoder_.config();
  if (config_.objective.loss == LossKind::softmax) {
    outputs_.assign(encoder_.items(), config.score, config.temperature, config_.mixed_precision);
  } else if (config_.objective.shared_negatives) {
    sampler_.draw_set(negatives_, config_.objective.negatives, mix(stream, kDrawNegatives));
    outputs_.assign_set(encoder_.items(), config.score, config.temperature, negatives_, bias_, config_.mixed_precision);
  }
}

BatchGradient::Loss BatchGradient::compute(std::span<TrainingSequence> batch, std::uint64_t stream) {
  prepare_outputs(stream);
  deal(hands_, batch);
  const EncoderConfig& config = encoder_.config();
  const TrainingMode mode({.rate = config.dropout, .attention_rate = config.attention_dropout, .stream = stream},
                          config_.mixed_precision ? Precision::rounded : Precision::full);
  executor_.run(slots_.size(), [&](std::size_t slot, std::size_t worker) {
    run_slot(slots_[slot], workers_[worker], hands_[first_hand_ + slot], mode);
  });
  reduce();
  return total_loss();
}

// Slot by slot, whoever has them.
BatchGradient::Loss BatchGradient::total_loss() const {
  std::vector<Loss> losses;
  for (const Slot& slot : slots_) losses.push_back(slot.loss);
  if (ranks_) {
    const auto of_ranks = ranks_->gather(std::as_bytes(std::span(losses)));
    losses.resize(hands_.size());
    std::byte* next = reinterpret_cast<std::byte*>(losses.data());
    for (const std::vector<std::byte>& some : of_ranks) next = std::ranges::copy(some, next).out;
  }
  Loss total;
  for (const Loss& loss : losses) {
    total.sum += loss.sum;
    total.targets += loss.targets;
  }
  return total;
}

void BatchGradient::run_slot(Slot& slot, Worker& worker, const Hand& hand, const TrainingMode& mode) {
  slot.gradient.clear();
  slot.loss = {};
  worker.batch.clear();
  worker.soft_items.clear();
  worker.soft_shares.clear();
  for (const TrainingSequence& sequence : hand.sequences) {
    const std::size_t tokens = worker.batch.num_tokens();
    if (tokens > 0 && tokens + sequence.length > kPackedTokens) run_packed(slot, worker, mode);
    add_sequence(worker, sequence, mode.dropout.stream);
  }
  if (worker.batch.num_tokens() > 0) run_packed(slot, worker, mode);
}

void BatchGradient::add_sequence(Worker& worker, const TrainingSequence& sequence, std::uint64_t stream) const {
  HistoryView events = histories_.of(sequence.user).subview(sequence.begin, sequence.length);
  const std::uint64_t key = mix(sequence.user, sequence.begin);
  if (weighted_) {
    worker.weights.resize(events.size());
    for (std::size_t i = 0; i < events.size(); ++i) {
      worker.weights[i] = events.kinds.empty() ? 1.0f : kind_weights_[events.kinds[i]];
      if (config_.value_weights && !events.weights.empty()) worker.weights[i] *= std::max(0.0f, events.weights[i]);
    }
    events.weights = worker.weights;
  } else {
    events.weights = {};
  }
  const std::uint64_t draws = mix(mix(stream, kHideEvents), key);
  const auto hidden = [draws](std::size_t event, double rate) {
    return static_cast<double>(mix(draws, event + 1) >> 11) * 0x1p-53 < rate;
  };
  if (!encoder_.config().mask_token) {
    const std::size_t first = worker.batch.num_tokens();
    worker.batch.add_training_sequence(events, key, sequence.context);
    if (teacher_) teacher_->append(worker.soft_items, worker.soft_shares, sequence);
    for (std::size_t i = 0; i + 1 < events.size(); ++i) {
      if (hidden(i, config_.item_dropout)) worker.batch.hide(first + i);
    }
    return;
  }
  // A quarter of the sequences hides the last event alone, as a request does.
  const double rate = mix(draws, 0) % 4 == 0 ? 0.0 : config_.mask_probability;
  worker.hidden_events.resize(events.size());
  bool any = false;
  for (std::size_t i = 0; i < events.size(); ++i) {
    worker.hidden_events[i] = hidden(i, rate);
    any = any || worker.hidden_events[i] != 0;
  }
  if (!any) worker.hidden_events.back() = 1;
  worker.batch.add_masked_sequence(events, worker.hidden_events, key);
}

double BatchGradient::loss_of(Slot& slot, Worker& worker, std::span<const float> hidden, std::span<float> d_hidden,
                              std::uint64_t stream) {
  const SequenceBatch& batch = worker.batch;
  const ObjectiveConfig& objective = config_.objective;
  if (objective.loss == LossKind::softmax || objective.shared_negatives) {
    const SoftTargets<float> soft{teacher_ ? teacher_->count() : 0, worker.soft_items, worker.soft_shares};
    return softmax_cross_entropy<float>(d_hidden, slot.outputs, slot.gradient, hidden, batch.targets(), batch.weights(),
                                        outputs_, objective.label_smoothing, worker.objective, soft);
  }
  worker.keys.clear();
  for (std::size_t s = 0; s < batch.num_sequences(); ++s) {
    const std::uint64_t key = mix(mix(stream, kDrawNegatives), batch.keys()[s]);
    for (std::size_t i = 0; i < batch.length(s); ++i) worker.keys.push_back(mix(key, i));
  }
  const EncoderConfig& config = encoder_.config();
  return sampled_loss<float>(d_hidden, slot.gradient, hidden, batch.targets(), batch.weights(), worker.keys,
                             encoder_.items(), config.score, config.temperature, objective, sampler_, worker.objective);
}

void BatchGradient::run_packed(Slot& slot, Worker& worker, const TrainingMode& mode) {
  const SequenceBatch& batch = worker.batch;
  const std::size_t tokens = batch.num_tokens(), dim = encoder_.dim();
  const auto hidden = worker.hidden.take(tokens * dim);
  const auto d_hidden = worker.d_hidden.take(tokens * dim);
  const auto d_inputs = worker.d_inputs.take(tokens * dim);
  encoder_.forward(hidden, worker.tape, batch, mode);
  slot.loss.sum += loss_of(slot, worker, hidden, d_hidden, mode.dropout.stream);
  for (std::size_t token = 0; token < tokens; ++token) {
    if (batch.targets()[token] != kNoHandle) slot.loss.targets += static_cast<double>(batch.weights()[token]);
  }
  encoder_.backward(slot.gradient.dense(), d_inputs, d_hidden, worker.tape, batch, mode);
  for (std::size_t token = 0; token < tokens; ++token) {
    if (batch.items()[token] == kNoHandle) continue;
    kernels<float>().add(slot.gradient.row(batch.items()[token]).data(), d_inputs.data() + token * dim, dim);
  }
  worker.batch.clear();
  worker.soft_items.clear();
  worker.soft_shares.clear();
}

// Everything into the first slot.
void BatchGradient::reduce() {
  constexpr std::size_t kPiece = 1 << 15;
  Slot& first = slots_.front();
  if (outputs_.rows() > 0) {
    for (Slot& slot : slots_) {
      slot.outputs.rows.resize(outputs_.data().size(), 0.0f);
      slot.outputs.common.resize(outputs_.width(), 0.0f);
    }
    const auto move = [](std::vector<float>& into, std::vector<float>& from, std::size_t begin, std::size_t count) {
      kernels<float>().add(into.data() + begin, from.data() + begin, count);
      std::fill_n(from.data() + begin, count, 0.0f);
    };
    const std::size_t size = first.outputs.rows.size();
    executor_.run((size + kPiece - 1) / kPiece, [&](std::size_t piece, std::size_t) {
      const std::size_t begin = piece * kPiece, count = std::min(kPiece, size - begin);
      add_by_neighbours(slots_.size(), [&](std::size_t into, std::size_t from) {
        move(slots_[into].outputs.rows, slots_[from].outputs.rows, begin, count);
      });
    });
    add_by_neighbours(slots_.size(), [&](std::size_t into, std::size_t from) {
      move(slots_[into].outputs.common, slots_[from].outputs.common, 0, outputs_.width());
    });
  }
  add_by_neighbours(slots_.size(),
                    [&](std::size_t into, std::size_t from) { slots_[into].gradient.add(slots_[from].gradient); });
  if (ranks_) add_ranks();
  if (outputs_.rows() > 0) softmax_cross_entropy_fold(first.gradient, outputs_, first.outputs);
}

void BatchGradient::add_ranks() {
  Slot& first = slots_.front();
  if (outputs_.rows() > 0) {
    ranks_->sum(first.outputs.rows);
    ranks_->sum(first.outputs.common);
  }
  ranks_->sum(first.gradient.dense());
  add_rows_of_ranks();
}

// Only rows that were touched travel: how many, which, and their values.
void BatchGradient::add_rows_of_ranks() {
  GradientBuffer& own = slots_.front().gradient;
  const std::size_t touched = own.touched().size(), row_bytes = own.dim() * sizeof(float);
  std::vector<std::byte> message(touched * (sizeof(ItemHandle) + row_bytes));
  std::byte* end = std::ranges::copy(std::as_bytes(own.touched()), message.data()).out;
  for (std::size_t i = 0; i < touched; ++i) end = std::ranges::copy(std::as_bytes(own.touched_row(i)), end).out;

  const auto messages = ranks_->gather(message);
  for (std::size_t rank = 0; rank < messages.size(); ++rank) {
    GradientBuffer& rows = rows_of_ranks_[rank];
    rows.clear();
    const std::byte* const ids = messages[rank].data();
    const std::size_t count = messages[rank].size() / (sizeof(ItemHandle) + row_bytes);
    for (std::size_t i = 0; i < count; ++i) {
      ItemHandle item;
      std::memcpy(&item, ids + i * sizeof(item), sizeof(item));
      std::memcpy(rows.row(item).data(), ids + count * sizeof(item) + i * row_bytes, row_bytes);
    }
  }
  add_by_neighbours(rows_of_ranks_.size(),
                    [&](std::size_t into, std::size_t from) { rows_of_ranks_[into].add(rows_of_ranks_[from]); });
  const GradientBuffer& sum = rows_of_ranks_.front();
  for (std::size_t i = 0; i < sum.touched().size(); ++i) {
    std::ranges::copy(sum.touched_row(i), own.row(sum.touched()[i]).begin());
  }
}

}  // namespace attune::inline v0_1::detail
