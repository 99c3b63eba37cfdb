// SPDX-License-Identifier: Apache-2.0
#include "attune/model/sequence_state.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"

using namespace attune;

TEST_CASE("A cache keeps keys in groups of 16 positions and values in rows", "[model][sequence_state]") {
  constexpr std::size_t kWindow = 20, kDim = 3;
  std::vector<float> memory(KeyValueCache<float>::size(kWindow, kDim));
  const KeyValueCache<float> cache(memory.data(), kWindow, kDim);
  for (std::size_t position = 0; position < kWindow; ++position) {
    const auto tag = static_cast<float>(position);
    const float key[] = {tag, tag + 100, tag + 200};
    const float value[] = {-tag, -tag - 100, -tag - 200};
    cache.store(position, key, value);
  }
  CHECK(cache.exact.keys[(0 * kDim + 0) * 16 + 5] == 5.0f);
  CHECK(cache.exact.keys[(0 * kDim + 2) * 16 + 15] == 215.0f);
  CHECK(cache.exact.keys[(1 * kDim + 1) * 16 + 3] == 119.0f);
  CHECK(cache.exact.values[19 * kDim + 2] == -219.0f);
  CHECK(cache.exact.values + 32 * kDim == memory.data() + memory.size());
}

TEST_CASE("The blocks of a state do not share memory", "[model][sequence_state]") {
  SequenceState<float> state(2, 4, 5);
  const float ones[] = {1, 1, 1, 1}, twos[] = {2, 2, 2, 2};
  for (std::size_t position = 0; position < 5; ++position) {
    state.cache(0).store(position, ones, ones);
    state.cache(1).store(position, twos, twos);
  }
  std::copy(std::begin(twos), std::end(twos), state.hidden());
  CHECK(state.cache(0).exact.keys[4] == 1.0f);
  CHECK(state.cache(0).exact.values[4 * 4 + 3] == 1.0f);
  CHECK(state.cache(1).exact.keys[4] == 2.0f);
  CHECK(state.memory_bytes() >= (2 * 2 * 16 * 4 + 4) * sizeof(float));
}

TEST_CASE("A cache in bfloat16 keeps the nearest of them, ties to even", "[model][sequence_state]") {
  const auto kept = [](float x) {
    std::vector<std::uint16_t> memory(KeyValueCache<float>::size(3, 1));
    const KeyValueCache<float> cache(memory.data(), 3, 1);
    cache.store(2, &x, &x);
    float read[2] = {};
    cache.read(1, 1, [&]<class S>(const detail::CachedRows<S>& rows) {
      REQUIRE(sizeof(S) == 2);
      read[0] = std::bit_cast<float>(static_cast<std::uint32_t>(rows.keys[2]) << 16);
      read[1] = std::bit_cast<float>(static_cast<std::uint32_t>(rows.values[2]) << 16);
    });
    CHECK((read[0] == read[1] || std::isnan(x)));
    return read[0];
  };
  constexpr float kStep = 1.0f / 128, kInfinity = std::numeric_limits<float>::infinity();
  CHECK(kept(-1.5f) == -1.5f);
  CHECK(kept(1 + 0.49f * kStep) == 1);
  CHECK(kept(1 + 0.5f * kStep) == 1);
  CHECK(kept(1 + 0.51f * kStep) == 1 + kStep);
  CHECK(kept(1 + 1.5f * kStep) == 1 + 2 * kStep);
  CHECK(kept(-kInfinity) == -kInfinity);
  CHECK(kept(std::numeric_limits<float>::max()) == kInfinity);
  CHECK(std::isnan(kept(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("A state in bfloat16 takes half the memory, and each block knows how far on the next one lies",
          "[model][sequence_state]") {
  SequenceState<float> exact(3, 64, 200), rounded(3, 64, 200, false, StateStorage::bfloat16);
  CHECK(100 * rounded.memory_bytes() < 51 * exact.memory_bytes());
  for (SequenceState<float>* const state : {&exact, &rounded}) {
    const std::size_t next = state->cache(0).ahead;
    CHECK(state->cache(0).exact.keys + (state == &exact ? next : 0) == state->cache(1).exact.keys);
    CHECK(state->cache(0).rounded.values + (state == &rounded ? next : 0) == state->cache(1).rounded.values);
    CHECK(state->cache(1).ahead == next);
    CHECK(state->cache(2).ahead == 0);
  }
}

TEST_CASE("A state is empty until it is told what it holds, and after a reset", "[model][sequence_state]") {
  SequenceState<float> state(1, 4, 5);
  CHECK(state.length() == 0);
  state.set_range(3, 8);
  CHECK(state.start() == 3);
  CHECK(state.num_events() == 8);
  CHECK(state.length() == 5);
  state.reset();
  CHECK(state.num_events() == 0);
  CHECK(state.length() == 0);
}
