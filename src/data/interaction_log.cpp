// SPDX-License-Identifier: Apache-2.0
#include "attune/data/interaction_log.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <tuple>
#include <utility>

#include "attune/error.hpp"
#include "data/row_groups.hpp"
#include "platform/memory.hpp"

namespace attune::inline v0_1 {

namespace {

using detail::RowGroups;

std::size_t drop_duplicates(std::vector<bool>& keep, const InteractionLog& log) {
  const auto key = [&](std::size_t row) { return std::tuple(log.times()[row], log.items()[row], log.kinds()[row]); };
  std::size_t dropped = 0;
  RowGroups by_user(log.users(), log.user_ids().size());
  for (std::size_t user = 0; user < log.user_ids().size(); ++user) {
    const auto all = by_user.of(user);
    const auto kept = std::partition(all.begin(), all.end(), [&](std::size_t row) { return keep[row]; });
    const auto rows = all.first(static_cast<std::size_t>(kept - all.begin()));
    std::sort(rows.begin(), rows.end(),
              [&](std::size_t a, std::size_t b) { return std::pair(key(a), a) < std::pair(key(b), b); });
    for (std::size_t i = 1; i < rows.size(); ++i) {
      if (log.times()[rows[i]] == kNoTime || key(rows[i]) != key(rows[i - 1])) continue;
      keep[rows[i]] = false;
      ++dropped;
    }
  }
  return dropped;
}

std::size_t drop_below(std::vector<bool>& keep, const InteractionLog& log, float min_value) {
  std::size_t dropped = 0;
  for (std::size_t row = 0; row < log.size(); ++row) {
    if (log.values()[row] >= min_value) continue;
    keep[row] = false;
    ++dropped;
  }
  return dropped;
}

// Users and items as nodes, events as edges: a node below k goes with its edges, which may take others below k. Every
// event is looked at no more than once from each side.
class CoreFinder {
 public:
  CoreFinder(std::vector<bool>& keep, const InteractionLog& log, std::size_t k)
      : keep_(keep),
        k_(k),
        sides_{Side(keep, log.users(), log.user_ids().size()), Side(keep, log.items(), log.item_ids().size())} {}

  std::size_t drop() {
    for (std::size_t side = 0; side < 2; ++side) {
      for (std::size_t node = 0; node < sides_[side].counts.size(); ++node) {
        if (sides_[side].counts[node] < k_) doomed_.emplace_back(side, node);
      }
    }
    while (!doomed_.empty()) {
      const auto [side, node] = doomed_.back();
      doomed_.pop_back();
      for (const std::size_t row : sides_[side].rows.of(node)) drop_row(row, 1 - side);
    }
    return dropped_;
  }

 private:
  struct Side {
    Side(const std::vector<bool>& keep, std::span<const std::uint32_t> node_of_row, std::size_t nodes)
        : column(node_of_row), rows(node_of_row, nodes), counts(nodes) {
      for (std::size_t row = 0; row < column.size(); ++row) counts[column[row]] += keep[row];
    }
    std::span<const std::uint32_t> column;
    RowGroups rows;
    std::vector<std::size_t> counts;  // of kept events
  };

  void drop_row(std::size_t row, std::size_t other_side) {
    if (!keep_[row]) return;
    keep_[row] = false;
    ++dropped_;
    Side& other = sides_[other_side];
    const std::uint32_t node = other.column[row];
    if (other.counts[node]-- == k_) doomed_.emplace_back(other_side, node);
  }

  std::vector<bool>& keep_;
  std::size_t k_;
  Side sides_[2];  // users, items
  std::vector<std::pair<std::size_t, std::size_t>> doomed_;
  std::size_t dropped_ = 0;
};

InteractionLog kept_events(const InteractionLog& log, const std::vector<bool>& keep, std::size_t count) {
  InteractionLog kept(log.user_ids().kind(), log.item_ids().kind());
  kept.reserve(count);
  for (const std::string& kind : log.event_kinds()) kept.event_kind(kind);
  std::vector<UserHandle> new_users(log.user_ids().size(), kNoHandle);
  std::vector<ItemHandle> new_items(log.item_ids().size(), kNoHandle);
  const auto renumber = [](std::uint32_t& new_handle, IdMap& to, const IdMap& from, std::uint32_t handle) {
    if (new_handle == kNoHandle) new_handle = to.insert(from.id(handle));
    return new_handle;
  };
  for (std::size_t row = 0; row < log.size(); ++row) {
    if (!keep[row]) continue;
    const UserHandle user = log.users()[row];
    const ItemHandle item = log.items()[row];
    kept.append(renumber(new_users[user], kept.user_ids(), log.user_ids(), user),
                renumber(new_items[item], kept.item_ids(), log.item_ids(), item), log.times()[row], log.kinds()[row],
                log.values()[row]);
  }
  return kept;
}

}  // namespace

InteractionLog::InteractionLog(IdKind users, IdKind items)
    : user_ids_(users), item_ids_(items), event_ids_(IdKind::string) {}

bool InteractionLog::append(const Interaction& interaction) {
  if (!std::isfinite(interaction.value)) {
    throw Error(ErrorCode::invalid_data,
                "interaction: value: expected a finite number, found " + std::to_string(interaction.value));
  }
  for (const auto& [ids, id, name] :
       {std::tuple(&user_ids_, &interaction.user, "user"), std::tuple(&item_ids_, &interaction.item, "item")}) {
    if (ids->accepts(*id)) continue;
    throw Error(ErrorCode::invalid_data, std::string("interaction: ") + name + ": expected " +
                                             (ids->kind() == IdKind::int64 ? "a 64-bit integer" : "text") +
                                             ", found an id that is empty, of the other kind or with NUL in it");
  }
  const std::uint8_t kind = event_kind(interaction.event);
  const bool named = !interaction.event_id.empty();
  const std::uint32_t event = named ? event_ids_.insert(interaction.event_id) : kNoHandle;
  const UserHandle user = user_ids_.insert(interaction.user);
  if (named && !claim_event_id(event, user)) return false;
  append(user, item_ids_.insert(interaction.item), interaction.timestamp, kind, interaction.value);
  return true;
}

bool InteractionLog::claim_event_id(std::uint32_t event, UserHandle user) {
  if (event >= event_users_.size()) event_users_.resize(event + std::size_t{1}, kNoHandle);
  if (event_users_[event] == user) return false;
  if (event_users_[event] == kNoHandle) {
    event_users_[event] = user;
    return true;
  }
  std::vector<UserHandle>& users = further_event_users_[event];
  const auto place = std::lower_bound(users.begin(), users.end(), user);
  if (place != users.end() && *place == user) return false;
  users.insert(place, user);
  return true;
}

void InteractionLog::append(UserHandle user, ItemHandle item, Timestamp timestamp, std::uint8_t kind, float value) {
  assert(user < user_ids_.size() && item < item_ids_.size() && kind < event_kinds_.size() && std::isfinite(value));
  users_.push_back(user);
  items_.push_back(item);
  times_.push_back(timestamp);
  kinds_.push_back(kind);
  values_.push_back(value);
}

std::uint8_t InteractionLog::event_kind(std::string_view name) {
  constexpr std::size_t kMaxKinds = 256;
  const auto known = std::find(event_kinds_.begin(), event_kinds_.end(), name);
  const auto kind = static_cast<std::size_t>(known - event_kinds_.begin());
  if (kind == kMaxKinds) {
    throw Error(ErrorCode::limit_exceeded,
                "event: at most " + std::to_string(kMaxKinds) + " kinds, found one more: '" + std::string(name) + "'");
  }
  if (known == event_kinds_.end()) event_kinds_.emplace_back(name);
  return static_cast<std::uint8_t>(kind);
}

void InteractionLog::reserve(std::size_t interactions) {
  const auto reserve = [interactions](auto& column) {
    if (interactions <= column.capacity()) return;
    column.reserve(interactions);
    platform::prefer_large_pages(column.data(), interactions * sizeof(column[0]));
  };
  reserve(users_);
  reserve(items_);
  reserve(times_);
  reserve(kinds_);
  reserve(values_);
}

InteractionLog clean(const InteractionLog& log, const CleaningOptions& options, CleaningReport* report) {
  CleaningReport counts;
  counts.before = log.size();
  std::vector<bool> keep(log.size(), true);
  counts.below_min_value = drop_below(keep, log, options.min_value);
  if (options.drop_duplicates) counts.duplicates = drop_duplicates(keep, log);
  if (options.k_core > 1) counts.outside_core = CoreFinder(keep, log, options.k_core).drop();
  counts.after = counts.before - counts.duplicates - counts.below_min_value - counts.outside_core;
  if (counts.after == 0) {
    throw Error(ErrorCode::invalid_data,
                "cleaning: expected events to be left, found none: of " + std::to_string(counts.before) + ", " +
                    std::to_string(counts.below_min_value) + " are below the minimum value, " +
                    std::to_string(counts.duplicates) + " duplicates, " + std::to_string(counts.outside_core) +
                    " outside the " + std::to_string(options.k_core) + "-core");
  }
  InteractionLog kept = kept_events(log, keep, counts.after);
  counts.users = kept.user_ids().size();
  counts.items = kept.item_ids().size();
  if (report != nullptr) *report = counts;
  return kept;
}

Histories group_by_user(InteractionLog log) {
  Histories histories;
  RowGroups by_user(log.users(), log.user_ids().size());
  const auto times = log.times();
  const auto earlier = [&](std::size_t a, std::size_t b) { return times[a] < times[b]; };
  for (std::size_t user = 0; user < log.user_ids().size(); ++user) {
    const auto rows = by_user.of(user);
    if (!std::is_sorted(rows.begin(), rows.end(), earlier)) std::stable_sort(rows.begin(), rows.end(), earlier);
  }
  const auto in_order = [&](auto& to, const auto& from) {
    to.reserve(by_user.rows.size());
    for (const std::size_t row : by_user.rows) to.push_back(from[row]);
  };
  in_order(histories.items, log.items());
  in_order(histories.kinds, log.kinds());
  in_order(histories.values, log.values());
  const bool has_times = std::any_of(times.begin(), times.end(), [](Timestamp time) { return time != kNoTime; });
  if (has_times) in_order(histories.times, times);
  histories.event_kinds = log.event_kinds();
  histories.offsets = std::move(by_user.offsets);
  histories.user_ids = std::make_shared<const IdMap>(std::move(log.user_ids()));
  histories.item_ids = std::make_shared<const IdMap>(std::move(log.item_ids()));
  return histories;
}

}  // namespace attune::inline v0_1
