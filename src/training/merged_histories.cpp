// SPDX-License-Identifier: Apache-2.0
#include "training/merged_histories.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>

#include "attune/error.hpp"

namespace attune::inline v0_1::detail {

namespace {

constexpr std::size_t kMaxEventKinds = 256;

struct Event {
  ItemHandle item;
  Timestamp time;
  std::uint8_t kind;
  float value;
  bool is_new;
};

void check_ids(const char* what, const IdMap& model, const IdMap& log) {
  if (model.kind() == log.kind()) return;
  const auto name = [](const IdMap& ids) { return ids.kind() == IdKind::string ? "text" : "numbers"; };
  throw Error(ErrorCode::invalid_argument, std::string("events: expected the ") + what + " ids to be " + name(model) +
                                               ", as those of the model are, found " + name(log));
}

// The handles that ids of the log have among those of the model; new ids are added.
std::vector<std::uint32_t> handles_in(IdMap& ids, const IdMap& of_log) {
  std::vector<std::uint32_t> handles;
  for (std::uint32_t handle = 0; handle < of_log.size(); ++handle) handles.push_back(ids.insert(of_log.id(handle)));
  return handles;
}

std::vector<std::uint8_t> kinds_in(std::vector<std::string>& kinds, const std::vector<std::string>& of_log) {
  std::vector<std::uint8_t> numbers;
  for (const std::string& kind : of_log) {
    auto found = std::ranges::find(kinds, kind);
    if (found == kinds.end()) found = kinds.insert(kinds.end(), kind);
    numbers.push_back(static_cast<std::uint8_t>(found - kinds.begin()));
  }
  if (kinds.size() > kMaxEventKinds) {
    throw Error(ErrorCode::limit_exceeded, "events: expected at most " + std::to_string(kMaxEventKinds) +
                                               " kinds in all, found " + std::to_string(kinds.size()));
  }
  return numbers;
}

// Events of the log by user, [users + 1] offsets and the events in the order of the log.
struct ByUser {
  std::vector<std::size_t> offsets;
  std::vector<Event> events;

  std::span<const Event> of(std::size_t user) const {
    return std::span(events).subspan(offsets[user], offsets[user + 1] - offsets[user]);
  }
};

ByUser by_user(const InteractionLog& log, Histories& merged, IdMap& users, IdMap& items) {
  const auto user_of = handles_in(users, log.user_ids()), item_of = handles_in(items, log.item_ids());
  const auto kind_of = kinds_in(merged.event_kinds, log.event_kinds());
  ByUser result{std::vector<std::size_t>(users.size() + 1, 0), std::vector<Event>(log.size())};
  for (const UserHandle user : log.users()) ++result.offsets[user_of[user] + 1];
  std::partial_sum(result.offsets.begin(), result.offsets.end(), result.offsets.begin());
  std::vector<std::size_t> next(result.offsets.begin(), result.offsets.end() - 1);
  for (std::size_t i = 0; i < log.size(); ++i) {
    result.events[next[user_of[log.users()[i]]]++] = {item_of[log.items()[i]], log.times()[i], kind_of[log.kinds()[i]],
                                                      log.values()[i], true};
  }
  return result;
}

// Events of one time stand together, those of before first; a new one that another equals is dropped.
void drop_known(std::vector<Event>& events, std::size_t& dropped) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Event event = events[i];
    bool known = false;
    for (std::size_t j = kept; event.is_new && !known && j > 0 && events[j - 1].time == event.time; --j) {
      known = events[j - 1].item == event.item && events[j - 1].kind == event.kind;
    }
    dropped += known;
    if (!known) events[kept++] = event;
  }
  events.resize(kept);
}

}  // namespace

MergedHistories merge(const Histories& old, const InteractionLog& log) {
  check_ids("user", *old.user_ids, log.user_ids());
  check_ids("item", *old.item_ids, log.item_ids());
  const bool timed = !old.times.empty();
  if (timed && std::ranges::find(log.times(), kNoTime) != log.times().end()) {
    throw Error(ErrorCode::invalid_data, "events: expected times, as the histories of the model have them, found none");
  }
  MergedHistories result;
  Histories& merged = result.histories;
  merged.event_kinds = old.event_kinds;
  auto users = std::make_shared<IdMap>(*old.user_ids), items = std::make_shared<IdMap>(*old.item_ids);
  const ByUser added = by_user(log, merged, *users, *items);
  std::vector<Event> events;
  for (std::size_t user = 0; user < users->size(); ++user) {
    events.clear();
    const HistoryView before = user < old.num_users() ? old.of(user) : HistoryView{};
    for (std::size_t i = 0; i < before.size(); ++i) {
      events.push_back({before.items[i], timed ? before.times[i] : kNoTime,
                        before.kinds.empty() ? std::uint8_t{0} : before.kinds[i],
                        before.weights.empty() ? 1.0f : before.weights[i], false});
    }
    const auto more = added.of(user);
    const auto first_new = events.insert(events.end(), more.begin(), more.end());
    if (!more.empty()) std::ranges::stable_sort(timed ? events.begin() : first_new, events.end(), {}, &Event::time);
    if (timed && !more.empty()) drop_known(events, result.known_events);
    for (const Event& event : events) {
      merged.items.push_back(event.item);
      if (timed) merged.times.push_back(event.time);
      merged.kinds.push_back(event.kind);
      merged.values.push_back(event.value);
      result.is_new.push_back(event.is_new);
    }
    merged.offsets.push_back(merged.items.size());
  }
  merged.user_ids = std::move(users);
  merged.item_ids = std::move(items);
  return result;
}

}  // namespace attune::inline v0_1::detail
