// SPDX-License-Identifier: Apache-2.0
#include "training/batch_gradient.hpp"

#include <algorithm>

#include "attune/detail/kernels.hpp"

namespace attune::inline v0_1::detail {

namespace {

// A pass through the encoder packs sequences up to this many tokens: enough rows for efficient matrix products, few
// enough for their activations to stay in the cache.
constexpr std::size_t kPackedTokens = 256;

}  // namespace

BatchGradient::BatchGradient(const TrainerConfig& config, const Histories& histories,
                             const SequenceEncoder<float>& encoder, Executor& executor)
    : config_(encoder.config()),
      histories_(histories),
      encoder_(encoder),
      executor_(executor),
      hands_(config.gradient_slots) {
  slots_.reserve(config.gradient_slots);
  for (std::size_t s = 0; s < config.gradient_slots; ++s) slots_.emplace_back(encoder);
}

BatchGradient::Loss BatchGradient::compute(std::span<TrainingSequence> batch, std::uint64_t stream) {
  outputs_.assign(encoder_.items(), config_.score, config_.temperature);
  deal(hands_, batch);
  const Dropout dropout{.rate = config_.dropout, .attention_rate = config_.attention_dropout, .stream = stream};
  executor_.run(slots_.size(), [&](std::size_t slot, std::size_t) { run_slot(slots_[slot], hands_[slot], dropout); });
  reduce();
  Loss loss;
  for (const Slot& slot : slots_) {
    loss.sum += slot.loss.sum;
    loss.targets += slot.loss.targets;
  }
  return loss;
}

void BatchGradient::run_slot(Slot& slot, const Hand& hand, const Dropout& dropout) {
  slot.gradient.clear();
  slot.loss = {};
  slot.batch.clear();
  for (const TrainingSequence& sequence : hand.sequences) {
    if (slot.batch.num_tokens() > 0 && slot.batch.num_tokens() + sequence.length - 1 > kPackedTokens) {
      run_packed(slot, dropout);
    }
    HistoryView events = histories_.of(sequence.user).subview(sequence.begin, sequence.length);
    events.weights = {};  // every event counts the same, whatever its rating
    slot.batch.add_training_sequence(events, sequence.user);
  }
  if (slot.batch.num_tokens() > 0) run_packed(slot, dropout);
}

void BatchGradient::run_packed(Slot& slot, const Dropout& dropout) {
  const std::size_t tokens = slot.batch.num_tokens(), dim = encoder_.dim();
  const auto hidden = slot.hidden.take(tokens * dim);
  const auto d_hidden = slot.d_hidden.take(tokens * dim);
  const auto d_inputs = slot.d_inputs.take(tokens * dim);
  encoder_.forward(hidden, slot.tape, slot.batch, dropout);
  slot.loss.sum += softmax_cross_entropy<float>(d_hidden, hidden, slot.batch.targets(), {}, outputs_, slot.objective);
  slot.loss.targets += tokens;
  encoder_.backward(slot.gradient.dense(), d_inputs, d_hidden, slot.tape, slot.batch, dropout);
  for (std::size_t token = 0; token < tokens; ++token) {
    kernels<float>().add(slot.gradient.row(slot.batch.items()[token]).data(), d_inputs.data() + token * dim, dim);
  }
  slot.batch.clear();
}

// Everything into the first slot, slot by slot.
void BatchGradient::reduce() {
  constexpr std::size_t kPiece = 1 << 15;
  Slot& first = slots_.front();
  auto& sum = first.objective.d_outputs;
  executor_.run((sum.size() + kPiece - 1) / kPiece, [&](std::size_t piece, std::size_t) {
    const std::size_t begin = piece * kPiece, count = std::min(kPiece, sum.size() - begin);
    for (Slot& slot : std::span(slots_).subspan(1)) {
      if (slot.objective.d_outputs.empty()) continue;
      float* const part = slot.objective.d_outputs.data() + begin;
      kernels<float>().add(sum.data() + begin, part, count);
      std::fill_n(part, count, 0.0f);
    }
  });
  for (const Slot& slot : std::span(slots_).subspan(1)) first.gradient.add(slot.gradient);
  softmax_cross_entropy_fold(first.gradient, outputs_, first.objective);
}

}  // namespace attune::inline v0_1::detail
