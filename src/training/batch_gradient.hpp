// SPDX-License-Identifier: Apache-2.0
#pragma once

// The gradient of one batch: forward, loss and backward in a fixed number of slots, added in a fixed order, so that the
// bits do not depend on the number of threads, nor on that of the ranks where each has as many slots, a power of two.
// Memory is kept from batch to batch: sums by slot, all else by thread.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "attune/data/sequence_batch.hpp"
#include "attune/executor.hpp"
#include "attune/training/communicator.hpp"
#include "attune/training/objective.hpp"
#include "attune/training/trainer.hpp"
#include "training/sequences.hpp"
#include "training/teacher_targets.hpp"

namespace attune::inline v0_1::detail {

// A pass through the encoder packs sequences up to this many tokens: enough for full blocks of the objective, few
// enough for their activations to stay in the cache.
inline constexpr std::size_t kPackedTokens = 512;

class BatchGradient {
 public:
  // `sampler`: who draws negatives; none: of the items of the histories, by their events. `ranks`: those who share the
  // slots, null: there is one.
  BatchGradient(const TrainerConfig& config, const Histories& histories, const SequenceEncoder<float>& encoder,
                Executor& executor, const std::optional<NegativeSampler>& sampler = std::nullopt,
                Communicator* ranks = nullptr);

  struct Loss {
    double sum = 0;      // over targets, by their weights
    double targets = 0;  // sum of the weights
  };
  // Precondition: `batch`, which it sorts, is not empty and the same at all ranks, which have the same weights: all get
  // the same loss and gradient. `stream` keys the random numbers of this step.
  Loss compute(std::span<TrainingSequence> batch, std::uint64_t stream);
  // Of the sum of the loss.
  const GradientBuffer& gradient() const noexcept { return slots_.front().gradient; }
  // Every step touches every item row.
  bool touches_all_items() const noexcept { return config_.objective.loss == LossKind::softmax; }

 private:
  struct Slot {
    explicit Slot(const SequenceEncoder<float>& encoder)
        : gradient(encoder.parameters().total(), encoder.items().rows(), encoder.dim()) {}
    GradientBuffer gradient;
    OutputGradient<float> outputs;
    Loss loss;
  };
  struct Worker {
    SequenceBatch batch;
    ObjectiveScratch<float> objective;
    Buffer<float> tape, hidden, d_hidden, d_inputs;
    std::vector<float> weights;  // of the events of a sequence
    std::vector<std::uint8_t> hidden_events;
    std::vector<std::uint64_t> keys;  // of the tokens of a batch
    std::vector<ItemHandle> soft_items;
    std::vector<float> soft_shares;
  };
  void prepare_outputs(std::uint64_t stream);
  void run_slot(Slot& slot, Worker& worker, const Hand& hand, const TrainingMode& mode);
  void add_sequence(Worker& worker, const TrainingSequence& sequence, std::uint64_t stream) const;
  void run_packed(Slot& slot, Worker& worker, const TrainingMode& mode);
  double loss_of(Slot& slot, Worker& worker, std::span<const float> hidden, std::span<float> d_hidden,
                 std::uint64_t stream);
  Loss total_loss() const;
  void reduce();
  void add_ranks();
  void add_rows_of_ranks();

  const TrainerConfig& config_;
  const Histories& histories_;
  const SequenceEncoder<float>& encoder_;
  Executor& executor_;
  Communicator* ranks_;
  std::size_t first_hand_ = 0;  // of the first slot
  bool weighted_;
  std::vector<float> kind_weights_;  // of event kinds
  NegativeSampler sampler_;
  std::vector<ItemHandle> negatives_;  // shared by all positions of a step
  std::vector<float> bias_;            // of logits, by item
  std::optional<TeacherTargets> teacher_;
  OutputTable<float> outputs_;
  std::vector<Slot> slots_;  // of this rank
  std::vector<Worker> workers_;
  std::vector<Hand> hands_;  // of all ranks
  std::vector<GradientBuffer> rows_of_ranks_;
};

}  // namespace attune::inline v0_1::detail
