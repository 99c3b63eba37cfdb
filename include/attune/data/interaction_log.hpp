// SPDX-License-Identifier: Apache-2.0
#pragma once

// Events as columns, and the histories made from them. First stage of the pipeline: readers fill a log, `clean` drops
// what should not be learned from, `group_by_user` turns it into ordered histories. Not synchronised.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attune/data/column.hpp"
#include "attune/data/id_map.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

namespace detail {
class InteractionLoader;
}

class ATTUNE_EXPORT InteractionLog {
 public:
  explicit InteractionLog(IdKind users = IdKind::string, IdKind items = IdKind::string);

  // False, and nothing appended, for an event id of this user that came before. Throws Error(invalid_data) for an id
  // that its map does not accept and for a value that is not finite.
  bool append(const Interaction& interaction);
  // Preconditions: handles of user_ids() and item_ids(), a number that event_kind() gave, a finite value.
  void append(UserHandle user, ItemHandle item, Timestamp timestamp, std::uint8_t kind, float value);
  // The small number of an event kind, given on first sight; "" is always 0. Throws Error(limit_exceeded) beyond 256.
  std::uint8_t event_kind(std::string_view name);
  void reserve(std::size_t interactions);

  std::size_t size() const noexcept { return users_.size(); }
  bool empty() const noexcept { return users_.empty(); }
  IdMap& user_ids() noexcept { return user_ids_; }
  IdMap& item_ids() noexcept { return item_ids_; }
  const IdMap& user_ids() const noexcept { return user_ids_; }
  const IdMap& item_ids() const noexcept { return item_ids_; }
  const std::vector<std::string>& event_kinds() const noexcept { return event_kinds_; }

  // Columns, all [size()], in the order of insertion.
  std::span<const UserHandle> users() const noexcept { return users_; }
  std::span<const ItemHandle> items() const noexcept { return items_; }
  std::span<const Timestamp> times() const noexcept { return times_; }  // kNoTime where unknown
  std::span<const std::uint8_t> kinds() const noexcept { return kinds_; }
  std::span<const float> values() const noexcept { return values_; }

 private:
  friend class detail::InteractionLoader;
  // Whether this number of event_ids_ is new to the user; from now on it is not.
  bool claim_event_id(std::uint32_t event, UserHandle user);

  IdMap user_ids_;
  IdMap item_ids_;

  // Event ids, the first user of each, and by event those who used one that was another's before, ascending.
  IdMap event_ids_;
  std::vector<UserHandle> event_users_;
  std::map<std::uint32_t, std::vector<UserHandle>> further_event_users_;

  std::vector<std::string> event_kinds_{""};
  std::vector<UserHandle> users_;
  std::vector<ItemHandle> items_;
  std::vector<Timestamp> times_;
  std::vector<std::uint8_t> kinds_;
  std::vector<float> values_;
};

// Applied in this order.
struct CleaningOptions {
  float min_value = -std::numeric_limits<float>::infinity();  // events below it (ratings) are dropped
  // Same user, item, timestamp and event: the first is kept. Events without a time are never duplicates: where only
  // the order is known, a repetition is a fact.
  bool drop_duplicates = true;
  std::size_t k_core = 0;  // users and items with fewer events are dropped until none is left; 0 and 1 drop nobody
};

struct CleaningReport {
  std::size_t before = 0, after = 0;
  std::size_t below_min_value = 0, duplicates = 0, outside_core = 0;  // before - after is their sum
  std::size_t users = 0, items = 0;                                   // that are left
};

// Returns a log with only the surviving events, users and items; handles are given anew in order of first appearance.
// Throws Error(invalid_data) when nothing survives.
ATTUNE_EXPORT InteractionLog clean(const InteractionLog& log, const CleaningOptions& options,
                                   CleaningReport* report = nullptr);

// Ordered events of many users, back to back: events of user u stand at [offsets[u], offsets[u + 1]).
struct Histories {
  std::shared_ptr<const IdMap> user_ids;
  std::shared_ptr<const IdMap> item_ids;
  std::vector<std::string> event_kinds{""};
  std::vector<std::size_t> offsets{0};  // [users + 1]
  Column<ItemHandle> items;             // [events]
  Column<Timestamp> times;              // [events], or empty when only the order is known
  Column<std::uint8_t> kinds;           // [events]
  Column<float> values;                 // [events]

  std::size_t num_users() const noexcept { return offsets.size() - 1; }
  std::size_t num_events() const noexcept { return items.size(); }
  std::size_t num_items() const noexcept { return item_ids ? item_ids->size() : 0; }
  HistoryView of(std::size_t user) const noexcept {
    return HistoryView{items, times, kinds, values}.subview(offsets[user], offsets[user + 1] - offsets[user]);
  }
};

// Stable by time: equal timestamps of one user keep the order of the log. Events without a time stand, in the order of
// the log, before all others of the user; a log in which no event has a time keeps its order.
ATTUNE_EXPORT Histories group_by_user(InteractionLog log);

}  // namespace attune::inline v0_1
