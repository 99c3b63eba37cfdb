// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a teacher expects after every event: its best items and their probabilities, asked for once and kept while a
// student learns from them. The teacher sees up to its own window of events, wherever an epoch cuts the student's.

#include <cstddef>
#include <span>
#include <vector>

#include "attune/executor.hpp"
#include "attune/training/trainer.hpp"
#include "training/sequences.hpp"

namespace attune::inline v0_1::detail {

class TeacherTargets {
 public:
  // For config.teacher, as config.distillation says; the same bits for any number of threads. Throws
  // Error(invalid_data) where the teacher has not one row per item, or reads times that the histories do not have.
  TeacherTargets(const TrainerConfig& config, const Histories& histories, Executor& executor);

  // Appends those of the targets of a sequence of the histories, row by row. A teacher that has nothing to say of a
  // position, or too little, leaves the rest of its row kNoHandle with share 0.
  void append(std::vector<ItemHandle>& items, std::vector<float>& shares, const TrainingSequence& sequence) const;
  std::size_t count() const noexcept { return count_; }  // K, of a position

  static std::size_t bytes(const DistillationOptions& options, const Histories& histories) noexcept;

 private:
  const Histories& histories_;
  std::size_t count_;
  // [events, K], of the event as a target; the first events of users have none.
  std::vector<ItemHandle> items_;
  std::vector<float> shares_;  // of the loss: all of a position sum to distillation.weight
};

}  // namespace attune::inline v0_1::detail
