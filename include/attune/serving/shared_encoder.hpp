// SPDX-License-Identifier: Apache-2.0
#pragma once

// A trained encoder inside an engine of the host's own: TrainedModel::encoder is shared, and an engine takes its parts
// by value. Const members are safe from any number of threads.

#include <memory>
#include <span>
#include <utility>

#include "attune/concepts.hpp"
#include "attune/model/sequence_encoder.hpp"

namespace attune::inline v0_1 {

template <class E>
class SharedEncoder {
 public:
  using State = typename E::State;

  // Precondition: not null.
  explicit SharedEncoder(std::shared_ptr<const E> encoder) : encoder_(std::move(encoder)) {}

  std::size_t dim() const noexcept { return encoder_->dim(); }
  bool knows(ItemHandle item) const noexcept { return encoder_->knows(item); }
  void encode(std::span<float> user_vector, HistoryView history, const Context& context, Workspace& workspace) const {
    encoder_->encode(user_vector, history, context, workspace);
  }
  void attributions(std::span<float> attributions, HistoryView history, const Context& context,
                    std::span<const float> d_user_vector, Workspace& workspace) const requires
      requires(const E& encoder) {
    encoder.attributions(attributions, history, context, d_user_vector, workspace);
  }
  { encoder_->attributions(attributions, history, context, d_user_vector, workspace); }

  bool cacheable() const noexcept { return encoder_->cacheable(); }
  State make_state() const { return encoder_->make_state(); }
  State make_state(StateStorage storage) const requires requires(const E& encoder) { encoder.make_state(storage); }
  { return encoder_->make_state(storage); }
  bool fits(const State& state, StateStorage storage) const noexcept requires requires(const E& encoder) {
    encoder.fits(state, storage);
  }
  { return encoder_->fits(state, storage); }
  void advance(State& state, HistoryView history, Workspace& workspace) const {
    encoder_->advance(state, history, workspace);
  }
  void user_vector(std::span<float> user_vector, State& state, const Context& context, Workspace& workspace) const {
    encoder_->user_vector(user_vector, state, context, workspace);
  }

 private:
  std::shared_ptr<const E> encoder_;
};
static_assert(IncrementalEncoder<SharedEncoder<SequenceEncoder<float>>>);

}  // namespace attune::inline v0_1
