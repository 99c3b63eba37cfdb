// SPDX-License-Identifier: Apache-2.0

// Opening and reloading: everything that may fail happens before the new snapshot is published.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "attune/serving/event_store.hpp"
#include "attune/serving/make_recommender.hpp"
#include "data/without_users.hpp"
#include "model/opening_file.hpp"
#include "serving/recommender_impl.hpp"

namespace attune::inline v0_1 {
namespace {

IdKind user_kind(const TrainedModel& model) {
  return model.histories ? model.histories->user_ids->kind() : IdKind::string;
}

// Histories of a model in the handles of the catalogue and the kinds of the recommender.
std::shared_ptr<const Histories> translate(std::shared_ptr<const Histories> histories,
                                           std::span<const ItemHandle> handles, EventKinds& kinds) {
  std::vector<std::uint8_t> kind_of;
  for (const std::string& name : histories->event_kinds) {
    const auto kind = kinds.of_model(name);
    if (!kind) throw Error(ErrorCode::limit_exceeded, "more than 256 kinds of events in all models served so far");
    kind_of.push_back(*kind);
  }
  const auto same = [](const auto& numbers) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (numbers[i] != i) return false;
    }
    return true;
  };
  if (same(handles) && same(kind_of)) return histories;
  auto translated = std::make_shared<Histories>(*histories);
  for (ItemHandle& item : translated->items) item = handles[item];
  for (std::uint8_t& kind : translated->kinds) kind = kind_of[kind];
  return translated;
}

void check_ids(const detail::EngineParts& parts) {
  if (parts.item_ids.size() == parts.engine->size()) return;
  throw Error(ErrorCode::invalid_argument, "item ids: expected one for each of the engine's " +
                                               std::to_string(parts.engine->size()) + " handles, found " +
                                               std::to_string(parts.item_ids.size()));
}

void check_search(const RecommenderOptions& options) {
  if (options.search_recall > 0 && options.search_recall <= 1) return;
  throw Error(ErrorCode::invalid_argument,
              "RecommenderOptions::search_recall: expected more than 0 and at most 1, found " +
                  std::to_string(options.search_recall));
}

std::string at(const char* what, std::size_t i) {
  return std::string("RecommenderOptions::").append(what).append("[").append(std::to_string(i)).append("]");
}

// Numbers the kinds from 1; their weights by number, none where none is named.
std::vector<float> number_kinds(const std::vector<EventKind>& named, EventKinds& kinds) {
  std::vector<float> weights;
  for (std::size_t i = 0; i < named.size(); ++i) {
    const auto& [name, weight] = named[i];
    if (name.empty()) throw Error(ErrorCode::invalid_argument, at("event_kinds", i) + ": expected a name, found none");
    if (!std::isfinite(weight)) {
      throw Error(ErrorCode::invalid_argument, at("event_kinds", i) + " \"" + name +
                                                   "\": expected a finite weight, found " + std::to_string(weight));
    }
    const auto number = kinds.of_event(name);
    if (!number) {
      throw Error(ErrorCode::limit_exceeded, "RecommenderOptions::event_kinds: expected at most " +
                                                 std::to_string(EventKinds::kMostFromEvents) + ", found " +
                                                 std::to_string(named.size()));
    }
    if (*number <= i) {
      throw Error(ErrorCode::invalid_argument,
                  at("event_kinds", i) + ": expected kinds of different names, found \"" + name + "\" twice");
    }
    if (weights.empty()) weights.push_back(1);
    weights.push_back(weight);
  }
  return weights;
}

}  // namespace

bool holds(const Histories& histories, const Interaction& event, ItemHandle item, std::uint8_t kind) {
  const UserHandle user = histories.user_ids->find(event.user);
  if (user == kNoHandle) return false;
  const HistoryView history = histories.of(user);
  const auto [begin, end] = std::equal_range(history.times.begin(), history.times.end(), event.timestamp);
  for (auto at = begin; at != end; ++at) {
    const auto i = static_cast<std::size_t>(at - history.times.begin());
    const std::uint8_t held = history.kinds.empty() ? std::uint8_t{0} : history.kinds[i];
    if (history.items[i] == item && held == kind) return true;
  }
  return false;
}

Recommender::Impl::Impl(RecommenderOptions options_, IdMap items, IdKind user_ids)
    : options(std::move(options_)),
      catalogue(std::make_shared<Catalogue>(std::move(items), options.max_items, options.item_fields)),
      users(user_ids, {.cache_budget_bytes = options.cache_budget_bytes,
                       .storage = options.state_storage,
                       .history_budget_bytes = options.history_budget_bytes,
                       .history_ttl = options.history_ttl,
                       .kind_weights = number_kinds(options.event_kinds, kinds)}),
      vectors(user_ids, options.user_vector_budget_bytes),
      profiles(user_ids, options.profile_budget_bytes) {}

void Recommender::Impl::publish(ServedModel model, std::span<const ItemHandle> handles) {
  const std::shared_ptr<const Snapshot> before = current();
  const std::uint64_t generation = before ? before->generation + 1 : 1;
  auto next = make_snapshot(catalogue, std::move(model), handles, generation, ++editions);
  const std::string line = "model \"" + next->version + "\" serves " + std::to_string(handles.size()) +
                           " items as generation " + std::to_string(generation);
  users.warm_up(*next->engine, generation, options.warm_up_users, pool.take()->workspace);
  {
    const std::lock_guard content(content_mutex);
    auto known = std::make_unique<NewItems>();
    if (next->tower) next = with_contents(with_no_content(*next, events_told), contents.items(), *known);
    new_items.swap(known);
    const std::lock_guard lock(snapshot_mutex);
    snapshot.swap(next);
  }
  log(LogLevel::info, line);
  // The old one is taken down here rather than in a request, unless somebody keeps an answer of it.
  for (int i = 0; i < 20 && next.use_count() > 1; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void Recommender::Impl::serve(const TrainedModel& model) {
  std::vector<ItemHandle> handles;
  if (current()) {
    handles = catalogue->add_all(*model.item_ids);
  } else {  // the catalogue was made of them
    handles.resize(model.num_items());
    std::iota(handles.begin(), handles.end(), ItemHandle{0});
  }
  ServedModel served = make_served(model, handles, options);
  if (model.histories) users.add_histories(translate(remembered(model.histories), handles, kinds));
  publish(std::move(served), handles);
}

void Recommender::Impl::serve(detail::EngineParts parts) {
  catalogue->add_in_place(parts.item_ids);
  std::vector<ItemHandle> handles(parts.engine->size());
  std::iota(handles.begin(), handles.end(), ItemHandle{0});
  publish({std::move(parts.engine), std::move(parts.version)}, handles);
}

template <class Serve>
void Recommender::Impl::replace(Serve serve_next) {
  const Timed timed(*this, Operation::reload);
  const std::lock_guard lock(reload_mutex);
  try {
    serve_next();
  } catch (const std::exception& error) {
    meters.reload_failed();
    log(LogLevel::error, std::string("the old model goes on serving: ").append(error.what()));
    throw;
  }
}

void Recommender::Impl::replay() {
  if (!options.event_store) return;
  replay_profiles();
  std::size_t rejected = 0;
  options.event_store->replay([&](const Interaction& stored) { rejected += !take_stored(stored); });
  if (rejected != 0) {
    log(LogLevel::warning,
        std::to_string(rejected) +
            " stored events are not served: ids of another kind than the model's, or beyond max_items");
  }
  options.event_store->follow(this);
  follows = true;
}

bool Recommender::Impl::take_stored(const Interaction& stored) {
  const std::shared_ptr<const Histories> known = users.histories();
  const auto kind = kinds.of_event(stored.event);
  if (known && kind && holds(*known, stored, catalogue->find(stored.item), *kind)) {
    const std::shared_ptr<UserRecord> user = users.find(stored.user);
    if (!user) return true;  // forgotten in between
    const std::lock_guard lock(user->mutex);
    // The store may be given the event once more.
    UserStates::remember_event(*user, stored.event_id, catalogue->find(stored.item), stored.timestamp, *kind);
    return true;
  }
  Interaction event = stored;
  return take(event, MissingTime::stays) != Observed::rejected;
}

Recommender::Impl::~Impl() {
  if (follows) options.event_store->follow(nullptr);
}

Recommender::Recommender(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Recommender::Recommender(Recommender&&) noexcept = default;
Recommender& Recommender::operator=(Recommender&&) noexcept = default;
Recommender::~Recommender() = default;

Recommender Recommender::open(const std::string& model, RecommenderOptions options) {
  const ModelAccess access = options.model_access;
  return Impl::open(TrainedModel::load(model, access), std::filesystem::absolute(model).string(), std::move(options));
}

Recommender Recommender::open(const TrainedModel& model, RecommenderOptions options) {
  return Impl::open(model, {}, std::move(options));
}

Recommender Recommender::Impl::open(const TrainedModel& model, std::string directory, RecommenderOptions options) {
  check_search(options);
  auto impl = std::make_unique<Impl>(std::move(options), *model.item_ids, user_kind(model));
  impl->directory = std::move(directory);
  impl->serve(model);
  impl->replay();
  return Recommender(std::move(impl));
}

void Recommender::Impl::serve(const std::string& model) {
  serve(TrainedModel::load(model, options.model_access));
  directory = std::filesystem::absolute(model).string();
}

void Recommender::reload(const std::string& model) {
  // In turn with forget_user(), so that nobody is forgotten between reading and serving.
  impl_->replace([&] { impl_->serve(model); });
}

void Recommender::reload(const TrainedModel& model) {
  impl_->replace([&] {
    impl_->serve(model);
    impl_->directory.clear();
  });
}

void detail::serve_update(Recommender& recommender, const std::string& directory, const TrainedModel& old,
                          TrainedModel& next, const std::string& output) {
  Recommender::Impl& impl = *recommender.impl_;
  impl.replace([&] {  // in turn with forget_user()
    const std::shared_ptr<const Histories> left = TrainedModel::load(directory, ModelAccess::mapped).histories;
    const auto forgotten = [&](const Id& user) {
      return left && old.histories->user_ids->find(user) != kNoHandle && left->user_ids->find(user) == kNoHandle;
    };
    next.histories = impl.remembered(without_users(*next.histories, forgotten));
    next.save(output);
    impl.serve(output);
  });
}

Recommender detail::make_recommender(EngineParts parts, RecommenderOptions options) {
  check_ids(parts);
  auto impl = std::make_unique<Recommender::Impl>(std::move(options), parts.item_ids, parts.user_ids);
  impl->serve(std::move(parts));
  impl->replay();
  return Recommender(std::move(impl));
}

void detail::reload(Recommender& recommender, EngineParts parts) {
  recommender.impl_->replace([&] {
    check_ids(parts);
    recommender.impl_->serve(std::move(parts));
    recommender.impl_->directory.clear();
  });
}

}  // namespace attune::inline v0_1
