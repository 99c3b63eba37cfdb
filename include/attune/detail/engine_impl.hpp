// SPDX-License-Identifier: Apache-2.0
#pragma once

// Bodies of Engine.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "attune/detail/top_k.hpp"
#include "attune/serving/engine.hpp"

namespace attune::inline v0_1 {

namespace detail {

template <class State>
class EncoderState final : public EngineState {
 public:
  explicit EncoderState(State state) : state_(std::move(state)) {}
  std::size_t memory_bytes() const noexcept override { return state_.memory_bytes(); }
  void reset() noexcept override { state_.reset(); }
  State& get() noexcept { return state_; }

 private:
  State state_;
};

template <class Encoder>
bool needs_history(const Encoder& encoder) noexcept {
  if constexpr (requires { static_cast<bool>(encoder.needs_history()); }) return encoder.needs_history();
  return true;
}

inline float length_of(std::span<const float> vector) noexcept {
  double square = 0;
  for (const float x : vector) square += static_cast<double>(x) * static_cast<double>(x);
  return static_cast<float>(std::sqrt(square));
}

// Of the scores of counts, what an item has on average of those that were trained.
inline float mean_of(std::span<const float> scores, std::size_t trained) noexcept {
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
  return trained == 0 ? 0.0f : static_cast<float>(sum / static_cast<double>(trained));
}

// A vector that points somewhere: finite, and longer than rounding and denormals account for.
inline bool has_direction(std::span<const float> vector) noexcept {
  float largest = 0;
  for (const float x : vector) {
    if (!std::isfinite(x)) return false;
    largest = std::max(largest, std::abs(x));
  }
  return largest >= 1e-30f;
}

}  // namespace detail

template <Encoder E, Scorer S, ColdStart C>
Engine<E, S, C>::Engine(E encoder, S scorer, C cold_start, std::shared_ptr<const CountModel> additive,
                        float blend_weight)
    : encoder_(std::move(encoder)),
      scorer_(std::move(scorer)),
      cold_start_(std::move(cold_start)),
      additive_(std::move(additive)),
      blend_weight_(blend_weight) {}

template <Encoder E, Scorer S, ColdStart C>
std::unique_ptr<detail::EngineState> Engine<E, S, C>::make_state(StateStorage storage) const {
  if constexpr (IncrementalEncoder<E>) {
    using State = detail::EncoderState<typename E::State>;
    if (!encoder_.cacheable()) return nullptr;
    if constexpr (requires { encoder_.make_state(storage); })
      return std::make_unique<State>(encoder_.make_state(storage));
    else
      return std::make_unique<State>(encoder_.make_state());
  }
  return nullptr;
}

template <Encoder E, Scorer S, ColdStart C>
bool Engine<E, S, C>::renew(detail::EngineState& state, StateStorage storage) const noexcept {
  if constexpr (IncrementalEncoder<E>) {
    if constexpr (requires(const typename E::State& other) { static_cast<bool>(encoder_.fits(other, storage)); }) {
      auto* const own = dynamic_cast<detail::EncoderState<typename E::State>*>(&state);
      if (own == nullptr || !encoder_.cacheable() || !encoder_.fits(own->get(), storage)) return false;
      state.reset();
      return true;
    }
  }
  return false;
}

template <Encoder E, Scorer S, ColdStart C>
HistoryView Engine<E, S, C>::known_events(HistoryView history, Workspace& workspace) const {
  const auto known = [&](ItemHandle item) { return static_cast<bool>(encoder_.knows(item)); };
  if (std::all_of(history.items.begin(), history.items.end(), known)) return history;
  const auto keep = [&](auto& column, const auto& source) {
    column.clear();
    for (std::size_t i = 0; i < source.size(); ++i) {
      if (known(history.items[i])) column.push_back(source[i]);
    }
  };
  keep(workspace.items, history.items);
  keep(workspace.times, history.times);
  keep(workspace.kinds, history.kinds);
  keep(workspace.weights, history.weights);
  return {workspace.items, workspace.times, workspace.kinds, workspace.weights};
}

template <Encoder E, Scorer S, ColdStart C>
Query Engine<E, S, C>::encode(HistoryView history, const Context& context, detail::EngineState* state,
                              Workspace& workspace) const {
  Query query{{}, known_events(history, workspace), context};
  if (query.context.now == kNoTime && !history.times.empty()) query.context.now = history.times.back();
  if (query.history.empty() && detail::needs_history(encoder_)) return query;

  const std::span<float> user_vector = workspace.user_vector.take(encoder_.dim());
  bool encoded = false;
  if constexpr (IncrementalEncoder<E>) {
    if (state != nullptr && !query.history.empty()) {
      auto& cache = static_cast<detail::EncoderState<typename E::State>&>(*state).get();
      encoder_.advance(cache, query.history, workspace);
      encoder_.user_vector(user_vector, cache, query.context, workspace);
      encoded = true;
    }
  }
  if (!encoded) encoder_.encode(user_vector, query.history, query.context, workspace);
  if (!context.disliked.empty()) move_away(user_vector, context.disliked);
  if (detail::has_direction(user_vector)) query.user_vector = user_vector;
  return query;
}

// What rounding leaves of a vector that cancels out says nothing, and becomes zero.
template <Encoder E, Scorer S, ColdStart C>
void Engine<E, S, C>::move_away(std::span<float> user_vector, std::span<const Dislike> disliked) const {
  if constexpr (requires { scorer_.subtract(user_vector, ItemHandle{}, 0.0f); }) {
    constexpr float kBeta = 0.25f, kRounding = 1e-5f;
    const auto has_vector = [&](const Dislike& one) { return static_cast<bool>(scorer_.scorable(one.item)); };
    const auto count = static_cast<float>(std::ranges::count_if(disliked, has_vector));
    if (count == 0 || !detail::has_direction(user_vector)) return;
    const float length = detail::length_of(user_vector);
    for (const Dislike& one : disliked) {
      if (has_vector(one)) scorer_.subtract(user_vector, one.item, length * kBeta * one.weight / count);
    }
    if (detail::length_of(user_vector) < kRounding * length) std::ranges::fill(user_vector, 0.0f);
  }
}

template <Encoder E, Scorer S, ColdStart C>
std::span<const float> Engine<E, S, C>::additive_terms(HistoryView history, std::span<const float> additive,
                                                       Workspace& workspace) const {
  if (!additive_) return additive;
  const std::size_t counted = additive_->num_items();
  const std::span<float> terms = workspace.additive.take(std::max(size(), counted));
  additive_->score_all(history, terms.first(counted), workspace);
  std::fill(terms.begin() + static_cast<std::ptrdiff_t>(counted), terms.end(), 0.0f);
  if constexpr (requires { scorer_.visit_content([](ItemHandle, float) {}); }) {
    const float mean = scorer_.has_content() ? detail::mean_of(terms.first(counted), scorer_.num_trained()) : 0.0f;
    scorer_.visit_content([&](ItemHandle item, float wanted) { terms[item] = mean * wanted; });
  }
  additive_->to_terms(terms);
  for (float& term : terms) term *= blend_weight_;
  for (std::size_t i = 0; i < additive.size(); ++i) terms[i] += additive[i];
  return terms.first(size());
}

// Items that only content speaks for are, to a cold start, like others on average.
template <Encoder E, Scorer S, ColdStart C>
ColdTerms Engine<E, S, C>::terms_beside(HistoryView history, const Context& context, std::span<const float> additive,
                                        Workspace& workspace) const {
  if constexpr (requires { cold_start_.beside_model(history, context, size(), workspace); }) {
    const ColdTerms cold = cold_start_.beside_model(history, context, size(), workspace);
    if (cold.terms.empty()) return cold;
    if constexpr (requires { scorer_.visit_content([](ItemHandle, float) {}); }) {
      if (scorer_.has_content()) {
        const float mean = detail::mean_of(cold.terms, scorer_.num_trained());
        scorer_.visit_content([&](ItemHandle item, float) { cold.terms[item] = mean; });
      }
    }
    for (std::size_t i = 0; i < additive.size(); ++i) cold.terms[i] += additive[i];
    return cold;
  }
  return {};
}

template <Encoder E, Scorer S, ColdStart C>
std::span<const float> Engine<E, S, C>::cold_terms(const Query& query, std::span<const float> additive,
                                                   Workspace& workspace) const {
  if constexpr (requires { scorer_.visit_content([](ItemHandle, float) {}); }) {
    if (!scorer_.has_content()) return additive;
    std::vector<ItemHandle>& all = workspace.items;
    all.resize(size());
    std::iota(all.begin(), all.end(), ItemHandle{0});
    const std::span<float> terms = workspace.additive.take(size());
    cold_start_.score(query.history, query.context, all, terms, workspace);
    const float mean = detail::mean_of(terms, scorer_.num_trained());
    std::fill(terms.begin(), terms.end(), 0.0f);
    scorer_.visit_content([&](ItemHandle item, float wanted) { terms[item] = mean * wanted; });
    for (std::size_t i = 0; i < additive.size(); ++i) terms[i] += additive[i];
    return terms;
  } else {
    return additive;
  }
}

template <Encoder E, Scorer S, ColdStart C>
void Engine<E, S, C>::score_cold(const Query& query, std::span<const ItemHandle> handles, std::span<float> scores,
                                 Workspace& workspace) const {
  if (handles.empty()) return;
  const std::span<const float> terms = cold_terms(query, {}, workspace);
  cold_start_.score(query.history, query.context, handles, scores, workspace);
  for (std::size_t i = 0; i < handles.size(); ++i) {
    if (handles[i] >= size()) {
      scores[i] = -std::numeric_limits<float>::infinity();
    } else if (!terms.empty()) {
      scores[i] += terms[handles[i]];
    }
  }
}

// A cold start that takes no terms ranks everything, and what it found is put in order again.
template <Encoder E, Scorer S, ColdStart C>
std::span<const ScoredHandle> Engine<E, S, C>::cold_top_k(const Query& query, std::span<const std::uint64_t> eligible,
                                                          std::span<const float> additive, std::size_t k,
                                                          Workspace& workspace) const {
  additive = cold_terms(query, additive, workspace);
  if (additive.empty()) return cold_start_.top_k(query.history, query.context, eligible, k, workspace);
  if constexpr (requires { cold_start_.top_k(query.history, query.context, eligible, additive, k, workspace); }) {
    return cold_start_.top_k(query.history, query.context, eligible, additive, k, workspace);
  } else {
    const auto found = cold_start_.top_k(query.history, query.context, eligible, size(), workspace);
    const std::span<ScoredHandle> all = workspace.candidates.take(found.size());
    std::ranges::transform(found, all.begin(), [&](const ScoredHandle& one) -> ScoredHandle {
      return {one.item, one.score + additive[one.item]};
    });
    detail::TopK best(workspace.top, std::min(k, all.size()));
    for (const ScoredHandle& one : all) best.push(one);
    return best.finish();
  }
}

template <Encoder E, Scorer S, ColdStart C>
EngineAnswer Engine<E, S, C>::recommend(HistoryView history, const Context& context,
                                        std::span<const std::uint64_t> eligible, std::size_t k,
                                        detail::EngineState* state, Workspace& workspace,
                                        std::span<const float> additive) const {
  Query query = encode(history, context, state, workspace);
  if (query.user_vector.empty()) {
    query.history = history;
    const Source source = cold_start_.source(history, query.context);
    return {cold_top_k(query, eligible, additive, k, workspace), source, false};
  }
  const ColdTerms cold = terms_beside(history, query.context, additive, workspace);
  if (!cold.terms.empty()) additive = cold.terms;
  return {scorer_.top_k(query, eligible, additive_terms(history, additive, workspace), k, workspace), cold.source,
          !cold.terms.empty()};
}

template <Encoder E, Scorer S, ColdStart C>
bool Engine<E, S, C>::batches() const noexcept {
  if constexpr (requires { scorer_.batches(); }) return !additive_ && scorer_.batches();
  return false;
}

template <Encoder E, Scorer S, ColdStart C>
std::span<const float> Engine<E, S, C>::user_vector(HistoryView history, const Context& context,
                                                    detail::EngineState* state, Workspace& workspace) const {
  return encode(history, context, state, workspace).user_vector;
}

template <Encoder E, Scorer S, ColdStart C>
void Engine<E, S, C>::top_k_batch(std::span<BatchedQuery> queries, std::span<const std::uint64_t> eligible,
                                  Workspace& workspace) const {
  if constexpr (requires { scorer_.batches(); }) scorer_.top_k_batch(queries, eligible, workspace);
}

template <Encoder E, Scorer S, ColdStart C>
Source Engine<E, S, C>::score(HistoryView history, const Context& context, std::span<const ItemHandle> handles,
                              std::span<float> scores, detail::EngineState* state, Workspace& workspace) const {
  Query query = encode(history, context, state, workspace);
  if (!query.user_vector.empty()) {
    const ColdTerms cold = terms_beside(history, query.context, {}, workspace);
    scorer_.score(query, handles, additive_terms(history, cold.terms, workspace), scores, workspace);
    return cold.source;
  }
  query.history = history;
  score_cold(query, handles, scores, workspace);
  return cold_start_.source(history, query.context);
}

template <Encoder E, Scorer S, ColdStart C>
EngineAnswer Engine<E, S, C>::recommend_beside(ItemHandle item, float& score, HistoryView history,
                                               const Context& context, std::span<const std::uint64_t> eligible,
                                               std::size_t k, Workspace& workspace) const {
  Query query = encode(history, context, nullptr, workspace);
  if (!query.user_vector.empty()) {
    const ColdTerms cold = terms_beside(history, query.context, {}, workspace);
    const std::span<const float> terms = additive_terms(history, cold.terms, workspace);
    scorer_.score(query, {&item, 1}, terms, {&score, 1}, workspace);
    return {scorer_.top_k(query, eligible, terms, k, workspace), cold.source, !cold.terms.empty()};
  }
  query.history = history;
  score_cold(query, {&item, 1}, {&score, 1}, workspace);
  const Source source = cold_start_.source(history, query.context);
  return {cold_top_k(query, eligible, {}, k, workspace), source, false};
}

template <Encoder E, Scorer S, ColdStart C>
void Engine<E, S, C>::attributions(std::span<float> attributions, HistoryView history, const Context& context,
                                   std::span<const ItemHandle> items, std::span<const float> shares,
                                   Workspace& workspace) const {
  std::ranges::fill(attributions, 0.0f);
  const Query query = encode(history, context, nullptr, workspace);
  if (query.user_vector.empty()) {
    if constexpr (requires { cold_start_.attributions(attributions, history, context, items, shares, workspace); })
      cold_start_.attributions(attributions, history, query.context, items, shares, workspace);
    return;
  }
  if (additive_) {
    additive_->leave_one_out(attributions, history, items, shares, true, workspace);
    for (float& one : attributions) one *= blend_weight_;
  }
  if constexpr (requires(std::span<float> to, std::span<const float> from, ItemHandle item) {
                  scorer_.gradient(to, from, item);
                  encoder_.attributions(to, history, context, from, workspace);
                }) {
    const std::size_t dim = query.user_vector.size();
    std::vector<float> d_user_vector(dim), d_score(dim), of_known(query.history.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      scorer_.gradient(d_score, query.user_vector, items[i]);
      for (std::size_t d = 0; d < dim; ++d) d_user_vector[d] += shares[i] * d_score[d];
    }
    encoder_.attributions(of_known, query.history, query.context, d_user_vector, workspace);
    for (std::size_t i = 0, known = 0; i < history.size(); ++i) {
      if (encoder_.knows(history.items[i])) attributions[i] += of_known[known++];
    }
  }
}

}  // namespace attune::inline v0_1
