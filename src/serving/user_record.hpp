// SPDX-License-Identifier: Apache-2.0
#pragma once

// What UserStates keeps of a user.

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
struct UserRecord {
  std::mutex mutex;
  std::vector<ItemHandle> items;  // all events, oldest first
  std::vector<Timestamp> times;
  std::vector<std::uint8_t> kinds;
  std::vector<float> weights;
  std::vector<ItemHandle> distinct;    // seen items, ascending
  std::vector<EventIdHash> event_ids;  // of events that came with one, ascending
  bool forgotten = false;              // nobody finds the record any more: events go to another one

  std::unique_ptr<detail::EngineState> state;  // cache, of the model generation below
  std::uint64_t generation = 0;

  // Place in the order of use, and the size as accounted; guarded by UserStates, not by the mutex above.
  UserRecord* newer = nullptr;
  UserRecord* older = nullptr;
  std::size_t accounted_bytes = 0;

  HistoryView history() const noexcept { return {items, times, kinds, weights}; }
  Timestamp last_time() const noexcept { return times.empty() ? kNoTime : times.back(); }
};

}  // namespace attune::inline v0_1
