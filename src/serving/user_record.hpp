// SPDX-License-Identifier: Apache-2.0
#pragma once

// What UserStates keeps of a user.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "attune/detail/engine_interface.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

// The hash of an event's id, and which event of the user it is: item, kind, and the low bits of its time.
struct EventIdHash {
  EventIdHash(std::uint64_t hash_, ItemHandle item_, Timestamp time_, std::uint8_t kind_)
      : hash(hash_), item(item_), time(static_cast<std::uint32_t>(time_) & 0xffffffu), kind(kind_) {}
  bool is_of(ItemHandle other_item, Timestamp other_time, std::uint8_t other_kind) const noexcept {
    return item == other_item && time == (static_cast<std::uint32_t>(other_time) & 0xffffffu) && kind == other_kind;
  }
  std::uint64_t hash;
  ItemHandle item;
  std::uint32_t time : 24;
  std::uint32_t kind : 8;
};

struct UserEvent {
  ItemHandle item;
  Timestamp time;
  std::uint8_t kind;
  float value;
};

// An impression or negative feedback: an event that is no part of the history, but stands before the event `position`
// of it.
struct Signal {
  Timestamp time;
  ItemHandle item;
  float value;
  std::uint32_t position;
  std::uint8_t kind;
};

// What a request reads of a user, or of a bare history.
struct UserView {
  HistoryView history = {};
  std::span<const ItemHandle> distinct = {};
  std::span<const Dislike> disliked = {};
  const FeatureTable* profile = nullptr;  // Context::profile
};

struct UserRecord;

// What a request reads of a user, so that nobody is locked for long.
struct UserCopy {
  UserCopy() = default;
  explicit UserCopy(const UserRecord& user);
  std::vector<ItemHandle> items, distinct;
  std::vector<Timestamp> times;
  std::vector<std::uint8_t> kinds;
  std::vector<float> weights;
  std::vector<Dislike> disliked;
  HistoryView history() const noexcept { return {items, times, kinds, weights}; }
  UserView view(const FeatureTable* profile = nullptr) const noexcept {
    return {history(), distinct, disliked, profile};
  }
};

// One user. Whoever reads or writes it holds the mutex.
struct UserRecord : std::enable_shared_from_this<UserRecord> {
  std::mutex mutex;
  std::vector<ItemHandle> items;  // of the history, oldest first
  std::vector<Timestamp> times;
  std::vector<std::uint8_t> kinds;
  std::vector<float> weights;          // of the kind times the value
  std::vector<float> values;           // empty where no kind has a weight of its own: they are the weights
  std::vector<ItemHandle> distinct;    // seen items, ascending
  std::vector<Signal> signals;         // oldest first
  std::vector<Dislike> disliked;       // follows from those and the history; ascending by item
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
  std::uint64_t last_use = 0;

  // The same among caches; guarded by StateCache.
  UserRecord* newer = nullptr;
  UserRecord* older = nullptr;
  std::size_t accounted_bytes = 0;

  HistoryView history() const noexcept { return {items, times, kinds, weights}; }
  UserView view(const FeatureTable* profile = nullptr) const noexcept {
    return {history(), distinct, disliked, profile};
  }
  // In order of time, those of one time as they came.
  std::vector<UserEvent> events() const {
    std::vector<UserEvent> all;
    all.reserve(items.size() + signals.size());
    auto signal = signals.begin();
    for (std::size_t i = 0; i <= items.size(); ++i) {
      for (; signal != signals.end() && signal->position == i; ++signal) {
        all.push_back({signal->item, signal->time, signal->kind, signal->value});
      }
      if (i < items.size()) all.push_back({items[i], times[i], kinds[i], values.empty() ? weights[i] : values[i]});
    }
    return all;
  }
  void count_bytes() noexcept {
    const auto of = [](const auto& column) { return column.capacity() * sizeof(column[0]); };
    const std::size_t of_history = of(items) + of(times) + of(kinds) + of(weights) + of(values) + of(distinct);
    const std::size_t beside = of(signals) + of(disliked) + of(event_ids);
    bytes.store(sizeof(*this) + of_history + beside, std::memory_order_relaxed);
  }
  // Of any event.
  Timestamp last_time() const noexcept {
    const Timestamp in_history = times.empty() ? kNoTime : times.back();
    return signals.empty() ? in_history : std::max(in_history, signals.back().time);
  }
};

inline UserCopy::UserCopy(const UserRecord& user)
    : items(user.items),
      distinct(user.distinct),
      times(user.times),
      kinds(user.kinds),
      weights(user.weights),
      disliked(user.disliked) {}

}  // namespace attune::inline v0_1
