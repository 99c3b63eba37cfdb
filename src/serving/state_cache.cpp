// SPDX-License-Identifier: Apache-2.0
#include "serving/state_cache.hpp"

#include <utility>

namespace attune::inline v0_1 {

std::vector<std::shared_ptr<UserRecord>> StateCache::most_recent(std::size_t most) const {
  std::vector<std::shared_ptr<UserRecord>> users;
  const std::lock_guard lock(mutex_);
  for (UserRecord* user = newest_; user != nullptr && users.size() < most; user = user->older) {
    users.push_back(user->shared_from_this());
  }
  return users;
}

bool StateCache::prepare(UserRecord& user, std::unique_ptr<detail::EngineState> state, std::uint64_t generation) {
  const std::lock_guard lock(mutex_);
  if (!user.state) return true;
  bytes_ -= std::exchange(user.accounted_bytes, 0);
  user.next_state.reset();
  const std::size_t today = user.state->memory_bytes(), both = today + state->memory_bytes();
  give_way(both, generation, &user);
  if (bytes_ + both <= budget_) {
    user.next_state = std::move(state);
    user.next_generation = generation;
  }
  user.accounted_bytes = user.next_state ? both : today;
  bytes_ += user.accounted_bytes;
  return user.next_state != nullptr;
}

detail::EngineState* StateCache::acquire(UserRecord& user, const detail::EngineInterface& engine,
                                         std::uint64_t generation) {
  if (user.forgotten || (user.state && user.generation > generation)) return nullptr;
  const std::lock_guard lock(mutex_);
  std::unique_ptr<detail::EngineState> state, next;
  if (user.state) {
    unlink(user);
    state = std::move(user.state);
    next = std::move(user.next_state);
    if (user.generation != generation) state.reset();
    if (next && user.next_generation <= generation) {
      if (user.next_generation == generation) state = std::move(next);
      next.reset();
    }
  }

  std::size_t needed = expected_generation_ == generation ? expected_bytes_ : 0;
  if (state) needed = state->memory_bytes();
  const std::size_t beside = next ? next->memory_bytes() : 0;
  if (needed + beside > budget_) return nullptr;
  auto recycled = give_way(needed + beside, generation);
  if (bytes_ + needed + beside > budget_) return nullptr;
  if (!state) state = recycled ? std::move(recycled) : engine.make_state(storage_);
  if (!state) return nullptr;

  expected_bytes_ = state->memory_bytes();
  expected_generation_ = generation;
  if (bytes_ + expected_bytes_ + beside > budget_) return nullptr;
  user.state = std::move(state);
  user.generation = generation;
  user.next_state = std::move(next);
  push_newest(user, expected_bytes_ + beside);
  return user.state.get();
}

void StateCache::release(UserRecord& user) noexcept {
  const std::lock_guard lock(mutex_);
  if (user.state) unlink(user);
  user.state.reset();
  user.next_state.reset();
}

std::size_t StateCache::bytes() const noexcept {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

std::unique_ptr<detail::EngineState> StateCache::give_way(std::size_t needed, std::uint64_t generation,
                                                          const UserRecord* until) {
  std::unique_ptr<detail::EngineState> evicted;
  UserRecord* candidate = oldest_;
  while (bytes_ + needed > budget_ && candidate != until) {
    UserRecord* const next = candidate->newer;
    if (const std::unique_lock owner(candidate->mutex, std::try_to_lock); owner) {
      evicted = std::move(candidate->state);
      if (candidate->generation != generation) evicted.reset();
      candidate->next_state.reset();
      unlink(*candidate);
    }
    candidate = next;
  }
  if (evicted) evicted->reset();
  return evicted;
}

void StateCache::push_newest(UserRecord& user, std::size_t bytes) noexcept {
  user.accounted_bytes = bytes;
  bytes_ += bytes;
  user.newer = nullptr;
  user.older = newest_;
  (newest_ ? newest_->newer : oldest_) = &user;
  newest_ = &user;
}

void StateCache::unlink(UserRecord& user) noexcept {
  bytes_ -= std::exchange(user.accounted_bytes, 0);
  (user.newer ? user.newer->older : newest_) = user.older;
  (user.older ? user.older->newer : oldest_) = user.newer;
}

}  // namespace attune::inline v0_1
