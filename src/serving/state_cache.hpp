// SPDX-License-Identifier: Apache-2.0
#pragma once

// Encoder caches under a budget of bytes: the least recently used give way, their memory goes to the next user. It is
// kept across models where their caches are alike: what a swap would give back to the allocator comes back in pieces.

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
  // With the record locked, and a cache of today there: a fresh state of a generation that is not served yet beside it;
  // it is what acquire() then gives for that generation, and is dropped where a later one comes first. Those used less
  // recently give way. Null where the budget has no room.
  detail::EngineState* prepare(UserRecord& user, const detail::EngineInterface& next, std::uint64_t generation);
  // With the record locked: there is none beside it.
  void cancel(UserRecord& user) noexcept;
  // See UserStates::acquire_state.
  detail::EngineState* acquire(UserRecord& user, const detail::EngineInterface& engine, std::uint64_t generation);
  // With the record locked: its cache is gone, and the record may go too.
  void release(UserRecord& user) noexcept;
  std::size_t bytes() const noexcept;  // of users

 private:
  struct Spare {
    std::unique_ptr<detail::EngineState> state;
    std::uint64_t generation;
    std::size_t bytes;
  };

  void push_newest(UserRecord& user, std::size_t bytes) noexcept;
  void unlink(UserRecord& user) noexcept;
  void account(UserRecord& user, std::size_t bytes) noexcept;
  // Evicts until `needed` bytes fit, but nobody from `until` on.
  void give_way(std::size_t needed, const UserRecord* until = nullptr) noexcept;
  // What is spare may take what users leave of the budget.
  void keep(std::unique_ptr<detail::EngineState> state, std::uint64_t generation) noexcept;
  void drop_spares() noexcept;
  // A fresh one of what is spare, or else made by the engine.
  std::unique_ptr<detail::EngineState> take(const detail::EngineInterface& engine, std::uint64_t generation);

  mutable std::mutex mutex_;
  std::size_t budget_;
  StateStorage storage_;
  std::size_t bytes_ = 0;
  UserRecord* newest_ = nullptr;
  UserRecord* oldest_ = nullptr;
  std::vector<Spare> spares_;
  std::size_t spare_bytes_ = 0;
  // Size of the last state that was made, and for which generation: what the next one will need.
  std::size_t expected_bytes_ = 0;
  std::uint64_t expected_generation_ = 0;
};

}  // namespace attune::inline v0_1
