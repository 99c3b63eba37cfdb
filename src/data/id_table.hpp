// SPDX-License-Identifier: Apache-2.0
#pragma once

// The hash table of an id map, in memory or in a file: open addressing over a power of two of slots, at most three
// quarters full. A slot is the upper half of the hash and the handle.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "attune/types.hpp"
#include "data/little_endian.hpp"
#include "data/short_text.hpp"

namespace attune::inline v0_1::detail {

// Each bit of x reaches each bit of the result. Seeded with an address, in a file with what all of its ids make, so
// that nobody who does not know those prepares ids that collide; handles do not depend on it.
constexpr std::uint64_t mix_id(std::uint64_t x) noexcept {
  x ^= x >> 32;
  x *= 0xD6E8FEB86659FD93u;
  x ^= x >> 29;
  x *= 0xA24BAED4963EE407u;
  return x ^ (x >> 32);
}

inline std::uint64_t hash(std::int64_t number, std::uint64_t seed) noexcept {
  return mix_id(static_cast<std::uint64_t>(number) ^ seed);
}

inline std::uint64_t hash(std::string_view text, std::uint64_t seed) noexcept {
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  std::uint64_t state = seed + text.size();
  while (text.size() > kWord) {
    state = mix_id(state ^ load<std::uint64_t>(text.data()));
    text.remove_prefix(kWord);
  }
  return mix_id(state ^ word_of(text.data(), text.size()));
}

inline bool same(std::int64_t a, std::int64_t b) noexcept { return a == b; }
inline bool same(std::string_view a, std::string_view b) noexcept { return same_text(a, b); }

inline constexpr std::uint64_t kFreeSlot = ~std::uint64_t{0};

constexpr std::uint64_t make_slot(std::uint64_t hash, std::uint32_t handle) noexcept {
  return (hash & 0xFFFFFFFF00000000u) | handle;
}
constexpr std::uint32_t handle_of(std::uint64_t slot) noexcept { return static_cast<std::uint32_t>(slot); }

// key_of(handle) is the key that a handle stands for. kNoHandle for a key that is not there.
template <class Key, class KeyOf>
std::uint32_t find_slot(std::span<const std::uint64_t> slots, const Key& key, std::uint64_t seed,
                        KeyOf&& key_of) noexcept {
  if (slots.empty()) return kNoHandle;
  const std::uint64_t key_hash = hash(key, seed);
  const std::size_t mask = slots.size() - 1;
  for (std::size_t i = key_hash & mask;; i = (i + 1) & mask) {
    if (slots[i] == kFreeSlot) return kNoHandle;
    const std::uint32_t handle = handle_of(slots[i]);
    if (make_slot(key_hash, handle) == slots[i] && same(key_of(handle), key)) return handle;
  }
}

// There must be a free slot.
inline void occupy_slot(std::span<std::uint64_t> slots, std::uint64_t hash, std::uint32_t handle) noexcept {
  const std::size_t mask = slots.size() - 1;
  std::size_t i = hash & mask;
  while (slots[i] != kFreeSlot) i = (i + 1) & mask;
  slots[i] = make_slot(hash, handle);
}

// How many slots `ids` get.
inline std::size_t num_slots(std::size_t ids) noexcept { return std::bit_ceil(std::max<std::size_t>(ids * 2, 16)); }

// Ids and their table in the bytes of a file, used where they are.
struct StoredIds {
  IdKind kind = IdKind::string;
  std::size_t count = 0;
  std::uint64_t seed = 0;
  std::span<const std::byte> bytes;        // as IdMap::serialize writes them
  std::span<const std::uint64_t> slots;    // a power of two
  std::span<const std::uint64_t> offsets;  // of text: the begin of each in the bytes, [count + 1]
  std::shared_ptr<const void> owner;

  static constexpr std::size_t kHeaderBytes = sizeof(std::uint8_t) + sizeof(std::uint32_t);

  // Text i ends where the size of text i + 1 begins.
  std::string_view text(std::uint32_t handle) const noexcept {
    const std::size_t begin = offsets[handle], end = offsets[handle + std::size_t{1}] - sizeof(std::uint32_t);
    return {reinterpret_cast<const char*>(bytes.data()) + begin, end - begin};
  }
  std::int64_t number(std::uint32_t handle) const noexcept {
    return load_number<std::int64_t>(bytes.data() + kHeaderBytes + handle * sizeof(std::int64_t));
  }
  std::uint32_t find(std::string_view key) const noexcept {
    return find_slot(slots, key, seed, [this](std::uint32_t handle) { return text(handle); });
  }
  std::uint32_t find(std::int64_t key) const noexcept {
    return find_slot(slots, key, seed, [this](std::uint32_t handle) { return number(handle); });
  }
  // Of what find() and text() rely on, what does not hold; empty where all does.
  std::string problem() const;
};

}  // namespace attune::inline v0_1::detail
