// SPDX-License-Identifier: Apache-2.0

// What happens to whole users, and to their events once they are recorded: stored, exported, merged, forgotten.

#include <algorithm>
#include <charconv>
#include <exception>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "attune/recommender.hpp"
#include "attune/serving/event_store.hpp"
#include "data/id_table.hpp"
#include "data/json_object.hpp"
#include "data/without_users.hpp"
#include "model/erase_user.hpp"
#include "serving/recommender_impl.hpp"

namespace attune::inline v0_1 {
namespace {

std::string json_of(const std::string& text) {
  return detail::Json(text).dump(-1, ' ', false, detail::Json::error_handler_t::replace);
}

// Shortest text that reads back as the same number.
std::string text_of(float number) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, number).ptr};
}

std::uint64_t hash_of(const Id& user) noexcept {
  return user.is_number() ? detail::hash(user.number(), 0) : detail::hash(user.text(), 0);
}

// Of events that were served; the first is worth a line.
void note_unstored(std::atomic<std::size_t>& unstored, Telemetry* telemetry, std::size_t count) noexcept {
  const bool first = unstored.fetch_add(count) == 0 && count != 0;
  if (first && telemetry != nullptr) {
    telemetry->log(LogLevel::error, "the event store does not keep an event; further ones are only counted");
  }
}

// What two users' events are compared by: event ids are kept as hashes. `held` says which of the events are left out.
void take_over(const UserRecord& from, UserRecord& to, const UserStates& users, const auto& held) {
  const std::vector<UserEvent> events = from.events();
  std::vector<bool> left_out(events.size());
  for (const EventIdHash& id : from.event_ids) {
    const auto place = std::ranges::lower_bound(to.event_ids, id.hash, {}, &EventIdHash::hash);
    if (place == to.event_ids.end() || place->hash != id.hash) {
      to.event_ids.insert(place, id);
      continue;
    }
    for (std::size_t i = 0; i < events.size(); ++i) {
      const UserEvent& event = events[i];
      if (left_out[i] || !id.is_of(event.item, event.time, event.kind)) continue;
      left_out[i] = true;
      break;
    }
  }
  for (std::size_t i = 0; i < events.size(); ++i) {
    const auto& [item, time, kind, value] = events[i];
    if (!left_out[i] && !held(events[i])) users.record(to, item, time, kind, value, {});
  }
}

}  // namespace

void Recommender::Impl::store(std::span<const Interaction> events, std::size_t recorded,
                              const Completion& done) noexcept {
  if (!options.event_store) return done(true);
  try {
    const auto completion = [unstored = unstored_events, telemetry = options.telemetry, recorded, done](bool stored) {
      if (!stored) note_unstored(*unstored, telemetry.get(), recorded);
      done(stored);
    };
    options.event_store->append(events, completion);
  } catch (...) {
    note_unstored(*unstored_events, options.telemetry.get(), recorded);
    done(false);
  }
}

Observed Recommender::observe(const Interaction& interaction, Completion done) {
  return impl_->observe({&interaction, 1}, &done).front();
}

std::vector<Observed> Recommender::observe_batch(std::span<const Interaction> interactions) {
  return impl_->observe(interactions, nullptr);
}

std::vector<Observed> Recommender::observe_batch(std::span<const Interaction> interactions, Completion done) {
  return impl_->observe(interactions, &done);
}

std::vector<Observed> Recommender::Impl::observe(std::span<const Interaction> interactions, const Completion* done) {
  Timed timed(*this, Operation::observe);
  timed.items(interactions.size());
  std::vector<Observed> observed;
  std::vector<Interaction> taken;
  std::size_t recorded = 0;
  observed.reserve(interactions.size());
  taken.reserve(interactions.size());
  const auto store_taken = [&] {
    if (!taken.empty()) return store(taken, recorded, done != nullptr ? *done : Completion());
    if (done != nullptr) (*done)(interactions.empty());
  };
  try {
    for (Interaction event : interactions) {
      observed.push_back(record(event));
      recorded += observed.back() == Observed::recorded;
      // Who waits to hear that a duplicate is stored may have been told of its first delivery that it is not.
      const bool again = observed.back() == Observed::duplicate && done != nullptr;
      if (observed.back() == Observed::recorded || again) taken.push_back(event);
    }
  } catch (...) {
    store_taken();  // what memory holds by now
    throw;
  }
  store_taken();
  return observed;
}

std::shared_ptr<const Histories> Recommender::Impl::remembered(std::shared_ptr<const Histories> histories) const {
  const EventStore* const store = options.event_store.get();
  if (store == nullptr && forgotten_users.empty()) return histories;
  const auto is_forgotten = [&](const Id& id) {
    return forgotten_users.contains(hash_of(id)) || (store != nullptr && store->has_forgotten(id));
  };
  for (std::uint32_t user = 0; user < histories->num_users(); ++user) {
    if (is_forgotten(histories->user_ids->id(user))) return detail::without_users(*histories, is_forgotten);
  }
  return histories;
}

void Recommender::forget_user(const Id& user) { impl_->forget(user, impl_->options.event_store.get()); }

void Recommender::Impl::forget(const Id& user, EventStore* store) {
  const std::lock_guard lock(reload_mutex);
  const std::lock_guard profiles_lock(profiles_mutex);
  forgotten_users.insert(hash_of(user));
  users.erase(user);
  profiles.erase(user);
  std::exception_ptr failure;
  const auto attempt = [&](auto clean) {
    try {
      clean();
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  };
  if (store != nullptr) attempt([&] { store->erase(user); });
  if (!directory.empty()) attempt([&] { detail::erase_user(directory, user); });
  if (store != nullptr) users.erase(user);  // what came in before the store had forgotten him
  vectors.erase(user);
  if (failure) std::rethrow_exception(failure);
}

void Recommender::Impl::forgotten(const std::function<bool(const Id&)>& is_forgotten) {
  IdMap found(users.kind());
  const auto look_at = [&](const Id& user) {
    if (is_forgotten(user)) found.insert(user);
  };
  IdMap known(users.kind());
  std::vector<std::uint64_t> mark;
  users.used_since(mark, known);  // everybody
  for (UserHandle user = 0; user < known.size(); ++user) look_at(known.id(user));
  profiles.visit_users(look_at);
  for (UserHandle user = 0; user < found.size(); ++user) {
    try {
      forget(found.id(user), nullptr);
    } catch (const std::exception& error) {
      log(LogLevel::error, std::string("a user who was forgotten at another host is left in a file: ") + error.what());
    }
  }
}

void Recommender::Impl::observed(const Interaction& event) {
  if (take_stored(event)) return;
  if (refused_events.fetch_add(1) == 0) {
    log(LogLevel::warning,
        "an event of another host is not served: ids of another kind than the model's, or beyond "
        "max_items; further ones are not told of");
  }
}

void Recommender::merge_users(const Id& from, const Id& to) {
  const std::lock_guard lock(impl_->reload_mutex);
  const std::lock_guard profiles_lock(impl_->profiles_mutex);
  if (!impl_->users.accepts(from) || !impl_->users.accepts(to)) {
    throw Error(ErrorCode::invalid_argument, "merge_users: expected two ids of users, found one that no user can have");
  }
  EventStore* const store = impl_->options.event_store.get();
  const bool may_be_stored = store != nullptr && impl_->users.users_let_go() != 0;
  const std::shared_ptr<UserRecord> source = impl_->users.find(from);  // kept, whether or not he is let go meanwhile
  const bool has_profile = !impl_->profiles.of(from).empty();
  if (from == to || !(source || may_be_stored || has_profile)) return;
  const KeptFields before = impl_->merge_profiles(from, to);
  try {
    std::vector<std::string> kinds;
    if (store != nullptr) store->merge(from, to, impl_->only_of_models(from, to, kinds));
  } catch (...) {
    if (has_profile) impl_->keep_profile(to, before);
    throw;
  }
  impl_->profiles.erase(from);
  const std::shared_ptr<const Histories> base = impl_->users.histories();
  for (bool moved = !source; !moved;) {
    const std::shared_ptr<UserRecord> target = impl_->users.find_or_add(to);
    const std::scoped_lock records(source->mutex, target->mutex);
    if (target->forgotten) continue;  // in between
    take_over(*source, *target, impl_->users, [&](const UserEvent& event) {
      const Interaction at{.user = to, .item = {}, .timestamp = event.time};
      return base && holds(*base, at, event.item, event.kind);
    });
    moved = true;
  }
  impl_->forgotten_users.insert(hash_of(from));
  impl_->users.erase(from);
  impl_->vectors.erase(from);
  impl_->users.find(to);  // used since he has the events
}

std::vector<Interaction> Recommender::Impl::only_of_models(const Id& from, const Id& to,
                                                           std::vector<std::string>& names) {
  const std::shared_ptr<const Histories> base = users.histories();
  const UserHandle known = base ? base->user_ids->find(from) : kNoHandle;
  if (known == kNoHandle) return {};
  const HistoryView history = base->of(known);
  std::set<std::tuple<ItemHandle, Timestamp, std::string>> stored;
  options.event_store->visit(
      from, [&](const Interaction& e) { stored.emplace(catalogue->find(e.item), e.timestamp, e.event); });
  std::vector<Interaction> events;
  names.reserve(history.size());
  for (std::size_t i = 0; i < history.size(); ++i) {
    const Timestamp time = history.times.empty() ? kNoTime : history.times[i];
    names.push_back(kinds.name(history.kinds.empty() ? std::uint8_t{0} : history.kinds[i]));
    if (time != kNoTime && stored.contains({history.items[i], time, names.back()})) continue;
    const float weight = history.weights.empty() ? 1.0f : history.weights[i];
    events.push_back({to, catalogue->id(history.items[i]), time, names.back(), weight});
  }
  return events;
}

std::string Recommender::export_user(const Id& user) const {
  using Key = std::tuple<ItemHandle, Timestamp, std::string, float>;
  struct Names {
    std::string item, event_id;
  };
  std::multimap<Key, Names> stored;
  if (EventStore* const store = impl_->options.event_store.get()) {
    std::set<std::string> known;
    store->visit(user, [&](const Interaction& e) {
      if (!e.event_id.empty() && !known.emplace(e.event_id).second) return;
      stored.emplace(Key(impl_->catalogue->find(e.item), e.timestamp, e.event, e.value),
                     Names{to_string(e.item), std::string(e.event_id)});
    });
  }
  std::vector<std::pair<Timestamp, std::string>> lines;
  const std::string user_text = json_of(to_string(user));
  const auto add = [&](const Key& key, const Names& names) {
    const auto& [item, time, kind, value] = key;
    std::string line = "{\"user\":" + user_text + ",\"item\":" + json_of(names.item);
    if (time != kNoTime) line += ",\"timestamp\":" + std::to_string(time);
    line += ",\"event\":" + json_of(kind) + ",\"value\":" + text_of(value);
    if (!names.event_id.empty()) line += ",\"event_id\":" + json_of(names.event_id);
    lines.emplace_back(time, line + "}\n");
  };
  if (const std::shared_ptr<UserRecord> record = impl_->users.find(user)) {
    const std::lock_guard lock(record->mutex);
    for (const UserEvent& event : record->events()) {
      const Key key(event.item, event.time, impl_->kinds.name(event.kind), event.value);
      const auto found = stored.find(key);
      add(key, found != stored.end() ? found->second : Names{to_string(impl_->catalogue->id(event.item)), ""});
      if (found != stored.end()) stored.erase(found);
    }
  }
  const std::shared_ptr<const Histories> base = impl_->users.histories();
  if (impl_->users.users_let_go() == 0) stored.clear();  // nobody lacks what the store has
  for (const auto& [key, names] : stored) {
    const auto& [item, time, name, value] = key;
    const auto kind = impl_->kinds.of_event(name);
    const Interaction event{.user = user, .item = {}, .timestamp = time};
    if (!(base && kind && holds(*base, event, item, *kind))) add(key, names);
  }
  std::ranges::stable_sort(lines, {}, &std::pair<Timestamp, std::string>::first);
  std::string text;
  if (const KeptFields profile = impl_->profiles.of(user); !profile.empty()) {
    text = "{\"user\":" + user_text + ",\"profile\":" + profile.to_json() + "}\n";
  }
  for (const auto& line : lines) text += line.second;
  return text;
}

}  // namespace attune::inline v0_1
