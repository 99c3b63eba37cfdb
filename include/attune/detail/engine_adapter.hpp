// SPDX-License-Identifier: Apache-2.0
#pragma once

// An Engine behind the virtual boundary.

#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "attune/serving/engine.hpp"

namespace attune::inline v0_1 {

namespace detail {

template <class Engine>
class EngineAdapter final : public EngineInterface {
 public:
  explicit EngineAdapter(Engine engine) : engine_(std::move(engine)) {}

  std::size_t size() const noexcept override { return engine_.size(); }
  ScoreKind kind() const noexcept override { return engine_.kind(); }
  bool scorable(ItemHandle item) const noexcept override { return engine_.scorer().scorable(item); }
  std::unique_ptr<EngineState> make_state(StateStorage storage) const override { return engine_.make_state(storage); }
  bool renew(EngineState& state, StateStorage storage) const noexcept override { return engine_.renew(state, storage); }

  EngineAnswer recommend(HistoryView history, const Context& context, std::span<const std::uint64_t> eligible,
                         std::span<const float> additive, std::size_t k, EngineState* state,
                         Workspace& workspace) const override {
    return engine_.recommend(history, context, eligible, k, state, workspace, additive);
  }
  bool batches() const noexcept override { return engine_.batches(); }
  std::span<const float> user_vector(HistoryView history, const Context& context, EngineState* state,
                                     Workspace& workspace) const override {
    return engine_.user_vector(history, context, state, workspace);
  }
  void top_k_batch(std::span<BatchedQuery> queries, std::span<const std::uint64_t> eligible,
                   Workspace& workspace) const override {
    engine_.top_k_batch(queries, eligible, workspace);
  }
  Source score(HistoryView history, const Context& context, std::span<const ItemHandle> handles,
               std::span<float> scores, EngineState* state, Workspace& workspace) const override {
    return engine_.score(history, context, handles, scores, state, workspace);
  }
  EngineAnswer recommend_beside(ItemHandle item, float& score, HistoryView history, const Context& context,
                                std::span<const std::uint64_t> eligible, std::size_t k,
                                Workspace& workspace) const override {
    return engine_.recommend_beside(item, score, history, context, eligible, k, workspace);
  }
  void attributions(std::span<float> attributions, HistoryView history, const Context& context,
                    std::span<const ItemHandle> items, std::span<const float> shares,
                    Workspace& workspace) const override {
    engine_.attributions(attributions, history, context, items, shares, workspace);
  }
  std::optional<Neighbours> similar(ItemHandle item, std::span<const std::uint64_t> eligible, std::size_t k,
                                    Workspace& workspace) const override {
    if constexpr (requires { Neighbours(engine_.scorer().similar(item, eligible, k, workspace)); }) {
      if (scorable(item)) return engine_.scorer().similar(item, eligible, k, workspace);
    }
    return std::nullopt;
  }
  std::size_t dim() const noexcept override { return engine_.encoder().dim(); }
  bool vector(ItemHandle item, std::span<float> vector) const override {
    if constexpr (requires { engine_.scorer().vector(item, vector); }) return engine_.scorer().vector(item, vector);
    return false;
  }
  std::shared_ptr<const EngineInterface> with_content(std::shared_ptr<const ContentRows> content) const override {
    if constexpr (requires { engine_.scorer().with_content(content); }) {
      return std::make_shared<EngineAdapter>(engine_.with_scorer(engine_.scorer().with_content(std::move(content))));
    } else {
      return nullptr;
    }
  }
  void similarities(ItemHandle item, std::span<const ItemHandle> handles, std::span<float> cosines) const override {
    if constexpr (requires { engine_.scorer().similarities(item, handles, cosines); }) {
      engine_.scorer().similarities(item, handles, cosines);
    } else {
      EngineInterface::similarities(item, handles, cosines);
    }
  }

 private:
  Engine engine_;
};

}  // namespace detail

}  // namespace attune::inline v0_1
