// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/user_state.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>
#include <shared_mutex>
#include <string>
#include <utility>

#include "attune/error.hpp"
#include "data/without_users.hpp"
#include "serving/event_clock.hpp"
#include "serving/item_exposure.hpp"
#include "serving/state_cache.hpp"
#include "serving/user_record.hpp"
#include "serving/user_shard.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr std::size_t kShardBits = 6;
constexpr std::size_t kFirstEvents = 4;      // room that the record of a new user has
constexpr std::size_t kReservedEvents = 32;  // that of another has it beyond what he brings

// The users of `first`, then those of `second` that `first` lacks.
std::shared_ptr<const Histories> merge(const Histories& first, const Histories& second) {
  auto merged = std::make_shared<Histories>(first);
  auto ids = std::make_shared<IdMap>(*first.user_ids);
  const auto append = [&](auto& column, const auto& source, std::size_t count, auto missing) {
    if (column.empty() && source.empty()) return;
    column.resize(merged->num_events(), missing);
    column.insert(column.end(), source.begin(), source.end());
    column.resize(merged->num_events() + count, missing);
  };
  for (std::uint32_t u = 0; u < second.num_users(); ++u) {
    const Id id = second.user_ids->id(u);
    if (ids->find(id) != kNoHandle) continue;
    ids->insert(id);
    const HistoryView history = second.of(u);
    append(merged->times, history.times, history.size(), kNoTime);
    append(merged->kinds, history.kinds, history.size(), std::uint8_t{0});
    append(merged->values, history.weights, history.size(), 1.0f);
    merged->items.insert(merged->items.end(), history.items.begin(), history.items.end());
    merged->offsets.push_back(merged->num_events());
  }
  merged->user_ids = std::move(ids);
  return merged;
}

// Doubles the capacity of full columns, so that the insertions that follow cannot fail.
void make_room(const UserRecord& user, auto&... columns) {
  const std::size_t least = std::clamp(user.items.capacity(), kFirstEvents, kReservedEvents);
  const auto grow = [&](auto& column) {
    if (column.size() == column.capacity()) column.reserve(std::max(least, 2 * column.size()));
  };
  (grow(columns), ...);
}

template <class T>
void insert_at(std::vector<T>& column, std::size_t position, T value) {
  column.insert(column.begin() + static_cast<std::ptrdiff_t>(position), value);
}

float weight_of(std::span<const float> kind_weights, std::uint8_t kind) noexcept {
  return kind < kind_weights.size() ? kind_weights[kind] : 1.0f;
}

float product(float weight, float value) noexcept {
  constexpr float kMost = std::numeric_limits<float>::max();
  return std::clamp(weight * value, -kMost, kMost);
}

// Brings `disliked` up to date about one item: what was said last counts. Where it is disliked there is room for it.
void decide(UserRecord& user, ItemHandle item, std::span<const float> kind_weights) {
  const auto place = std::ranges::lower_bound(user.disliked, item, {}, &Dislike::item);
  const bool known = place != user.disliked.end() && place->item == item;
  const auto last = std::find_if(user.signals.rbegin(), user.signals.rend(), [&](const Signal& signal) {
    return signal.item == item && weight_of(kind_weights, signal.kind) < 0;
  });
  const bool any = last != user.signals.rend();
  const auto later = any ? user.items.begin() + static_cast<std::ptrdiff_t>(last->position) : user.items.begin();
  if (!any || std::find(later, user.items.end(), item) != user.items.end()) {
    if (known) user.disliked.erase(place);
    return;
  }
  const Dislike dislike{item, std::abs(product(weight_of(kind_weights, last->kind), last->value))};
  known ? * place = dislike : *user.disliked.insert(place, dislike);
}

bool shows(std::span<const float> kind_weights) noexcept {
  return std::ranges::find(kind_weights, 0.0f) != kind_weights.end();
}

// How many impressions of an item are rewarded.
std::int64_t rewards_of(const UserRecord& user, ItemHandle item, std::span<const float> kind_weights) {
  std::int64_t rewards = 0;
  const Signal* last = nullptr;
  const auto end_at = [&](std::size_t position) {
    if (last == nullptr) return;
    const auto begin = user.items.begin() + static_cast<std::ptrdiff_t>(last->position);
    const auto end = user.items.begin() + static_cast<std::ptrdiff_t>(position);
    rewards += std::find(begin, end, item) != end;
  };
  for (const Signal& signal : user.signals) {
    if (signal.item != item || weight_of(kind_weights, signal.kind) != 0) continue;
    end_at(signal.position);
    last = &signal;
  }
  end_at(user.items.size());
  return rewards;
}

// Adds all that a user saw, or takes it away again.
void count_exposure(ItemExposure& exposure, const UserRecord& user, int sign, std::span<const float> kind_weights) {
  std::vector<ItemHandle> shown;
  for (const Signal& signal : user.signals) {
    if (weight_of(kind_weights, signal.kind) == 0) shown.push_back(signal.item);
  }
  std::ranges::sort(shown);
  for (std::size_t i = 0, next = 0; i < shown.size(); i = next) {
    while (next < shown.size() && shown[next] == shown[i]) ++next;
    exposure.make_room(shown[i]);
    exposure.add(shown[i], sign * static_cast<std::int64_t>(next - i), sign * rewards_of(user, shown[i], kind_weights));
  }
}

std::shared_ptr<UserRecord> make_record(HistoryView history, std::span<const float> kind_weights) {
  auto user = std::make_shared<UserRecord>();
  const std::size_t room = history.size() + (history.size() > 0 ? kReservedEvents : kFirstEvents);
  const auto reserve = [&](auto&... columns) { (columns.reserve(room), ...); };
  reserve(user->items, user->times, user->kinds, user->weights, user->distinct);
  if (!kind_weights.empty()) reserve(user->values);
  const auto of = [](const auto& column, std::size_t i, auto missing) { return column.empty() ? missing : column[i]; };
  for (std::size_t i = 0; i < history.size(); ++i) {
    const UserEvent event{history.items[i], of(history.times, i, kNoTime), of(history.kinds, i, std::uint8_t{0}),
                          of(history.weights, i, 1.0f)};
    const float of_kind = weight_of(kind_weights, event.kind);
    if (of_kind <= 0) {
      const auto position = static_cast<std::uint32_t>(user->items.size());
      user->signals.push_back({event.time, event.item, event.value, position, event.kind});
      continue;
    }
    user->items.push_back(event.item);
    user->times.push_back(event.time);
    user->kinds.push_back(event.kind);
    user->weights.push_back(product(of_kind, event.value));
    if (!kind_weights.empty()) user->values.push_back(event.value);
  }
  user->distinct = user->items;
  std::sort(user->distinct.begin(), user->distinct.end());
  user->distinct.erase(std::unique(user->distinct.begin(), user->distinct.end()), user->distinct.end());
  for (const Signal& signal : user->signals) {
    if (weight_of(kind_weights, signal.kind) < 0) decide(*user, signal.item, kind_weights);
  }
  user->count_bytes();
  return user;
}

// With room for it.
void record_signal(UserRecord& user, const UserEvent& event, std::span<const float> kind_weights) {
  const auto later = std::ranges::upper_bound(user.times, event.time) - user.times.begin();
  const auto place = std::ranges::upper_bound(user.signals, event.time, {}, &Signal::time);
  user.signals.insert(place, {event.time, event.item, event.value, static_cast<std::uint32_t>(later), event.kind});
  if (weight_of(kind_weights, event.kind) < 0) decide(user, event.item, kind_weights);
}

// The same of the history.
void record_in_history(UserRecord& user, const UserEvent& event, std::span<const float> kind_weights) {
  const auto later = std::upper_bound(user.times.begin(), user.times.end(), event.time);
  const bool late = later != user.times.end();
  const auto position = static_cast<std::size_t>(later - user.times.begin());
  insert_at(user.items, position, event.item);
  insert_at(user.times, position, event.time);
  insert_at(user.kinds, position, event.kind);
  insert_at(user.weights, position, product(weight_of(kind_weights, event.kind), event.value));
  if (!kind_weights.empty()) insert_at(user.values, position, event.value);
  const auto seen = std::lower_bound(user.distinct.begin(), user.distinct.end(), event.item);
  if (seen == user.distinct.end() || *seen != event.item) user.distinct.insert(seen, event.item);
  for (auto signal = user.signals.rbegin(); signal != user.signals.rend() && signal->time > event.time; ++signal) {
    ++signal->position;
  }
  if (!user.disliked.empty()) decide(user, event.item, kind_weights);
  if (!late) return;
  if (user.state) user.state->reset();
  if (user.next_state) user.next_state->reset();
}

}  // namespace

struct UserStates::Impl {
  Impl(IdKind kind, const UserStateOptions& options_)
      : options(options_), no_ids(kind), cache(options.cache_budget_bytes, options.storage) {
    for (auto& shard : shards) shard = std::make_unique<UserShard>();
  }

  static std::uint64_t hash_of(const Id& user) noexcept {
    return user.is_text() ? std::hash<std::string_view>{}(user.text()) : static_cast<std::uint64_t>(user.number());
  }
  UserShard& shard_of(const Id& user) { return *shards[(hash_of(user) * 0x9e3779b97f4a7c15u) >> (64 - kShardBits)]; }

  std::shared_ptr<UserRecord> find(const Id& user, bool add);
  std::shared_ptr<UserRecord> peek(const Id& user) {
    UserShard& shard = shard_of(user);
    const std::lock_guard lock(shard.mutex);
    return shard.peek(user);
  }
  // What a user saw whose history has no record.
  void count(HistoryView history, int sign) {
    count_exposure(exposure, *make_record(history, options.kind_weights), sign, options.kind_weights);
  }
  // With a shard locked: lets users go, the least recently used first, but not the one used now.
  void let_go(UserShard& shard, const UserRecord& used);

  const UserStateOptions options;
  const bool has_impressions = shows(options.kind_weights);
  ItemExposure exposure;
  const IdMap no_ids;  // says what it would accept
  std::array<std::unique_ptr<UserShard>, std::size_t{1} << kShardBits> shards;
  // Taken before the lock of a shard. Whoever adds a record shares it, so that users are counted once.
  std::shared_mutex base_mutex;
  std::shared_ptr<const Histories> base;  // may be null
  std::atomic<std::size_t> users_beyond_base = 0, users_let_go = 0;
  EventClock clock;  // where users are let go by time
  StateCache cache;
};

std::shared_ptr<UserRecord> UserStates::Impl::find(const Id& user, bool add) {
  UserShard& shard = shard_of(user);
  const auto in_shard = [&] {
    auto record = shard.find(user);
    if (record) let_go(shard, *record);
    return record;
  };
  {
    const std::lock_guard lock(shard.mutex);
    if (auto record = in_shard()) return record;
  }
  const std::shared_lock base_lock(base_mutex);
  const std::lock_guard lock(shard.mutex);
  if (auto record = in_shard()) return record;
  const UserHandle known = base ? base->user_ids->find(user) : kNoHandle;
  if (known == kNoHandle && !add) return nullptr;
  auto record = make_record(known == kNoHandle ? HistoryView{} : base->of(known), options.kind_weights);
  record->in_base = known != kNoHandle;
  shard.insert(user, record);
  if (known == kNoHandle) ++users_beyond_base;
  let_go(shard, *record);
  return record;
}

void UserStates::Impl::let_go(UserShard& shard, const UserRecord& used) {
  const std::size_t budget = options.history_budget_bytes / shards.size();
  const Timestamp now = clock.now(), ttl = options.history_ttl;
  const auto expired = [&](const UserRecord& user) {
    return ttl > 0 && now > kNoTime + ttl && user.last_time() != kNoTime && user.last_time() < now - ttl;
  };
  while (UserRecord* const user = shard.least_recent()) {
    const bool too_much = options.history_budget_bytes != 0 && shard.bytes() > budget;
    if (user == &used || (!too_much && ttl <= 0)) return;
    const std::shared_ptr<UserRecord> record = user->shared_from_this();  // outlives its lock
    const std::unique_lock owner(record->mutex, std::try_to_lock);
    if (!owner || (!too_much && !expired(*user))) return;
    cache.release(*user);
    user->forgotten = true;
    if (!user->in_base) --users_beyond_base;
    ++users_let_go;
    shard.remove(user->id);
  }
}

UserStates::UserStates(IdKind kind, const UserStateOptions& options) : impl_(std::make_unique<Impl>(kind, options)) {}
UserStates::~UserStates() = default;

void UserStates::check_kind(const Histories& histories) const {
  if (histories.user_ids->kind() == impl_->no_ids.kind()) return;
  throw Error(ErrorCode::invalid_argument, "user ids of the new model are of another kind than those served so far");
}

void UserStates::add_histories(std::shared_ptr<const Histories> histories) {
  check_kind(*histories);
  const std::shared_ptr<const Histories> before = this->histories();
  auto merged = before ? merge(*before, *histories) : std::move(histories);
  const std::unique_lock lock(impl_->base_mutex);
  for (auto u = static_cast<UserHandle>(before ? before->num_users() : 0); u < merged->num_users(); ++u) {
    const Id id = merged->user_ids->id(u);
    auto& shard = impl_->shard_of(id);
    const std::lock_guard shard_lock(shard.mutex);
    const auto record = shard.contains(id) ? shard.find(id) : nullptr;
    if (!record) {
      if (impl_->has_impressions) impl_->count(merged->of(u), 1);
      continue;
    }
    record->in_base = true;
    --impl_->users_beyond_base;
  }
  impl_->base = std::move(merged);
}

std::shared_ptr<const Histories> UserStates::histories() const {
  const std::shared_lock lock(impl_->base_mutex);
  return impl_->base;
}

IdKind UserStates::kind() const noexcept { return impl_->no_ids.kind(); }

bool UserStates::accepts(const Id& user) const noexcept { return impl_->no_ids.accepts(user); }

std::shared_ptr<UserRecord> UserStates::find(const Id& user) const { return impl_->find(user, false); }

bool UserStates::contains(const Id& user) const noexcept {
  const std::shared_lock base_lock(impl_->base_mutex);
  UserShard& shard = impl_->shard_of(user);
  const std::lock_guard lock(shard.mutex);
  return shard.contains(user) || (impl_->base && impl_->base->user_ids->find(user) != kNoHandle);
}

UserCopy UserStates::read(const Id& user) const {
  const std::shared_ptr<const Histories> base = histories();
  std::shared_ptr<UserRecord> record = impl_->peek(user);
  const UserHandle known = base ? base->user_ids->find(user) : kNoHandle;
  if (!record && known == kNoHandle) return {};
  if (!record) record = make_record(base->of(known), impl_->options.kind_weights);
  const std::lock_guard lock(record->mutex);
  return UserCopy(*record);
}

void UserStates::visit(const std::function<void(const Id&, HistoryView)>& visit) const {
  const std::shared_ptr<const Histories> base = histories();
  IdMap with_record(impl_->no_ids.kind());
  std::vector<std::uint64_t> mark(impl_->shards.size());
  used_since(mark, with_record);
  for (std::uint32_t u = 0; u < with_record.size(); ++u) {
    visit(with_record.id(u), read(with_record.id(u)).history());
  }
  const std::vector<float>& kind_weights = impl_->options.kind_weights;
  for (UserHandle u = 0; base && u < base->num_users(); ++u) {
    const Id id = base->user_ids->id(u);
    if (with_record.find(id) != kNoHandle) continue;
    visit(id, kind_weights.empty() ? base->of(u) : make_record(base->of(u), kind_weights)->history());
  }
}

void UserStates::used_since(std::vector<std::uint64_t>& mark, IdMap& ids) const {
  const bool everybody = mark.empty();
  mark.resize(impl_->shards.size());
  for (std::size_t s = 0; s < impl_->shards.size(); ++s) {
    UserShard& shard = *impl_->shards[s];
    const std::lock_guard lock(shard.mutex);
    for (const UserRecord* user = shard.most_recent(); user != nullptr && user->last_use > mark[s];) {
      ids.insert(user->id);
      user = user->less_recent;
    }
    mark[s] = shard.uses();
  }
  const std::shared_ptr<const Histories> base = everybody ? histories() : nullptr;
  for (UserHandle u = 0; base && u < base->num_users(); ++u) ids.insert(base->user_ids->id(u));
}

std::shared_ptr<UserRecord> UserStates::find_or_add(const Id& user, Timestamp at) {
  if (impl_->options.history_ttl > 0) impl_->clock.see(Impl::hash_of(user), at);
  return impl_->find(user, true);
}

bool UserStates::has_event(const UserRecord& user, std::string_view event_id) noexcept {
  if (event_id.empty()) return false;
  const std::uint64_t hash = std::hash<std::string_view>{}(event_id);
  const auto place = std::ranges::lower_bound(user.event_ids, hash, {}, &EventIdHash::hash);
  return place != user.event_ids.end() && place->hash == hash;
}

bool UserStates::remember_event(UserRecord& user, std::string_view event_id, ItemHandle item, Timestamp time,
                                std::uint8_t kind) {
  if (event_id.empty()) return true;
  make_room(user, user.event_ids);
  const std::uint64_t hash = std::hash<std::string_view>{}(event_id);
  const auto place = std::ranges::lower_bound(user.event_ids, hash, {}, &EventIdHash::hash);
  if (place != user.event_ids.end() && place->hash == hash) return false;
  user.event_ids.insert(place, {hash, item, time, kind});
  return true;
}

Observed UserStates::record(UserRecord& user, ItemHandle item, Timestamp time, std::uint8_t kind, float value,
                            std::string_view event_id) const {
  const std::vector<float>& kind_weights = impl_->options.kind_weights;
  const float of_kind = weight_of(kind_weights, kind);
  if (of_kind > 0) {
    make_room(user, user.items, user.times, user.kinds, user.weights, user.distinct);
    if (!kind_weights.empty()) make_room(user, user.values);
  } else {
    make_room(user, user.signals);
    of_kind < 0 ? make_room(user, user.disliked) : impl_->exposure.make_room(item);
  }
  if (!remember_event(user, event_id, item, time, kind)) return Observed::duplicate;

  const UserEvent event{item, time, kind, value};
  const bool shown = impl_->has_impressions && of_kind == 0;
  // What an event changes in between; an impression that nothing follows is not rewarded yet.
  const bool judges =
      impl_->has_impressions && (shown ? time < user.last_time() : of_kind > 0 && !user.signals.empty());
  const std::int64_t rewards = judges ? rewards_of(user, item, kind_weights) : 0;
  of_kind > 0 ? record_in_history(user, event, kind_weights) : record_signal(user, event, kind_weights);
  const std::int64_t more = judges ? rewards_of(user, item, kind_weights) - rewards : 0;
  if (shown || more != 0) impl_->exposure.add(item, shown, more);
  user.count_bytes();
  return Observed::recorded;
}

void UserStates::erase(const Id& user) {
  impl_->clock.forget(Impl::hash_of(user));
  std::shared_ptr<const Histories> base = histories();
  const UserHandle known = base ? base->user_ids->find(user) : kNoHandle;
  const bool in_base = known != kNoHandle;
  const std::shared_ptr<const Histories> before = base;
  if (in_base) base = detail::without_users(*base, [&](const Id& id) { return id == user; });
  std::shared_ptr<UserRecord> record;
  {
    const std::unique_lock lock(impl_->base_mutex);
    if (in_base) impl_->base = std::move(base);
    UserShard& shard = impl_->shard_of(user);
    const std::lock_guard shard_lock(shard.mutex);
    record = shard.remove(user);
    if (record && !in_base) --impl_->users_beyond_base;
  }
  if (!record) {
    if (in_base && impl_->has_impressions) impl_->count(before->of(known), -1);
    return;
  }
  const std::lock_guard lock(record->mutex);
  count_exposure(impl_->exposure, *record, -1, impl_->options.kind_weights);
  impl_->cache.release(*record);
  record->items = {};
  record->times = {};
  record->kinds = {};
  record->weights = {};
  record->values = {};
  record->distinct = {};
  record->signals = {};
  record->disliked = {};
  record->event_ids = {};
  record->forgotten = true;
}

const ItemExposure& UserStates::exposure() const noexcept { return impl_->exposure; }

detail::EngineState* UserStates::acquire_state(UserRecord& user, const detail::EngineInterface& engine,
                                               std::uint64_t generation) {
  return impl_->cache.acquire(user, engine, generation);
}

void UserStates::warm_up(const detail::EngineInterface& next, std::uint64_t generation, std::size_t most,
                         Workspace& workspace) {
  for (const std::shared_ptr<UserRecord>& recent : impl_->cache.most_recent(most)) {
    UserRecord& user = *recent;
    const std::lock_guard lock(user.mutex);
    if (!user.state) continue;
    try {
      detail::EngineState* const state = impl_->cache.prepare(user, next, generation);
      if (state == nullptr) return;
      next.user_vector(user.history(), {.now = user.last_time()}, state, workspace);
    } catch (...) {  // a damaged vector, which his request will meet and note, or no memory
      impl_->cache.cancel(user);
    }
  }
}

std::size_t UserStates::num_users() const noexcept {
  const std::shared_lock lock(impl_->base_mutex);
  return (impl_->base ? impl_->base->num_users() : 0) + impl_->users_beyond_base;
}

std::size_t UserStates::cache_bytes() const noexcept { return impl_->cache.bytes(); }

std::size_t UserStates::history_bytes() const noexcept {
  std::size_t bytes = 0;
  for (const auto& shard : impl_->shards) {
    const std::lock_guard lock(shard->mutex);
    bytes += shard->bytes();
  }
  return bytes;
}

std::size_t UserStates::users_let_go() const noexcept { return impl_->users_let_go; }

}  // namespace attune::inline v0_1
