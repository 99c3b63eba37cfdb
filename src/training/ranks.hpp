// SPDX-License-Identifier: Apache-2.0
#pragma once

// How several ranks train one model: rank 0 says what comes next, and the others do the same beside it.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "attune/training/communicator.hpp"
#include "attune/training/trainer.hpp"
#include "training/learner.hpp"

namespace attune::inline v0_1::detail {

struct Order {
  enum class Kind : std::uint64_t { state, epoch, refit, done };
  Kind kind = Kind::epoch;
  std::uint64_t epoch = 0, planned = 0;
};

// Throws at all ranks alike: invalid_config (fewer gradient slots than ranks; other settings at a rank), invalid_data
// (other histories or queries), unsupported (another version or instruction-set level), naming rank and field.
void require_same_training(Communicator& ranks, const TrainerConfig& config, const Histories& train,
                           const EvaluationQueries& validation);

// The learner of rank 0 at all ranks. Returns the steps that it has made.
std::uint64_t share_state(Communicator& ranks, Learner& learner);

// Learner::train_epoch(), with nothing too where the weights diverge.
std::optional<double> refit_epoch(Learner& learner, std::size_t epoch, std::size_t planned,
                                  const std::function<bool(const StepReport&)>& progress);

// At rank 0. Lets the others go at the end, whatever ends it, but for what ends them as well.
class Lead {
 public:
  explicit Lead(Communicator* ranks) : ranks_(ranks) {}  // null: there are no others
  ~Lead();
  Lead(const Lead&) = delete;
  Lead& operator=(const Lead&) = delete;

  void tell(const Order& order);
  // What throws here throws at all ranks.
  template <class Work>
  auto together(const Order& order, const Work& work) {
    together_ = true;
    tell(order);
    auto result = work();
    together_ = false;
    return result;
  }

 private:
  Communicator* ranks_;
  bool together_ = false;
};

// At the other ranks: what rank 0 says, until it is done. `model` has all that validation needs beside an encoder.
void follow(Communicator& ranks, const TrainerConfig& config, const Histories& train,
            const EvaluationQueries& validation, TrainedModel model, Executor& executor);

}  // namespace attune::inline v0_1::detail
