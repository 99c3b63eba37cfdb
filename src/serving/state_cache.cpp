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

detail::EngineState* StateCache::prepare(UserRecord& user, const detail::EngineInterface& next,
                                         std::uint64_t generation) {
  const std::lock_guard lock(mutex_);
  keep(std::move(user.next_state), user.next_generation);
  const std::size_t today = user.state->memory_bytes();
  account(user, today);
  give_way(today, &user);  // the next will be about as large
  auto state = take(next, generation);
  const std::size_t needed = state ? state->memory_bytes() : 0;
  give_way(needed, &user);
  if (bytes_ + needed <= budget_) {
    account(user, today + needed);
    user.next_state = std::move(state);
    user.next_generation = generation;
  }
  drop_spares();
  return user.next_state.get();
}

void StateCache::cancel(UserRecord& user) noexcept {
  const std::lock_guard lock(mutex_);
  keep(std::move(user.next_state), user.next_generation);
  if (user.state) account(user, user.state->memory_bytes());
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
    if (user.generation != generation) keep(std::exchange(state, nullptr), user.generation);
    if (next && user.next_generation == generation) {
      state = std::exchange(next, nullptr);
    } else if (next && user.next_generation < generation) {
      keep(std::exchange(next, nullptr), user.next_generation);
    }
  }

  std::size_t needed = expected_generation_ == generation ? expected_bytes_ : 0;
  if (state) needed = state->memory_bytes();
  const std::size_t beside = next ? next->memory_bytes() : 0;
  if (needed + beside > budget_) return nullptr;
  give_way(needed + beside);
  if (bytes_ + needed + beside > budget_) return nullptr;
  if (!state) state = take(engine, generation);
  if (!state) return nullptr;

  expected_bytes_ = state->memory_bytes();
  expected_generation_ = generation;
  if (bytes_ + expected_bytes_ + beside > budget_) return nullptr;
  user.state = std::move(state);
  user.generation = generation;
  user.next_state = std::move(next);
  push_newest(user, expected_bytes_ + beside);
  drop_spares();
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

void StateCache::give_way(std::size_t needed, const UserRecord* until) noexcept {
  UserRecord* candidate = oldest_;
  while (bytes_ + needed > budget_ && candidate != until) {
    UserRecord* const next = candidate->newer;
    if (const std::unique_lock owner(candidate->mutex, std::try_to_lock); owner) {
      keep(std::move(candidate->state), candidate->generation);
      keep(std::move(candidate->next_state), candidate->next_generation);
      unlink(*candidate);
    }
    candidate = next;
  }
}

void StateCache::keep(std::unique_ptr<detail::EngineState> state, std::uint64_t generation) noexcept {
  if (!state) return;
  const std::size_t bytes = state->memory_bytes();
  try {
    spares_.push_back({std::move(state), generation, bytes});
    spare_bytes_ += bytes;
  } catch (...) {  // then it goes
  }
}

void StateCache::drop_spares() noexcept {
  while (!spares_.empty() && bytes_ + spare_bytes_ > budget_) {
    spare_bytes_ -= spares_.back().bytes;
    spares_.pop_back();
  }
}

std::unique_ptr<detail::EngineState> StateCache::take(const detail::EngineInterface& engine, std::uint64_t generation) {
  constexpr int kTried = 4;  // those that do not fit go, a few at a time: no request pays for a whole swap
  for (int i = 0; i < kTried && !spares_.empty(); ++i) {
    Spare spare = std::move(spares_.back());
    spares_.pop_back();
    spare_bytes_ -= spare.bytes;
    if (spare.generation == generation) {
      spare.state->reset();
      return std::move(spare.state);
    }
    if (engine.renew(*spare.state, storage_)) return std::move(spare.state);
  }
  return engine.make_state(storage_);
}

void StateCache::push_newest(UserRecord& user, std::size_t bytes) noexcept {
  user.accounted_bytes = bytes;
  bytes_ += bytes;
  user.newer = nullptr;
  user.older = newest_;
  (newest_ ? newest_->newer : oldest_) = &user;
  newest_ = &user;
}

void StateCache::account(UserRecord& user, std::size_t bytes) noexcept {
  bytes_ += bytes - std::exchange(user.accounted_bytes, bytes);
}

void StateCache::unlink(UserRecord& user) noexcept {
  bytes_ -= std::exchange(user.accounted_bytes, 0);
  (user.newer ? user.newer->older : newest_) = user.older;
  (user.older ? user.older->newer : oldest_) = user.newer;
}

}  // namespace attune::inline v0_1
