// SPDX-License-Identifier: Apache-2.0
#pragma once

// The tables of an SqliteEventStore, and what is done to them (docs/decisions/0010-event-store.md says why so):
//
//   meta        key, value: the format, the salt, and whether the file is to be rewritten before anything else is done
//   users       user (a number), id; of a user who was forgotten the id is null
//   items       item, id
//   kinds       kind, name
//   events      seq, user, item, time, kind, value, event_id; of a user who was forgotten all is 0 but seq
//   forgotten   salted hashes of users who were forgotten
//   erasures    numbers of users who are to be forgotten before anything else is done
//
// Cells with private content never move: rows are only appended and overwritten, and rewritten as a whole by VACUUM.
// SQLite zeroes what a row leaves on its page, but not the copies that a page keeps of rows that went to another one.
// Not synchronised.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "attune/types.hpp"
#include "serving/queued_events.hpp"
#include "serving/sqlite_database.hpp"

namespace attune::inline v0_1 {

// The numbers that stand for ids in the table of events, from 1.
class IdNumbers {
 public:
  std::int64_t find(const Id& id) const;  // 0: none
  void insert(const Id& id, std::int64_t number);
  void erase(const Id& id);
  void clear() noexcept;
  std::int64_t last() const noexcept { return last_; }
  void advance_to(std::int64_t number) noexcept { last_ = std::max(last_, number); }
  // By number; empty where there is none.
  std::vector<Id> ids() const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
  };
  std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> of_texts_;
  std::unordered_map<std::int64_t, std::int64_t> of_numbers_;
  std::int64_t last_ = 0;  // that was ever given
};

class EventTables {
 public:
  // Opens or creates, finishes erasures and pruning. Throws Error.
  explicit EventTables(const std::string& path);
  ~EventTables();

  // In one transaction, durable when it returns. After an Error the object may only be destroyed.
  void write(const QueuedEvents& events);
  // Brings what is in the log into the file once there is much of it. The same about Errors.
  void shorten_log();
  using Visitor = std::function<void(const Interaction&)>;
  void visit_all(const Visitor& visit);
  void visit(const Id& user, const Visitor& visit);
  void erase(const Id& user);
  void merge(const Id& from, const Id& to, std::span<const Interaction> further);
  void put_profile(const Id& user, std::string_view profile);
  void visit_profiles(const std::function<void(const Id&, std::string_view)>& visit);
  std::size_t prune(Timestamp before);
  Timestamp now();  // see EventClock; kNoTime: no event has a time
  // Of the salt and the id; those of all users who were forgotten.
  std::int64_t hash_of(const Id& user) const noexcept;
  std::vector<std::int64_t> forgotten();
  void keep_log() noexcept { database_.keep_log(); }

 private:
  bool is_new();
  void create();
  void check_format();
  void load_numbers();
  void load(IdNumbers& numbers, const char* sql);
  void append(const Interaction& event, std::int64_t user);
  std::int64_t number_of(const Id& id, IdNumbers& numbers, SqliteStatement& insertion);
  void begin_erasure(const Id& user);
  bool erase_items();
  void finish_erasures();
  void finish_pruning();
  void empty_log();
  void visit_rows(SqliteStatement& rows, const Visitor& visit);

  SqliteDatabase database_;
  std::int64_t salt_ = 0;
  IdNumbers users_, items_, kinds_;
  struct Insertions;
  std::unique_ptr<Insertions> insertions_;
};

}  // namespace attune::inline v0_1
