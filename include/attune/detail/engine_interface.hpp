// SPDX-License-Identifier: Apache-2.0
#pragma once

// The one virtual boundary of a request: Recommender on one side, Engine<...> with the host's types on the other.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "attune/model/workspace.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {
struct EngineAnswer;
}

namespace attune::inline v0_1::detail {

// One user's cache. Belongs to the engine that made it.
class EngineState {
 public:
  virtual ~EngineState() = default;
  virtual std::size_t memory_bytes() const noexcept = 0;
  virtual void reset() noexcept = 0;
};

class EngineInterface {
 public:
  virtual ~EngineInterface() = default;
  virtual std::size_t size() const noexcept = 0;
  virtual ScoreKind kind() const noexcept = 0;
  virtual bool scorable(ItemHandle item) const noexcept = 0;
  virtual std::unique_ptr<EngineState> make_state() const = 0;
  virtual EngineAnswer recommend(HistoryView history, const Context& context, std::span<const std::uint64_t> eligible,
                                 std::size_t k, EngineState* state, Workspace& workspace) const = 0;
  virtual Source score(HistoryView history, const Context& context, std::span<const ItemHandle> handles,
                       std::span<float> scores, EngineState* state, Workspace& workspace) const = 0;
  // The k most similar other items by the scorer's rows; empty where the scorer has no rows.
  virtual std::span<const ScoredHandle> similar(ItemHandle item, std::span<const std::uint64_t> eligible, std::size_t k,
                                                Workspace& workspace) const = 0;
};

}  // namespace attune::inline v0_1::detail
