// SPDX-License-Identifier: Apache-2.0
#include "serving/user_shard.hpp"

#include <utility>

namespace attune::inline v0_1 {
namespace {

constexpr std::size_t kBytesOfEntry = 96;  // of a map, beside the record: node, bucket, text that is not long

}  // namespace

const UserShard::Record* UserShard::lookup(const Id& user) const noexcept {
  if (user.is_text()) {
    const auto found = by_text_.find(user.text());
    return found == by_text_.end() ? nullptr : &found->second;
  }
  const auto found = by_number_.find(user.number());
  return found == by_number_.end() || !user.is_number() ? nullptr : &found->second;
}

void UserShard::count(UserRecord& record) noexcept {
  const std::size_t now = kBytesOfEntry + record.bytes.load(std::memory_order_relaxed);
  bytes_ += now - std::exchange(record.counted_bytes, now);
}

void UserShard::link(UserRecord& record) noexcept {
  record.more_recent = nullptr;
  record.less_recent = most_recent_;
  (most_recent_ ? most_recent_->more_recent : least_recent_) = &record;
  most_recent_ = &record;
}

void UserShard::unlink(UserRecord& record) noexcept {
  (record.more_recent ? record.more_recent->less_recent : most_recent_) = record.less_recent;
  (record.less_recent ? record.less_recent->more_recent : least_recent_) = record.more_recent;
}

std::shared_ptr<UserRecord> UserShard::find(const Id& user) noexcept {
  const Record* const found = lookup(user);
  if (found == nullptr) return nullptr;
  UserRecord& record = **found;
  if (&record != most_recent_) {
    unlink(record);
    link(record);
  }
  record.last_use = ++uses_;
  count(record);
  return *found;
}

void UserShard::insert(const Id& user, std::shared_ptr<UserRecord> record) {
  UserRecord& added = *record;
  if (user.is_text()) {
    added.id = by_text_.emplace(user.text(), std::move(record)).first->first;
  } else {
    added.id = by_number_.emplace(user.number(), std::move(record)).first->first;
  }
  link(added);
  added.last_use = ++uses_;
  count(added);
}

std::shared_ptr<UserRecord> UserShard::remove(const Id& user) noexcept {
  const Record* const found = lookup(user);
  if (found == nullptr) return nullptr;
  Record record = *found;
  unlink(*record);
  bytes_ -= std::exchange(record->counted_bytes, 0);
  if (user.is_text()) {
    by_text_.erase(by_text_.find(user.text()));
  } else {
    by_number_.erase(user.number());
  }
  record->id = {};  // which `user` may be
  return record;
}

}  // namespace attune::inline v0_1
