// SPDX-License-Identifier: Apache-2.0
#pragma once

// The key/value cache of one user: what an encoder remembers of the encoded suffix, so that one more event costs one
// row instead of a full pass. Not synchronised; its owner locks.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "attune/detail/kernel_table.hpp"
#include "attune/model/workspace.hpp"

namespace attune::inline v0_1 {

namespace detail {

// The nearest bfloat16, which is the upper half of a float; ties to even. NaN stays NaN.
inline std::uint16_t to_bfloat16(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace detail

// A view of what one block remembers of W positions, D wide: keys in groups of 16 positions [ceil(W / 16)][D][16], so
// that 16 scores come out of one vector; values [W][D]. In T, or else in bfloat16 (`rounded`).
template <class T>
struct KeyValueCache {
  template <class S>
  struct Part {
    S* keys = nullptr;
    S* values = nullptr;
  };
  Part<T> exact;
  Part<std::uint16_t> rounded;
  std::size_t dim;
  std::size_t ahead;  // from an element to the same one in the cache of the next block; 0: there is none

  KeyValueCache(T* memory, std::size_t window, std::size_t width, std::size_t to_next = 0) noexcept
      : exact{memory, memory + padded(window) * width}, rounded{}, dim(width), ahead(to_next) {}
  KeyValueCache(std::uint16_t* memory, std::size_t window, std::size_t width, std::size_t to_next = 0) noexcept
      : exact{}, rounded{memory, memory + padded(window) * width}, dim(width), ahead(to_next) {}
  static std::size_t size(std::size_t window, std::size_t dim) noexcept { return 2 * padded(window) * dim; }

  // Writes row `position` of both, from key [D] and value [D].
  void store(std::size_t position, const T* key, const T* value) const noexcept {
    if (rounded.keys == nullptr) {
      store(exact, position, key, value, [](T x) { return x; });
    } else {
      store(rounded, position, key, value, [](T x) { return detail::to_bfloat16(static_cast<float>(x)); });
    }
  }
  // Writes row `position` into those behind it as well, up to row `end`.
  void repeat(std::size_t position, std::size_t end) const noexcept {
    rounded.keys == nullptr ? repeat(exact, position, end) : repeat(rounded, position, end);
  }
  // Calls body(CachedRows) with what is there.
  template <class Body>
  void read(std::size_t heads, std::size_t head_dim, Body body) const {
    if (rounded.keys == nullptr) {
      body(detail::CachedRows<T>{exact.keys, exact.values, heads, head_dim, ahead});
    } else {
      body(detail::CachedRows<std::uint16_t>{rounded.keys, rounded.values, heads, head_dim, ahead});
    }
  }

 private:
  template <class S, class Convert>
  void store(const Part<S>& part, std::size_t position, const T* key, const T* value, Convert convert) const noexcept {
    S* const lane = part.keys + position / detail::kLanes * dim * detail::kLanes + position % detail::kLanes;
    for (std::size_t d = 0; d < dim; ++d) lane[d * detail::kLanes] = convert(key[d]);
    std::transform(value, value + dim, part.values + position * dim, convert);
  }
  template <class S>
  void repeat(const Part<S>& part, std::size_t position, std::size_t end) const noexcept {
    const auto lane = [&](std::size_t row) {
      return part.keys + row / detail::kLanes * dim * detail::kLanes + row % detail::kLanes;
    };
    for (std::size_t row = position + 1; row < end; ++row) {
      for (std::size_t d = 0; d < dim; ++d) lane(row)[d * detail::kLanes] = lane(position)[d * detail::kLanes];
      std::copy_n(part.values + position * dim, dim, part.values + row * dim);
    }
  }
  static std::size_t padded(std::size_t window) noexcept {
    return (window + detail::kLanes - 1) / detail::kLanes * detail::kLanes;
  }
};

// One cache per block, and `hidden` [D]: the last row after the last block, before the final norm. For an encoder that
// reads times, those of the events as well. Where the last row is open, it and the one before it, which may wait for
// it, are made of the two newest events.
template <class T>
class SequenceState {
 public:
  SequenceState() = default;
  SequenceState(std::size_t num_blocks, std::size_t dim, std::size_t window, bool with_times = false,
                StateStorage storage = StateStorage::float32)
      : num_blocks_(num_blocks), dim_(dim), window_(window), storage_(storage) {
    const std::size_t size = num_blocks * KeyValueCache<T>::size(window, dim);
    const auto clear = [](auto memory) { std::fill(memory.begin(), memory.end(), 0); };
    clear(hidden_.take(dim));
    storage == StateStorage::float32 ? clear(exact_.take(size)) : clear(rounded_.take(size));
    if (with_times) times_.take(window);
  }

  // Whether it was made of these.
  bool has_shape(std::size_t num_blocks, std::size_t dim, std::size_t window, bool with_times,
                 StateStorage storage) const noexcept {
    return num_blocks == num_blocks_ && dim == dim_ && window == window_ && with_times == (times_.data() != nullptr) &&
           storage == storage_;
  }

  // Events of the model's history that are encoded, and where the encoded suffix begins. length() counts rows.
  std::size_t num_events() const noexcept { return num_events_; }
  std::size_t start() const noexcept { return start_; }
  std::size_t length() const noexcept { return num_events_ - start_; }
  void set_range(std::size_t start, std::size_t num_events) noexcept {
    start_ = start;
    num_events_ = num_events;
    num_settled_ = length();
  }
  void reset() noexcept { set_range(0, 0); }
  // Rows of length() that the caches hold for good; set_range takes all of them for that.
  std::size_t num_settled() const noexcept { return num_settled_; }
  void set_settled(std::size_t rows) noexcept { num_settled_ = rows; }

  KeyValueCache<T> cache(std::size_t block) noexcept {
    const std::size_t size = KeyValueCache<T>::size(window_, dim_), ahead = block + 1 < num_blocks_ ? size : 0;
    if (storage_ == StateStorage::bfloat16) return {rounded_.data() + block * size, window_, dim_, ahead};
    return {exact_.data() + block * size, window_, dim_, ahead};
  }
  T* hidden() noexcept { return hidden_.data(); }
  Timestamp* times() noexcept { return times_.data(); }           // [window], or null
  std::span<ItemHandle, 2> newest() noexcept { return newest_; }  // oldest first
  std::size_t memory_bytes() const noexcept {
    return hidden_.memory_bytes() + exact_.memory_bytes() + rounded_.memory_bytes() + times_.memory_bytes() +
           sizeof(*this);
  }

 private:
  std::size_t num_blocks_ = 0, dim_ = 0, window_ = 0;
  StateStorage storage_ = StateStorage::float32;
  std::size_t start_ = 0, num_events_ = 0;
  std::size_t num_settled_ = 0;
  std::array<ItemHandle, 2> newest_ = {kNoHandle, kNoHandle};
  Buffer<T> hidden_, exact_;
  Buffer<std::uint16_t> rounded_;
  Buffer<Timestamp> times_;
};

}  // namespace attune::inline v0_1
