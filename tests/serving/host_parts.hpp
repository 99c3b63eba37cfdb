// SPDX-License-Identifier: Apache-2.0
#pragma once

// The least that each seam asks for, as a host would write it. tests/compile_fail misspells one member after the other.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "attune/concepts.hpp"

namespace attune::test {

struct LastItem {  // an encoder
  std::size_t dim() const { return 1; }
  bool knows(ItemHandle) const { return true; }
  void encode(std::span<float> user_vector, HistoryView history, const Context&, Workspace&) const {
    user_vector[0] = static_cast<float>(history.items.back() + 1);
  }
};

struct LastItemAlong : LastItem {  // an incremental encoder
  struct State {
    float last = 0;
    std::size_t memory_bytes() const { return sizeof(State); }
    void reset() { last = 0; }
  };
  bool cacheable() const { return true; }
  State make_state() const { return {}; }
  void advance(State& state, HistoryView history, Workspace&) const {
    state.last = static_cast<float>(history.items.back() + 1);
  }
  void user_vector(std::span<float> vector, const State& state, const Context&, Workspace&) const {
    vector[0] = state.last;
  }
};

struct Nearest {  // a scorer: the closer a handle to the last item, the better
  std::size_t items;
  std::size_t size() const { return items; }
  ScoreKind kind() const { return ScoreKind::dot; }
  bool scorable(ItemHandle item) const { return item < items; }
  float of(const Query& query, ItemHandle item) const {
    return -std::abs(query.user_vector[0] - 1 - static_cast<float>(item));
  }
  std::span<const ScoredHandle> top_k(const Query& query, std::span<const std::uint64_t> eligible,
                                      std::span<const float>, std::size_t k, Workspace& workspace) const {
    workspace.top.clear();
    for (ItemHandle i = 0; i < items; ++i) {
      if (eligible[i / 64] >> (i % 64) & 1u) workspace.top.push_back({i, of(query, i)});
    }
    std::ranges::sort(workspace.top, ranks_before);
    return std::span(workspace.top).first(std::min(k, workspace.top.size()));
  }
  void score(const Query& query, std::span<const ItemHandle> handles, std::span<const float>, std::span<float> scores,
             Workspace&) const {
    for (std::size_t i = 0; i < handles.size(); ++i) scores[i] = of(query, handles[i]);
  }
};

struct InOrder {  // a cold start
  Source source(HistoryView, const Context&) const { return Source::content; }
  std::span<const ScoredHandle> top_k(HistoryView, const Context&, std::span<const std::uint64_t> eligible,
                                      std::size_t k, Workspace& workspace) const {
    workspace.top.clear();
    for (ItemHandle i = 0; i < eligible.size() * 64 && workspace.top.size() < k; ++i) {
      if (eligible[i / 64] >> (i % 64) & 1u) workspace.top.push_back({i, 0.0f});
    }
    return workspace.top;
  }
  void score(HistoryView, const Context&, std::span<const ItemHandle>, std::span<float> scores, Workspace&) const {
    std::ranges::fill(scores, 0.0f);
  }
};

struct Alike {  // a scoring model
  std::size_t num_items() const { return 1; }
  auto session() const {
    return [](HistoryView, const Context&, std::span<float> scores) { std::ranges::fill(scores, 0.0f); };
  }
};

}  // namespace attune::test
