// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histories of users, and their encoder caches under a byte budget. Histories are the truth and stay; caches are lazy:
// recording an event touches none, the next request catches up, the least recently used give way. Sharded and locked
// briefly; one user's requests wait for each other, different users' do not.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/detail/engine_interface.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

enum class Observed : std::uint8_t {
  recorded,
  duplicate,  // an event id that this user's history already holds
  rejected,   // empty or wrong-kind id, a value that is not finite, or a limit reached
};

// One user. Locked by whoever reads or writes it.
struct UserRecord {
  std::mutex mutex;
  std::vector<ItemHandle> items;  // all events, oldest first
  std::vector<Timestamp> times;
  std::vector<std::uint8_t> kinds;
  std::vector<float> weights;
  std::vector<ItemHandle> distinct;            // seen items, ascending
  std::vector<std::uint64_t> event_ids;        // hashes of the ids of events that came with one, ascending
  std::unique_ptr<detail::EngineState> state;  // cache, of the model generation below
  std::uint64_t generation = 0;
  std::uint64_t last_use = 0;

  HistoryView history() const noexcept { return {items, times, kinds, weights}; }
};

class ATTUNE_EXPORT UserStates {
 public:
  explicit UserStates(IdKind kind, std::size_t cache_budget_bytes);
  ~UserStates();

  // Null for a user nobody observed. The record lives as long as the pointer.
  std::shared_ptr<UserRecord> find(const Id& user) const noexcept;
  // Null for an empty id or one of the wrong kind.
  std::shared_ptr<UserRecord> find_or_add(const Id& user);

  // Records one event in time order (a late event is put where it belongs and the cache starts anew). Without a
  // timestamp it happens at the last event.
  static Observed record(UserRecord& user, ItemHandle item, Timestamp time, std::uint8_t kind, float weight,
                         std::string_view event_id);

  // With the record locked: a cache of this generation, reused, or made by `engine` while others give way. Null where
  // the engine has none or the budget is smaller than one.
  detail::EngineState* acquire_state(const std::shared_ptr<UserRecord>& user, const detail::EngineInterface& engine,
                                     std::uint64_t generation);

  std::size_t num_users() const noexcept;
  std::size_t cache_bytes() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune::inline v0_1
