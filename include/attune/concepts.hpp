// SPDX-License-Identifier: Apache-2.0
#pragma once

// THE SEAMS. What the library asks of a part before it lets it in; each asks only for what is called. The defaults are
// SasrecEncoder, CosineScorer<float>, CountsColdStart, ThreadPool, and no event store (serving/event_store.hpp). Spans
// at the seams: no library's matrix type is part of a contract. All const members must be safe from any number of
// threads.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "attune/model/workspace.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

// Turns a history into a user vector of dim() floats. knows(item) says which events it can read; the engine passes only
// those. An all-zero vector sends the request to the cold start, and so does an empty history, unless the encoder has
// needs_history() and it says no: one that knows users by context.user. With attributions as
// SequenceEncoder's, and a scorer's gradient(d_user_vector, user_vector, item) as CosineScorer's, explanations look at
// the events that matter most; without, at the newest.
template <class E>
concept Encoder = requires(const E& encoder, std::span<float> user_vector, HistoryView history, const Context& context,
                           Workspace& workspace, ItemHandle item) {
  { encoder.dim() } -> std::convertible_to<std::size_t>;
  { encoder.knows(item) } -> std::convertible_to<bool>;
  encoder.encode(user_vector, history, context, workspace);
};

// An encoder that can carry a per-user state forward, one event at a time, exactly. cacheable() may still say no. One
// whose states can be stored in several ways has make_state(StateStorage) too; one that can go on with states of an
// encoder before it, once they are reset(), says of which by fits(state, StateStorage).
template <class E>
concept IncrementalEncoder = Encoder<E> &&
    requires(const E& encoder, typename E::State& state, std::span<float> user_vector, HistoryView history,
             const Context& context, Workspace& workspace) {
  { encoder.cacheable() } -> std::convertible_to<bool>;
  { encoder.make_state() } -> std::same_as<typename E::State>;
  { state.memory_bytes() } -> std::convertible_to<std::size_t>;
  state.reset();
  encoder.advance(state, history, workspace);
  encoder.user_vector(user_vector, state, context, workspace);
};

// Ranks item handles [0, size()). `eligible` is a bitmap (bit h of word h / 64) applied in the scan; `additive` is
// empty or one term per handle added to the score. top_k returns min(k, eligible and scorable) items in the order of
// ranks_before, in memory of the workspace. score gives the same numbers for chosen handles; what it cannot score is
// -infinity. scorable(item) is false for rows it never returns (zero, non-finite). One that compares items too has
// similar(item, eligible, k, workspace), which gives Neighbours and is called for scorable items, and for diverse lists
// similarities(item, handles, cosines): of its vector with each of theirs, 0 where either has none.
// With subtract(user_vector, item, amount), which takes `amount` times the unit vector of a scorable item away from the
// vector of a query, items like those that a user dislikes are ranked lower; without, only these are left out.
// With num_trained(), has_content() and visit_content(visit), which calls visit(item, wanted) for every item whose
// vector was not trained, counts, which cannot know these, give them `wanted` times the mean of their scores.
// A scorer may also answer many queries at once: batches() says whether that is the faster way, top_k_batch(queries,
// eligible, workspace) as CosineScorer's.
template <class S>
concept Scorer = requires(const S& scorer, const Query& query, std::span<const std::uint64_t> eligible,
                          std::span<const float> additive, std::size_t k, Workspace& workspace,
                          std::span<const ItemHandle> handles, std::span<float> scores, ItemHandle item) {
  { scorer.size() } -> std::convertible_to<std::size_t>;
  { scorer.kind() } -> std::convertible_to<ScoreKind>;
  { scorer.scorable(item) } -> std::convertible_to<bool>;
  { scorer.top_k(query, eligible, additive, k, workspace) } -> std::convertible_to<std::span<const ScoredHandle>>;
  scorer.score(query, handles, additive, scores, workspace);
};

// Answers what the model cannot: unknown user, empty history, nothing the encoder knows. Ranks every eligible handle it
// is asked for, k at most, and says which source spoke. score gives the same numbers for chosen handles.
// A cold start may also take terms as a scorer does: top_k(history, context, eligible, additive, k, workspace).
// Without, the engine asks for the scores of all items where a request has terms. One that knows better than a model
// what users with few events want has beside_model(history, context, size, workspace): ColdTerms for handles [0, size).
template <class C>
concept ColdStart = requires(const C& cold_start, HistoryView history, const Context& context,
                             std::span<const std::uint64_t> eligible, std::size_t k, Workspace& workspace,
                             std::span<const ItemHandle> handles, std::span<float> scores) {
  { cold_start.source(history, context) } -> std::convertible_to<Source>;
  { cold_start.top_k(history, context, eligible, k, workspace) } -> std::convertible_to<std::span<const ScoredHandle>>;
  cold_start.score(history, context, handles, scores, workspace);
};

// Anything evaluate() can measure: scores [num_items()] of every item for a history; NaN ranks last. `session()` gives
// one thread's own handle to the model, so that scratch and states are reused from query to query.
template <class M>
concept ScoringModel = requires(const M& model, HistoryView history, const Context& context, std::span<float> scores) {
  { model.num_items() } -> std::convertible_to<std::size_t>;
  model.session()(history, context, scores);
};

}  // namespace attune::inline v0_1
