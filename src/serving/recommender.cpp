// SPDX-License-Identifier: Apache-2.0
#include "attune/recommender.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>

#include "attune/detail/top_k.hpp"
#include "attune/executor.hpp"
#include "model/ranking.hpp"
#include "serving/exclusion.hpp"
#include "serving/recommender_impl.hpp"

namespace attune::inline v0_1 {
namespace {

std::size_t num_distinct(std::vector<Id> ids) {
  const auto key = [](const Id& id) { return std::tuple(id.is_text(), id.is_number(), id.number(), id.text()); };
  std::ranges::sort(ids, {}, key);
  return static_cast<std::size_t>(std::unique(ids.begin(), ids.end()) - ids.begin());
}

}  // namespace

std::shared_ptr<const Snapshot> Recommender::Impl::current() const {
  const std::lock_guard lock(snapshot_mutex);
  return snapshot;
}

// Events.

Observed Recommender::Impl::record(Interaction& event, MissingTime missing) {
  if (!std::isfinite(event.value) || !is_event_time(event.timestamp) || !users.accepts(event.user) ||
      !catalogue->accepts(event.item)) {
    return Observed::rejected;
  }
  const auto kind = kinds.of_event(event.event);
  const ItemHandle item = kind ? catalogue->find_or_add(event.item) : kNoHandle;
  if (item == kNoHandle) return Observed::rejected;
  for (;;) {
    const std::shared_ptr<UserRecord> user = users.find_or_add(event.user);
    const std::lock_guard lock(user->mutex);
    if (user->forgotten) continue;  // in between
    if (event.timestamp == kNoTime && missing == MissingTime::becomes_last) event.timestamp = user->last_time();
    return UserStates::record(*user, item, event.timestamp, *kind, event.value, event.event_id);
  }
}

Observed Recommender::observe(const Interaction& interaction) {
  Interaction event = interaction;
  const Observed observed = impl_->record(event);
  if (observed == Observed::recorded) impl_->store({&event, 1}, 1);
  return observed;
}

// Answers.

// Gives an answer its items and says where they come from.
void Recommender::Impl::fill(Answer& answer, std::shared_ptr<const Snapshot> now, std::span<const ScoredHandle> items,
                             Source source, Scores scores) {
  answer.items.clear();
  answer.items.reserve(items.size());
  now->catalogue->read([&](const IdMap& ids) {
    for (const ScoredHandle& item : items) answer.items.push_back({ids.id(item.item), item.score});
  });
  if (source == Source::model && scores == Scores::of_next_event && !now->calibration.empty()) {
    for (Recommendation& item : answer.items) item.probability = now->calibration(item.score);
  }
  answer.source = source;
  answer.shortfall = {};
  answer.score_kind = now->score_kind(source);
  answer.model_version = now->version;
  answer.generation = now->generation;
  answer.reranked = 0;
  answer.keep_alive_ = std::move(now);
}

Recommender::Impl::RankingStage Recommender::Impl::ranking_stage(const Snapshot& now) const noexcept {
  const Ranker* const ranker = options.ranker ? options.ranker.get() : now.ranker.get();
  if (ranker == nullptr || options.ranker_candidates == std::size_t{0}) return {};
  const bool of_model = !options.ranker;
  const std::size_t own = ranker->candidates(), most = options.ranker_candidates.value_or(own);
  return {ranker, of_model ? std::min(most, own) : most, of_model};
}

std::size_t Recommender::Impl::order(EngineAnswer& found, const RankingStage& stage, const Snapshot& now,
                                     HistoryView history, Context context, RequestScratch& scratch) {
  if (stage.ranker == nullptr || (stage.of_model && found.source != Source::model)) return 0;
  if (context.now == kNoTime && !history.times.empty()) context.now = history.times.back();
  scratch.ranked.assign(found.items.begin(), found.items.end());  // the ranker may use the workspace
  found.items = scratch.ranked;
  scratch.candidates.clear();
  catalogue->read([&](const IdMap& ids) {
    for (std::size_t rank = 0; rank < std::min(stage.candidates, found.items.size()); ++rank) {
      const ScoredHandle& item = found.items[rank];
      scratch.candidates.push_back({ids.id(item.item), item.item, item.score, rank});
    }
  });
  const RankingQuery query{history, context, found.source, now.score_kind(found.source)};
  const detail::Ranking ranking = detail::rank_candidates(*stage.ranker, query, scratch.candidates, scratch.scores,
                                                          options.ranker_deadline, scratch.workspace);
  for (std::size_t i = 0; i < ranking.reranked; ++i) {
    scratch.ranked[i] = {scratch.candidates[i].handle, scratch.candidates[i].score};
  }
  ranker_failures += ranking.failed;
  missed_deadlines += ranking.late;
  return ranking.reranked;
}

EngineAnswer Recommender::Impl::ask(const Snapshot& now, HistoryView history, const Context& context,
                                    std::span<const std::uint64_t> eligible, std::size_t k, detail::EngineState* state,
                                    Workspace& workspace) {
  try {
    return now.engine->recommend(history, context, eligible, k, state, workspace);
  } catch (const Error& error) {
    note_damage(now, error);
  }
  if (state != nullptr) state->reset();
  return now.engine->recommend({}, context, eligible, k, nullptr, workspace);
}

void Recommender::Impl::note_damage(const Snapshot& now, const Error& error) {
  const bool is_damage = error.code() == ErrorCode::corrupt_file || error.code() == ErrorCode::non_finite;
  if (!now.weights || !is_damage) throw;
  ++damaged_answers;
  now.weights->note(error);
}

void Recommender::Impl::recommend(std::shared_ptr<const Snapshot> now, HistoryView history,
                                  std::span<const ItemHandle> distinct, const Request& request,
                                  detail::EngineState* state, RequestScratch& scratch, Answer& answer) {
  const Exclusion exclusion(scratch, *now, request.exclude_seen ? distinct : std::span<const ItemHandle>{});
  const Context context{.now = request.now, .user = request.user};
  const EngineAnswer found =
      ask(*now, history, context, exclusion.eligible(), most_wanted(*now, request.k), state, scratch.workspace);
  finish(answer, std::move(now), found, history, context, request.k, exclusion, scratch);
}

std::size_t Recommender::Impl::most_wanted(const Snapshot& now, std::size_t k) const noexcept {
  return std::min(std::max(k, ranking_stage(now).candidates), now.engine->size());
}

void Recommender::Impl::finish(Answer& answer, std::shared_ptr<const Snapshot> now, EngineAnswer found,
                               HistoryView history, const Context& context, std::size_t k, const Exclusion& exclusion,
                               RequestScratch& scratch) {
  const std::size_t reranked = order(found, ranking_stage(*now), *now, history, context, scratch);
  fill(answer, std::move(now), found.items.first(std::min(k, found.items.size())), found.source);
  answer.reranked = reranked;
  answer.shortfall.seen = exclusion.size();
  answer.shortfall.unavailable = catalogue->size() - exclusion.size() - exclusion.returnable(found.source);
}

Answer Recommender::recommend(const Request& request) const {
  Answer answer;
  recommend(request, answer);
  return answer;
}

void Recommender::recommend(const Request& request, Answer& answer) const {
  auto now = impl_->current();
  const ScratchPool::Lease scratch = impl_->pool.take();
  const std::shared_ptr<UserRecord> user = impl_->users.find(request.user);
  if (!user) return impl_->recommend(std::move(now), {}, {}, request, nullptr, *scratch, answer);
  const std::lock_guard lock(user->mutex);
  detail::EngineState* state = impl_->users.acquire_state(*user, *now->engine, now->generation);
  impl_->recommend(std::move(now), user->history(), user->distinct, request, state, *scratch, answer);
}

Answer Recommender::recommend_history(std::span<const Id> items, const Request& request,
                                      std::span<const Timestamp> times) const {
  auto now = impl_->current();
  const ScratchPool::Lease scratch = impl_->pool.take();
  Request at = request;
  if (times.size() != items.size()) times = {};
  if (at.now == kNoTime && !times.empty()) at.now = times.back();
  scratch->handles.clear();
  scratch->times.clear();
  for (std::size_t i = 0; i < items.size(); ++i) {
    scratch->handles.push_back(impl_->catalogue->find(items[i]));  // kNoHandle: an event that only a ranker reads
    if (!times.empty()) scratch->times.push_back(times[i]);
  }
  scratch->distinct = scratch->handles;
  std::erase(scratch->distinct, kNoHandle);
  std::ranges::sort(scratch->distinct);
  scratch->distinct.erase(std::unique(scratch->distinct.begin(), scratch->distinct.end()), scratch->distinct.end());
  Answer answer;
  impl_->recommend(std::move(now), {.items = scratch->handles, .times = scratch->times}, scratch->distinct, at, nullptr,
                   *scratch, answer);
  return answer;
}

// Every user is locked for as long as it takes to encode him; what the rest needs of him is copied.
void Recommender::Impl::recommend_together(const std::shared_ptr<const Snapshot>& now,
                                           std::span<const Request> requests, std::span<Answer> answers) {
  struct Encoded {
    std::size_t request;
    std::vector<float> user_vector;
    std::vector<ItemHandle> items, excluded;
    std::vector<Timestamp> times;
    std::vector<std::uint8_t> kinds;
    std::vector<float> weights;
  };
  const ScratchPool::Lease scratch = pool.take();
  std::vector<Encoded> encoded;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const Request& request = requests[i];
    const std::shared_ptr<UserRecord> user = users.find(request.user);
    if (!user) {
      recommend(now, {}, {}, request, nullptr, *scratch, answers[i]);
      continue;
    }
    const std::lock_guard lock(user->mutex);
    detail::EngineState* state = users.acquire_state(*user, *now->engine, now->generation);
    const Context context{.now = request.now, .user = request.user};
    std::span<const float> vector;
    try {
      vector = now->engine->user_vector(user->history(), context, state, scratch->workspace);
    } catch (const Error&) {  // which his own request will meet and note
      if (state != nullptr) state->reset();
    }
    if (vector.empty()) {
      recommend(now, user->history(), user->distinct, request, state, *scratch, answers[i]);
      continue;
    }
    encoded.push_back({i,
                       {vector.begin(), vector.end()},
                       user->items,
                       request.exclude_seen ? user->distinct : std::vector<ItemHandle>{},
                       user->times,
                       user->kinds,
                       user->weights});
  }
  std::vector<BatchedQuery> queries;
  for (const Encoded& of : encoded) {
    queries.push_back({of.user_vector, of.excluded, most_wanted(*now, requests[of.request].k)});
  }
  try {
    now->engine->top_k_batch(queries, now->listed, scratch->workspace);
  } catch (const Error&) {  // of one of them at least: each asks for himself
    for (const Encoded& of : encoded) {
      recommend(now, {of.items, of.times, of.kinds, of.weights}, of.excluded, requests[of.request], nullptr, *scratch,
                answers[of.request]);
    }
    return;
  }
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const Encoded& of = encoded[q];
    const Request& request = requests[of.request];
    finish(answers[of.request], now, {queries[q].best, Source::model}, {of.items, of.times, of.kinds, of.weights},
           {.now = request.now, .user = request.user}, request.k, Exclusion(*scratch, *now, of.excluded), *scratch);
  }
}

std::vector<Answer> Recommender::recommend_batch(std::span<const Request> requests) const {
  std::vector<Answer> answers(requests.size());
  InlineExecutor inline_executor;
  Executor& executor = impl_->options.executor ? *impl_->options.executor : inline_executor;
  const auto now = impl_->current();
  if (!now->engine->batches()) {
    executor.run(requests.size(), [&](std::size_t task, std::size_t) { recommend(requests[task], answers[task]); });
    return answers;
  }
  constexpr std::size_t kTogether = 64;
  const std::size_t per_thread = (requests.size() + executor.concurrency() - 1) / executor.concurrency();
  const std::size_t together = std::clamp<std::size_t>(per_thread, 1, kTogether);
  executor.run((requests.size() + together - 1) / together, [&](std::size_t task, std::size_t) {
    const std::size_t first = task * together, count = std::min(together, requests.size() - first);
    impl_->recommend_together(now, requests.subspan(first, count), std::span(answers).subspan(first, count));
  });
  return answers;
}

Answer Recommender::rank(const Id& user_id, std::span<const Id> candidates, Timestamp at) const {
  auto now = impl_->current();
  const ScratchPool::Lease scratch = impl_->pool.take();
  std::vector<ItemHandle>& handles = scratch->handles;
  handles.clear();
  std::vector<Id> unknown;
  for (const Id& id : candidates) {
    const ItemHandle item = impl_->catalogue->find(id);
    item == kNoHandle ? unknown.push_back(id) : handles.push_back(item);
  }
  std::ranges::sort(handles);
  handles.erase(std::unique(handles.begin(), handles.end()), handles.end());
  scratch->scores.resize(handles.size());

  const std::shared_ptr<UserRecord> user = impl_->users.find(user_id);
  const Context context{.now = at, .user = user_id};
  const auto score = [&](HistoryView history, detail::EngineState* state) {
    return now->engine->score(history, context, handles, scratch->scores, state, scratch->workspace);
  };
  std::optional<Source> source;
  if (user) {
    const std::lock_guard lock(user->mutex);
    detail::EngineState* state = impl_->users.acquire_state(*user, *now->engine, now->generation);
    try {
      source = score(user->history(), state);
    } catch (const Error& error) {
      impl_->note_damage(*now, error);
      if (state != nullptr) state->reset();
    }
  }
  if (!source) source = score({}, nullptr);
  detail::TopK best(scratch->workspace.top, handles.size());
  for (std::size_t i = 0; i < handles.size(); ++i) {
    if (now->lists(handles[i])) best.push({handles[i], scratch->scores[i]});
  }
  Answer answer;
  const std::size_t wanted = handles.size() + num_distinct(std::move(unknown));
  Impl::fill(answer, std::move(now), best.finish(), *source);
  answer.shortfall.unavailable = wanted - answer.items.size();
  return answer;
}

Answer Recommender::similar_items(const Id& id, std::size_t k) const {
  auto now = impl_->current();
  const ScratchPool::Lease scratch = impl_->pool.take();
  const ItemHandle item = impl_->catalogue->find(id);
  const Exclusion exclusion(*scratch, *now, {&item, 1});
  std::optional<Neighbours> nearest;
  if (now->lists(item)) {
    k = std::min(k, now->engine->size());
    try {
      nearest = now->engine->similar(item, exclusion.eligible(), k, scratch->workspace);
    } catch (const Error& error) {
      impl_->note_damage(*now, error);
    }
  }
  const std::size_t others = impl_->catalogue->size() - (item == kNoHandle ? 0 : 1);
  const std::size_t returnable = nearest ? exclusion.returnable(Source::model) : 0;
  Answer answer;
  Impl::fill(answer, std::move(now), nearest ? nearest->items : std::span<const ScoredHandle>{}, Source::model,
             Impl::Scores::of_likeness);
  if (nearest) answer.score_kind = nearest->kind;
  answer.shortfall.unavailable = others - returnable;
  return answer;
}

void Recommender::check_model() const {
  const auto now = impl_->current();
  if (!now->weights) return;
  try {
    now->weights->blocks->require(0, now->weights->blocks->bytes().size());
  } catch (const Error& error) {
    now->weights->note(error);
    throw;
  }
}

RecommenderInfo Recommender::info() const {
  const auto now = impl_->current();
  return {.model_version = now->version,
          .score_kind = now->engine->kind(),
          .generation = now->generation,
          .items = impl_->catalogue->size(),
          .users = impl_->users.num_users(),
          .cache_bytes = impl_->users.cache_bytes(),
          .unstored_events = *impl_->unstored_events,
          .ranker_failures = impl_->ranker_failures,
          .missed_deadlines = impl_->missed_deadlines,
          .search_recall = now->search_recall,
          .damaged_answers = impl_->damaged_answers,
          .damage = now->weights ? now->weights->first_damage() : "",
          .item_ids = impl_->catalogue->kind(),
          .user_ids = impl_->users.accepts(Id(0)) ? IdKind::int64 : IdKind::string};
}

IdMap Recommender::item_ids() const {
  IdMap copy;
  impl_->catalogue->read([&](const IdMap& ids) { copy = ids; });
  return copy;
}

}  // namespace attune::inline v0_1
