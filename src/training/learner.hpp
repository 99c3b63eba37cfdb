// SPDX-License-Identifier: Apache-2.0
#pragma once

// Weights on their way: the encoder, its optimiser and the sequences it learns from, one epoch at a time.

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "attune/training/optimizer.hpp"
#include "attune/training/trainer.hpp"
#include "training/batch_gradient.hpp"
#include "training/sequences.hpp"

namespace attune::inline v0_1::detail {

class Learner {
 public:
  // Throws Error(invalid_data) when there is nothing to learn from, or no times for an encoder that reads them. The
  // window shrinks to the longest sequence there is: no later history may reach a position that was never trained. The
  // hop is settled, so that a model carries its own.
  Learner(const TrainerConfig& config, const Histories& train, Executor& executor);

  // Epoch `epoch` (from 1) of `planned`, on which the learning rate depends. Returns the mean loss over targets, or
  // nothing when `progress` asked to stop. Throws Error(non_finite).
  std::optional<double> train_epoch(std::size_t epoch, std::size_t planned,
                                    const std::function<bool(const StepReport&)>& progress);

  const EncoderConfig& encoder_config() const noexcept { return encoder_->config(); }
  // The averaged weights where the configuration asks for an average. `encoder` has this configuration and as many
  // items. Items that no sequence holds get zero rows: the model knows nothing about them.
  void copy_weights(SequenceEncoder<float>& encoder);

 private:
  double learning_rate_scale(std::size_t step, std::size_t steps) const;
  void update_average();
  // Throw Error(non_finite) naming parameter, epoch and step.
  void check_gradient(double loss, std::size_t epoch, std::size_t step) const;
  void check_weights(std::size_t epoch, std::size_t step) const;

  const TrainerConfig& config_;
  const Histories& histories_;
  std::vector<TrainingSequence> sequences_;
  const std::vector<bool> trained_;  // [items]
  std::unique_ptr<SequenceEncoder<float>> encoder_;
  Adam adam_;
  BatchGradient batch_gradient_;
  std::vector<std::size_t> order_;
  std::vector<TrainingSequence> batch_;
  std::vector<float> average_;           // of the dense weights, empty without one
  EmbeddingTable<float> average_items_;  // and of the item rows
};

}  // namespace attune::inline v0_1::detail
