// SPDX-License-Identifier: Apache-2.0
#pragma once

// One part of the users: records by id and in the order of use, and how much memory they take.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "serving/user_record.hpp"

namespace attune::inline v0_1 {

// Whoever calls a member holds `mutex`, which is taken before those of records.
class alignas(64) UserShard {
 public:
  std::mutex mutex;

  // From now on the most recently used; null for a user who has no record.
  std::shared_ptr<UserRecord> find(const Id& user) noexcept;
  bool contains(const Id& user) const noexcept { return lookup(user) != nullptr; }
  // The most recently used. Precondition: !contains(user).
  void insert(const Id& user, std::shared_ptr<UserRecord> record);
  // Null for a user who has no record.
  std::shared_ptr<UserRecord> remove(const Id& user) noexcept;

  // The same without use of it.
  std::shared_ptr<UserRecord> peek(const Id& user) const noexcept {
    const Record* const found = lookup(user);
    return found == nullptr ? nullptr : *found;
  }

  // Counts uses; each record has the number of its last one, from 1.
  std::uint64_t uses() const noexcept { return uses_; }
  UserRecord* most_recent() const noexcept { return most_recent_; }
  UserRecord* least_recent() const noexcept { return least_recent_; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
  };
  using Record = std::shared_ptr<UserRecord>;

  const Record* lookup(const Id& user) const noexcept;
  void count(UserRecord& record) noexcept;
  void link(UserRecord& record) noexcept;
  void unlink(UserRecord& record) noexcept;

  std::unordered_map<std::string, Record, TextHash, std::equal_to<>> by_text_;
  std::unordered_map<std::int64_t, Record> by_number_;
  UserRecord* most_recent_ = nullptr;
  UserRecord* least_recent_ = nullptr;
  std::size_t bytes_ = 0;
  std::uint64_t uses_ = 0;
};

}  // namespace attune::inline v0_1
