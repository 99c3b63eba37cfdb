// SPDX-License-Identifier: Apache-2.0
#pragma once

// How much memory a training will take, before it takes any.

#include <cstddef>

#include "attune/training/trainer.hpp"

namespace attune::inline v0_1 {

// Bytes that Trainer::fit() takes beside the histories and queries that it is given. What each is made of, and what
// makes it less:
struct MemoryEstimate {
  std::size_t weights = 0;      // in training, of the best and of the newest epoch, averaged; encoder.embedding_dim
  std::size_t optimiser = 0;    // two moments of each weight; the same
  std::size_t gradients = 0;    // one sum per slot, with a table of all items for a softmax; gradient_slots
  std::size_t activations = 0;  // of the threads; encoder.max_sequence_length, threads
  std::size_t counts = 0;       // while they are fitted, sequences of an epoch, events of a refit; the count model
  std::size_t teacher = 0;      // what it expects after each event; distillation.targets
  std::size_t evaluation = 0;   // the scorer's rows, and the scores of each thread; threads
  std::size_t saving = 0;       // the state of training while it is written, 0 where none is kept

  // The last two come one after the other.
  std::size_t total() const noexcept {
    return weights + optimiser + gradients + activations + counts + teacher +
           (evaluation > saving ? evaluation : saving);
  }
};

// For a trainer of this configuration on an executor of `threads`; `keeps_state`: fit() is given a StateFile. Within a
// third of the truth for encoders of some size. Histories as fit() takes them. Throws Error(invalid_data) where there
// is nothing for an encoder to learn from.
ATTUNE_EXPORT MemoryEstimate estimate_memory(const TrainerConfig& config, const Histories& train, std::size_t threads,
                                             bool keeps_state = false);

}  // namespace attune::inline v0_1
