// SPDX-License-Identifier: Apache-2.0
#pragma once

// The request path, once: history -> encoder -> user vector -> scorer -> k handles, with the cold start as the side
// door. A constrained template over the three seams; it knows handles, not ids or users. Immutable; const members are
// safe from any number of threads, each with its own workspace; nothing is allocated once workspace and answer are
// warm.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "attune/concepts.hpp"
#include "attune/detail/engine_interface.hpp"
#include "attune/model/count_model.hpp"

namespace attune::inline v0_1 {

template <Encoder E, Scorer S, ColdStart C>
class Engine {
 public:
  // `additive`, if given, adds blend_weight * its term (CountModel::to_terms) per item to every score of the model.
  Engine(E encoder, S scorer, C cold_start, std::shared_ptr<const CountModel> additive = nullptr,
         float blend_weight = 0.0f);

  std::size_t size() const noexcept { return scorer_.size(); }  // handles it can rank
  ScoreKind kind() const noexcept { return additive_ ? ScoreKind::blend : scorer_.kind(); }
  const E& encoder() const noexcept { return encoder_; }
  const S& scorer() const noexcept { return scorer_; }
  const C& cold_start() const noexcept { return cold_start_; }

  // The same engine with another scorer, where its parts can be copied.
  Engine with_scorer(S scorer) const {
    return Engine(encoder_, std::move(scorer), cold_start_, additive_, blend_weight_);
  }

  // A user's cache for this engine; null where the encoder cannot carry one. An encoder with one way to store a state
  // (make_state() alone) keeps to it.
  std::unique_ptr<detail::EngineState> make_state(StateStorage storage = StateStorage::float32) const;
  // Makes a state of another engine a fresh one of this, in the memory that it has. False, and nothing done, where the
  // encoder's fits(state, storage) is, or it has none.
  bool renew(detail::EngineState& state, StateStorage storage = StateStorage::float32) const noexcept;

  // The best min(k, eligible) items for a history (all of it, oldest first; events the encoder does not know are
  // skipped). `state` is null or a state of this engine that holds a prefix of the same history. `additive` is empty or
  // one term per handle, added to whatever score an item has.
  EngineAnswer recommend(HistoryView history, const Context& context, std::span<const std::uint64_t> eligible,
                         std::size_t k, detail::EngineState* state, Workspace& workspace,
                         std::span<const float> additive = {}) const;
  // The same in two steps, for many requests at once: what recommend ranks by, in the workspace (empty where the cold
  // start answers), and the scorer's answers to it. `batches` says whether that pays.
  bool batches() const noexcept;
  std::span<const float> user_vector(HistoryView history, const Context& context, detail::EngineState* state,
                                     Workspace& workspace) const;
  void top_k_batch(std::span<BatchedQuery> queries, std::span<const std::uint64_t> eligible,
                   Workspace& workspace) const;
  // The scores recommend would give to these handles; -infinity for what it would never return.
  Source score(HistoryView history, const Context& context, std::span<const ItemHandle> handles,
               std::span<float> scores, detail::EngineState* state, Workspace& workspace) const;
  // recommend without a state or terms, and the score of an item beside it, from one encode.
  EngineAnswer recommend_beside(ItemHandle item, float& score, HistoryView history, const Context& context,
                                std::span<const std::uint64_t> eligible, std::size_t k, Workspace& workspace) const;
  // attributions [history]: about how much each event adds to the sum of shares[i] times the score of items[i], which
  // have one, for choosing events that are worth leaving out. Zeros where neither encoder, counts nor cold start can
  // say. Allocates.
  void attributions(std::span<float> attributions, HistoryView history, const Context& context,
                    std::span<const ItemHandle> items, std::span<const float> shares, Workspace& workspace) const;

 private:
  // What the scorer ranks for, in the workspace. The user vector is empty where the encoder has nothing to say.
  Query encode(HistoryView history, const Context& context, detail::EngineState* state, Workspace& workspace) const;
  HistoryView known_events(HistoryView history, Workspace& workspace) const;
  // Rocchio (1971): from a user vector q, |q| * 0.25 * the mean of w_i * d_i / |d_i| over the disliked items that have
  // a vector d_i, w_i their weights.
  void move_away(std::span<float> user_vector, std::span<const Dislike> disliked) const;
  // The terms of the blend, with those of a request.
  std::span<const float> additive_terms(HistoryView history, std::span<const float> additive,
                                        Workspace& workspace) const;
  // What the cold start adds to the model's scores of a short history, with the terms of a request.
  ColdTerms terms_beside(HistoryView history, const Context& context, std::span<const float> additive,
                         Workspace& workspace) const;
  // What is added to the scores of the cold start, that of a request among it; empty: nothing.
  std::span<const float> cold_terms(const Query& query, std::span<const float> additive, Workspace& workspace) const;
  void score_cold(const Query& query, std::span<const ItemHandle> handles, std::span<float> scores,
                  Workspace& workspace) const;
  std::span<const ScoredHandle> cold_top_k(const Query& query, std::span<const std::uint64_t> eligible,
                                           std::span<const float> additive, std::size_t k, Workspace& workspace) const;

  E encoder_;
  S scorer_;
  C cold_start_;
  std::shared_ptr<const CountModel> additive_;
  float blend_weight_;
};

}  // namespace attune::inline v0_1

#include "attune/detail/engine_impl.hpp"
