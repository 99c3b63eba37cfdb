// SPDX-License-Identifier: Apache-2.0
#pragma once

// The one virtual boundary of a request: Recommender on one side, Engine<...> with the host's types on the other.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "attune/data/id_map.hpp"
#include "attune/model/workspace.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

class ContentRows;

// What an engine answers. `items` points into the workspace.
struct EngineAnswer {
  std::span<const ScoredHandle> items;
  Source source = Source::model;
  bool blended = false;  // the model scored, and the cold start added its terms

  // Who decides which items can be in the answer.
  Source ranked_by() const noexcept { return blended ? Source::model : source; }
  // Whether scores are the model's own.
  bool of_model_alone() const noexcept { return source == Source::model && !blended; }
};

namespace detail {

// One user's cache. Only the engine that made it can read it, but it may outlive that engine.
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
  virtual std::unique_ptr<EngineState> make_state(StateStorage storage) const = 0;
  // Makes a state of another engine a fresh one of this; false, and nothing done, where they differ.
  virtual bool renew(EngineState&, StateStorage) const noexcept { return false; }
  virtual EngineAnswer recommend(HistoryView history, const Context& context, std::span<const std::uint64_t> eligible,
                                 std::span<const float> additive, std::size_t k, EngineState* state,
                                 Workspace& workspace) const = 0;
  // Many requests at once, where batches(): each is encoded, then all are ranked together. An empty vector is for
  // recommend() to answer; it is valid until the workspace is used again.
  virtual bool batches() const noexcept { return false; }
  virtual std::span<const float> user_vector(HistoryView, const Context&, EngineState*, Workspace&) const { return {}; }
  virtual void top_k_batch(std::span<BatchedQuery>, std::span<const std::uint64_t>, Workspace&) const {}
  virtual Source score(HistoryView history, const Context& context, std::span<const ItemHandle> handles,
                       std::span<float> scores, EngineState* state, Workspace& workspace) const = 0;
  // For explanations, as of Engine; an engine that is never explained has none.
  virtual EngineAnswer recommend_beside(ItemHandle, float&, HistoryView, const Context&, std::span<const std::uint64_t>,
                                        std::size_t, Workspace&) const {
    return {};
  }
  virtual void attributions(std::span<float>, HistoryView, const Context&, std::span<const ItemHandle>,
                            std::span<const float>, Workspace&) const {}
  // The k eligible items nearest to `item`; nothing where the scorer compares no items or has no vector of this one.
  virtual std::optional<Neighbours> similar(ItemHandle item, std::span<const std::uint64_t> eligible, std::size_t k,
                                            Workspace& workspace) const = 0;
  // The vector [dim] of an item that scores are made of; false where it has none or the scorer does not say.
  virtual std::size_t dim() const noexcept { return 0; }
  virtual bool vector(ItemHandle, std::span<float>) const { return false; }
  // The same engine with vectors of content for items that its model does not have, in the place of those it had; null
  // where its scorer takes none.
  virtual std::shared_ptr<const EngineInterface> with_content(std::shared_ptr<const ContentRows>) const {
    return nullptr;
  }
  // cosines [handles]: of the vector of the item with each of theirs, 0 where either has none or nobody compares.
  virtual void similarities(ItemHandle, std::span<const ItemHandle>, std::span<float> cosines) const {
    for (float& cosine : cosines) cosine = 0;
  }
};

// A host's engine on its way into a Recommender (serving/make_recommender.hpp).
struct EngineParts {
  std::unique_ptr<const EngineInterface> engine;
  IdMap item_ids;  // of the handles [0, engine->size())
  std::string version;
  IdKind user_ids = IdKind::string;
};

}  // namespace detail
}  // namespace attune::inline v0_1
