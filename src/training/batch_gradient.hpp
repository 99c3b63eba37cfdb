// SPDX-License-Identifier: Apache-2.0
#pragma once

// The gradient of one batch: forward, loss and backward in a fixed number of slots, added in a fixed order, so that the
// bits do not depend on the number of threads. Memory is kept from batch to batch.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/data/sequence_batch.hpp"
#include "attune/executor.hpp"
#include "attune/training/objective.hpp"
#include "attune/training/trainer.hpp"
#include "training/sequences.hpp"

namespace attune::inline v0_1::detail {

class BatchGradient {
 public:
  BatchGradient(const TrainerConfig& config, const Histories& histories, const SequenceEncoder<float>& encoder,
                Executor& executor);

  struct Loss {
    double sum = 0;           // over targets
    std::size_t targets = 0;  // in the batch
  };
  // Precondition: `batch`, which it sorts, is not empty. `stream` keys the dropout of this step.
  Loss compute(std::span<TrainingSequence> batch, std::uint64_t stream);
  // Of the sum of the loss.
  const GradientBuffer& gradient() const noexcept { return slots_.front().gradient; }

 private:
  struct Slot {
    explicit Slot(const SequenceEncoder<float>& encoder)
        : gradient(encoder.parameters().total(), encoder.items().rows(), encoder.dim()) {}
    GradientBuffer gradient;
    ObjectiveScratch<float> objective;
    SequenceBatch batch;
    Buffer<float> tape, hidden, d_hidden, d_inputs;
    Loss loss;
  };
  void run_slot(Slot& slot, const Hand& hand, const Dropout& dropout);
  void run_packed(Slot& slot, const Dropout& dropout);
  void reduce();

  const EncoderConfig& config_;
  const Histories& histories_;
  const SequenceEncoder<float>& encoder_;
  Executor& executor_;
  OutputTable<float> outputs_;
  std::vector<Slot> slots_;
  std::vector<Hand> hands_;
};

}  // namespace attune::inline v0_1::detail
