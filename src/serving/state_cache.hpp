// SPDX-License-Identifier: Apache-2.0
#pragma once

// Encoder caches under a budget of bytes: the least recently used give way, their memory goes to the next user.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "serving/user_record.hpp"

namespace attune::inline v0_1 {

// Holds records, not their memory: they must outlive it. The lock is taken after that of a record; a second record is
// only ever tried.
class StateCache {
 public:
  StateCache(std::size_t budget_bytes, StateStorage storage) : budget_(budget_bytes), storage_(storage) {}

  // Users with a cache, the most recently used first, `most` of them.
  std::vector<std::shared_ptr<UserRecord>> most_recent(std::size_t most) const;
  // With the record locked: keeps a state of a generation that is not served yet beside the one of today; it is what
  // acquire() then gives for that generation, and is dropped where a later one comes first. Those used less recently
  // give way. False, and nothing kept, where the budget has no room.
  bool prepare(UserRecord& user, std::unique_ptr<detail::EngineState> state, std::uint64_t generation);
  // See UserStates::acquire_state.
  detail::EngineState* acquire(UserRecord& user, const detail::EngineInterface& engine, std::uint64_t generation);
  // With the record locked: its cache is gone, and the record may go too.
  void release(UserRecord& user) noexcept;
  std::size_t bytes() const noexcept;

 private:
  void push_newest(UserRecord& user, std::size_t bytes) noexcept;
  void unlink(UserRecord& user) noexcept;
  // Evicts until `needed` bytes fit, but nobody from `until` on; returns an evicted state of `generation`, fresh, if
  // there was one.
  std::unique_ptr<detail::EngineState> give_way(std::size_t needed, std::uint64_t generation,
                                                const UserRecord* until = nullptr);

  mutable std::mutex mutex_;
  std::size_t budget_;
  StateStorage storage_;
  std::size_t bytes_ = 0;
  UserRecord* newest_ = nullptr;
  UserRecord* oldest_ = nullptr;
  // Size of the last state that was made, and for which generation: what the next one will need.
  std::size_t expected_bytes_ = 0;
  std::uint64_t expected_generation_ = 0;
};

}  // namespace attune::inline v0_1
