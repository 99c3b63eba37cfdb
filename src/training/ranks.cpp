// SPDX-License-Identifier: Apache-2.0
#include "training/ranks.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "model/config_json.hpp"
#include "training/training_state.hpp"
#include "training/validation.hpp"

namespace attune::inline v0_1::detail {

void require_same_training(Communicator& ranks, const TrainerConfig& config, const Histories& train,
                           const EvaluationQueries& validation) {
  const std::string own = text_of(identity_of(config, train, validation));
  const auto all = ranks.gather(std::as_bytes(std::span(own)));
  const auto parsed = [&](std::size_t rank) {
    return parse_object({reinterpret_cast<const char*>(all[rank].data()), all[rank].size()}, "rank");
  };
  const Json expected = parsed(0);
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    require_same(expected, parsed(rank), "rank " + std::to_string(rank) + ": its training is not that of rank 0");
  }
  if (config.gradient_slots >= ranks.size()) return;
  throw Error(ErrorCode::invalid_config, "gradient_slots: expected at least one for each of " +
                                             std::to_string(ranks.size()) + " ranks, found " +
                                             std::to_string(config.gradient_slots));
}

std::uint64_t share_state(Communicator& ranks, Learner& learner) {
  std::uint64_t steps = learner.steps();
  ranks.broadcast(std::as_writable_bytes(std::span(&steps, 1)));
  auto share = [&](auto values) { ranks.broadcast(std::as_writable_bytes(values)); };
  learner.read_state(steps, share);
  return steps;
}

std::optional<double> refit_epoch(Learner& learner, std::size_t epoch, std::size_t planned,
                                  const std::function<bool(const StepReport&)>& progress) {
  try {
    return learner.train_epoch(epoch, planned, progress);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::non_finite) return std::nullopt;
    throw;
  }
}

Lead::~Lead() {
  if (together_) return;
  try {
    tell({.kind = Order::Kind::done});
  } catch (...) {  // nothing reaches them any more
  }
}

void Lead::tell(const Order& order) {
  Order said = order;
  if (ranks_) ranks_->broadcast(std::as_writable_bytes(std::span(&said, 1)));
}

void follow(Communicator& ranks, const TrainerConfig& config, const Histories& train,
            const EvaluationQueries& validation, TrainedModel model, Executor& executor) {
  const EvaluationQueries queries = validation_sample(validation, config);
  const EvaluationOptions measuring = validation_options(config, executor);
  std::optional<Learner> learner(std::in_place, config, train, executor, &ranks);
  const std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(learner->encoder_config(), learner->num_items());
  model.encoder = encoder;
  std::optional<Histories> refitted;
  EpochReport report;  // of rank 0 alone
  for (;;) {
    Order order;
    ranks.broadcast(std::as_writable_bytes(std::span(&order, 1)));
    switch (order.kind) {
      case Order::Kind::state: share_state(ranks, *learner); break;
      case Order::Kind::epoch:
        if (refitted) {
          refit_epoch(*learner, order.epoch, order.planned, {});
          break;
        }
        if (!learner->train_epoch(order.epoch, order.planned, {})) break;
        learner->copy_weights(*encoder);
        validate(report, model, queries, measuring, &ranks);
        break;
      case Order::Kind::refit:
        learner.reset();  // it takes as much memory as the next one
        refitted = with_targets(train, validation);
        learner.emplace(config, *refitted, executor, &ranks);
        break;
      case Order::Kind::done: return;
    }
  }
}

}  // namespace attune::inline v0_1::detail
