// SPDX-License-Identifier: Apache-2.0

// What happens to whole users, and to their events once they are recorded: stored, exported, merged, forgotten.

#include <charconv>
#include <exception>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "attune/recommender.hpp"
#include "attune/serving/event_store.hpp"
#include "data/without_users.hpp"
#include "model/erase_user.hpp"
#include "model/json_object.hpp"
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
      if (left_out[i] || event.item != id.item || event.time != id.time || event.kind != id.kind) continue;
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
  if (store == nullptr) return histories;
  for (std::uint32_t user = 0; user < histories->num_users(); ++user) {
    if (!store->has_forgotten(histories->user_ids->id(user))) continue;
    return detail::without_users(*histories, [&](const Id& id) { return store->has_forgotten(id); });
  }
  return histories;
}

void Recommender::forget_user(const Id& user) {
  const std::lock_guard lock(impl_->reload_mutex);
  impl_->users.erase(user);
  std::exception_ptr failure;
  const auto attempt = [&](auto clean) {
    try {
      clean();
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  };
  if (impl_->options.event_store) attempt([&] { impl_->options.event_store->erase(user); });
  if (!impl_->directory.empty()) attempt([&] { detail::erase_user(impl_->directory, user); });
  impl_->users.erase(user);  // what came in before the store had forgotten him
  if (failure) std::rethrow_exception(failure);
}

void Recommender::merge_users(const Id& from, const Id& to) {
  const std::lock_guard lock(impl_->reload_mutex);
  if (!impl_->users.accepts(from) || !impl_->users.accepts(to)) {
    throw Error(ErrorCode::invalid_argument, "merge_users: expected two ids of users, found one that no user can have");
  }
  if (from == to || !impl_->users.find(from)) return;
  const std::shared_ptr<const Histories> base = impl_->users.histories();
  if (impl_->options.event_store) {
    std::vector<Interaction> further;  // of a model, which knows him as another user
    std::vector<std::string> kinds;
    const UserHandle known = base ? base->user_ids->find(from) : kNoHandle;
    const HistoryView history = known == kNoHandle ? HistoryView{} : base->of(known);
    kinds.reserve(history.size());
    for (std::size_t i = 0; i < history.size(); ++i) {
      kinds.push_back(impl_->kinds.name(history.kinds.empty() ? std::uint8_t{0} : history.kinds[i]));
      further.push_back({to, impl_->catalogue->id(history.items[i]), history.times.empty() ? kNoTime : history.times[i],
                         kinds.back(), history.weights.empty() ? 1.0f : history.weights[i]});
    }
    impl_->options.event_store->merge(from, to, further);
  }
  {
    const std::shared_ptr<UserRecord> source = impl_->users.find(from), target = impl_->users.find_or_add(to);
    const std::scoped_lock records(source->mutex, target->mutex);
    take_over(*source, *target, impl_->users, [&](const UserEvent& moved) {
      const Interaction event{.user = to, .item = {}, .timestamp = moved.time};
      return base && holds(*base, event, moved.item, moved.kind);
    });
  }
  impl_->users.erase(from);
}

std::string Recommender::export_user(const Id& user) const {
  using Key = std::tuple<ItemHandle, Timestamp, std::string, float>;
  std::multimap<Key, std::string> event_ids;
  if (EventStore* const store = impl_->options.event_store.get()) {
    std::set<std::string> known;
    store->visit(user, [&](const Interaction& e) {
      if (e.event_id.empty() || !known.emplace(e.event_id).second) return;
      event_ids.emplace(Key(impl_->catalogue->find(e.item), e.timestamp, e.event, e.value), e.event_id);
    });
  }
  const std::shared_ptr<UserRecord> record = impl_->users.find(user);
  if (!record) return {};
  const std::lock_guard lock(record->mutex);
  std::string lines;
  const std::string user_text = json_of(to_string(user));
  for (const UserEvent& event : record->events()) {
    const std::string kind = impl_->kinds.name(event.kind);
    lines += "{\"user\":" + user_text + ",\"item\":" + json_of(to_string(impl_->catalogue->id(event.item)));
    if (event.time != kNoTime) lines += ",\"timestamp\":" + std::to_string(event.time);
    lines += ",\"event\":" + json_of(kind) + ",\"value\":" + text_of(event.value);
    const auto id = event_ids.find(Key(event.item, event.time, kind, event.value));
    if (id != event_ids.end()) {
      lines += ",\"event_id\":" + json_of(id->second);
      event_ids.erase(id);
    }
    lines += "}\n";
  }
  return lines;
}

}  // namespace attune::inline v0_1
