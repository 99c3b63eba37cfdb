// SPDX-License-Identifier: Apache-2.0
#pragma once

// Weights on their way: the encoder, its optimiser and the sequences it learns from, one epoch at a time.

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "attune/training/communicator.hpp"
#include "attune/training/optimizer.hpp"
#include "attune/training/trainer.hpp"
#include "training/batch_gradient.hpp"
#include "training/sequences.hpp"

namespace attune::inline v0_1::detail {

// The sequences of the first epoch. Throws Error(invalid_data) when there is nothing to learn from, or no times for an
// encoder that reads them.
std::vector<TrainingSequence> require_sequences(const TrainerConfig& config, const Histories& train);
// Events of a sequence beside the one that is a target alone; masked training has none such.
std::size_t targets_window(const EncoderConfig& config);
// With a window no longer than the longest history needs, and a hop.
EncoderConfig within(EncoderConfig config, const Histories& train);

class Learner {
 public:
  // Throws Error(invalid_data) when there is nothing to learn from, or no times for an encoder that reads them. The
  // window shrinks to the longest sequence there is: no later history may reach a position that was never trained. The
  // hop is settled, so that a model carries its own.
  Learner(const TrainerConfig& config, const Histories& train, Executor& executor, Communicator* ranks = nullptr);
  // Goes on from the weights of another encoder, on the sequences that use() gives. Items whose row is zero stay so.
  Learner(const TrainerConfig& config, const Histories& train, const SequenceEncoder<float>& start, Executor& executor);
  // The sequences of the epochs to come, which Windows::all would replace. Precondition: not empty.
  void use(std::vector<TrainingSequence> sequences) { sequences_ = std::move(sequences); }

  // Epoch `epoch` (from 1) of `planned`, on which the learning rate depends. Returns the mean loss over targets, or
  // nothing when `progress` asked rank 0 to stop. All ranks train the same epochs and get the same loss. Throws Error
  // at all of them: non_finite; unsupported (their processors do not come to the same weights).
  std::optional<double> train_epoch(std::size_t epoch, std::size_t planned,
                                    const std::function<bool(const StepReport&)>& progress);

  const EncoderConfig& encoder_config() const noexcept { return encoder_->config(); }
  // The averaged weights where the configuration asks for an average. `encoder` has this configuration and as many
  // items. Items that no sequence holds get zero rows: the model knows nothing about them.
  void copy_weights(SequenceEncoder<float>& encoder);

  std::size_t num_items() const noexcept { return encoder_->items().rows(); }
  std::uint64_t steps() const noexcept { return adam_.steps(); }
  // Calls write(span) for every array that training changes, in a fixed order, and read(span) for the same ones to fill
  // them as they were after `steps` steps: training then goes on to the same bits.
  template <class Write>
  void write_state(Write& write) const {
    visit_arrays(*this, adam_.state(), write);
  }
  template <class Read>
  void read_state(std::size_t steps, Read& read) {
    AdamState adam = adam_.state();
    adam.rates.resize(steps);
    visit_arrays(*this, adam, read);
    adam_.restore(std::move(adam));
  }

 private:
  template <class Self, class State, class Visit>
  static void visit_arrays(Self& self, State& adam, Visit& visit) {
    visit(std::span(adam.rates));
    visit(std::span(adam.dense_m));
    visit(std::span(adam.dense_v));
    visit(std::span(adam.row_m));
    visit(std::span(adam.row_v));
    visit(std::span(adam.row_steps));
    visit(self.encoder_->weights());
    EmbeddingTable<float>& rows = self.encoder_->items();
    for (std::size_t c = 0; c < rows.num_chunks(); ++c) visit(rows.chunk(c));
    visit(std::span(self.average_));
    for (std::size_t c = 0; c < self.average_items_.num_chunks(); ++c) visit(self.average_items_.chunk(c));
  }
  void begin_average();
  double learning_rate_scale(std::size_t step, std::size_t steps) const;
  void update_average();
  // Throw Error(non_finite) naming parameter, epoch and step.
  void check_gradient(double loss, std::size_t epoch, std::size_t step) const;
  void check_weights(std::size_t epoch, std::size_t step) const;
  void check_ranks(std::size_t epoch) const;
  bool stopped(bool here);

  const TrainerConfig& config_;
  const Histories& histories_;
  Communicator* ranks_ = nullptr;  // null: there is one
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
