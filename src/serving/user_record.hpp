// SPDX-License-Identifier: Apache-2.0
#pragma once

// What UserStates keeps of a user.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "attune/detail/engine_interface.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

// The hash of an event's id, and which event of the user it is: its item, and the lower half of its time.
struct EventIdHash {
  EventIdHash(std::uint64_t hash_, ItemHandle item_, Timestamp time_)
      : hash(hash_), item(item_), time(static_cast<std::uint32_t>(time_)) {}
  bool is_of(ItemHandle other_item, Timestamp other_time) const noexcept {
    return item == other_item && time == static_cast<std::uint32_t>(other_time);
  }
  std::uint64_t hash;
  ItemHandle item;
  std::uint32_t time;
};

// One user. Whoever reads or writes it holds the mutex.
struct UserRecord : std::enable_shared_from_this<UserRecord> {
  std::mutex mutex;
  std::vector<ItemHandle> items;  // all events, oldest first
  std::vector<Timestamp> times;
  std::vector<std::uint8_t> kinds;
  std::vector<float> weights;
  std::vector<ItemHandle> distinct;    // seen items, ascending
  std::vector<EventIdHash> event_ids;  // of events that came with one, ascending
  bool forgotten = false;              // nobody finds the record any more: events go to another one
  std::atomic<std::size_t> bytes = 0;  // of all above

  std::unique_ptr<detail::EngineState> state;  // cache, of the model generation below
  std::uint64_t generation = 0;
  std::unique_ptr<detail::EngineState> next_state;  // beside it, for a generation that is not served yet
  std::uint64_t next_generation = 0;

  // Place in the order of use, and the size as accounted, in the shard of the user; guarded by that.
  Id id;  // text lives in the shard
  bool in_base = false;
  UserRecord* more_recent = nullptr;
  UserRecord* less_recent = nullptr;
  std::size_t counted_bytes = 0;

  // The same among caches; guarded by StateCache.
  UserRecord* newer = nullptr;
  UserRecord* older = nullptr;
  std::size_t accounted_bytes = 0;

  HistoryView history() const noexcept { return {items, times, kinds, weights}; }
  void count_bytes() noexcept {
    const auto of = [](const auto& column) { return column.capacity() * sizeof(column[0]); };
    bytes.store(sizeof(*this) + of(items) + of(times) + of(kinds) + of(weights) + of(distinct) + of(event_ids),
                std::memory_order_relaxed);
  }
  Timestamp last_time() const noexcept { return times.empty() ? kNoTime : times.back(); }
};

}  // namespace attune::inline v0_1
