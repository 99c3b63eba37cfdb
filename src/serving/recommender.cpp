// SPDX-License-Identifier: Apache-2.0
#include "attune/recommender.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>

#include "attune/detail/top_k.hpp"
#include "attune/serving/policy.hpp"
#include "model/ranking.hpp"
#include "serving/eligibility.hpp"
#include "serving/recommender_impl.hpp"
#include "serving/shadow_run.hpp"

namespace attune::inline v0_1 {
namespace {

std::size_t num_distinct(std::vector<Id> ids) {
  const auto key = [](const Id& id) { return std::tuple(id.is_text(), id.is_number(), id.number(), id.text()); };
  std::ranges::sort(ids, {}, key);
  return static_cast<std::size_t>(std::unique(ids.begin(), ids.end()) - ids.begin());
}

// How many of `eligible` items scored too little for an answer of k, where the best of them are known.
std::size_t num_below(const Request& request, std::size_t eligible, std::size_t enough) noexcept {
  const bool all_count = request.min_score == -std::numeric_limits<float>::infinity() || enough >= request.k;
  return all_count ? 0 : eligible - enough;
}

std::int64_t nanoseconds(Meters::Clock::time_point time) noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

}  // namespace

Recommender::Impl::Timed::~Timed() {
  const auto end = Meters::Clock::now();
  impl_.meters.finished(operation_, end - begin_);
  if (Telemetry* const telemetry = impl_.options.telemetry.get())
    telemetry->span({operation_, nanoseconds(begin_), nanoseconds(end), items_});
}

void Recommender::Impl::log(LogLevel level, std::string_view message) const noexcept {
  if (options.telemetry) options.telemetry->log(level, message);
}

std::shared_ptr<const Snapshot> Recommender::Impl::current() const {
  const std::lock_guard lock(snapshot_mutex);
  return snapshot;
}

// Events.

Observed Recommender::Impl::record(Interaction& event) {
  const bool rejects = options.unknown_event_kinds == UnknownEventKinds::reject && !event.event.empty();
  const bool unknown =
      rejects && std::ranges::find(options.event_kinds, event.event, &EventKind::name) == options.event_kinds.end();
  const Observed outcome = unknown ? Observed::rejected : take(event, MissingTime::becomes_last);
  meters.observed(outcome);
  return outcome;
}

float Recommender::Impl::weight_of(std::uint8_t kind) const noexcept {
  return kind == 0 || kind > options.event_kinds.size() ? 1.0f : options.event_kinds[kind - 1].weight;
}

Observed Recommender::Impl::take(Interaction& event, MissingTime missing) {
  if (!std::isfinite(event.value) || !is_event_time(event.timestamp) || !users.accepts(event.user) ||
      !catalogue->accepts(event.item)) {
    return Observed::rejected;
  }
  const auto kind = kinds.of_event(event.event);
  const ItemHandle item = kind ? catalogue->find_or_add(event.item) : kNoHandle;
  if (item == kNoHandle) return Observed::rejected;
  for (;;) {
    const std::shared_ptr<UserRecord> user = users.find_or_add(event.user, event.timestamp);
    std::unique_lock lock(user->mutex);
    if (user->forgotten) continue;  // in between
    if (event.timestamp == kNoTime && missing == MissingTime::becomes_last) event.timestamp = user->last_time();
    if (const auto run = current_shadow(); run && weight_of(*kind) > 0 && run->samples(event.user)) {
      measure(*run, *user, event, item);
    }
    if (weight_of(*kind) > 0 && !UserStates::has_event(*user, event.event_id)) learn(*user, item);
    const Observed outcome = users.record(*user, item, event.timestamp, *kind, event.value, event.event_id);
    lock.unlock();
    if (vectors.asked()) users.find(event.user);  // used since his history has the event
    return outcome;
  }
}

Observed Recommender::observe(const Interaction& interaction) {
  Impl::Timed timed(*impl_, Operation::observe);
  timed.items(1);
  Interaction event = interaction;
  const Observed observed = impl_->record(event);
  if (observed == Observed::recorded) impl_->store({&event, 1}, 1);
  return observed;
}

// Answers.

// Gives an answer its items and says where they come from.
void Recommender::Impl::fill(Answer& answer, std::shared_ptr<const Snapshot> now, const EngineAnswer& found,
                             Scores scores, std::span<const float> boosts) {
  const std::span<const ScoredHandle> items = found.items;
  answer.items.clear();
  answer.items.reserve(items.size());
  now->catalogue->read([&](const IdMap& ids) {
    for (const ScoredHandle& item : items) answer.items.push_back({ids.id(item.item), item.score});
  });
  if (found.of_model_alone() && scores == Scores::of_next_event && !now->calibration.empty()) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      const float boost = items[i].item < boosts.size() ? boosts[items[i].item] : 0.0f;
      answer.items[i].probability = now->calibration(items[i].score - boost);
    }
  }
  answer.source = found.source;
  answer.shortfall = {};
  answer.score_kind = now->score_kind(found);
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
  if (stage.ranker == nullptr || (stage.of_model && !found.of_model_alone())) return 0;
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
  const RankingQuery query{history, context, found.source, now.score_kind(found)};
  const detail::Ranking ranking =
      detail::rank_candidates(*stage.ranker, query, scratch.candidates, scratch.scores,
                              std::chrono::nanoseconds(options.ranker_deadline), scratch.workspace);
  for (std::size_t i = 0; i < ranking.reranked; ++i) {
    scratch.ranked[i] = {scratch.candidates[i].handle, scratch.candidates[i].score};
  }
  if (ranking.failed && !std::exchange(scratch.failures.ranker, true)) ++ranker_failures;
  missed_deadlines += ranking.late;
  return ranking.reranked;
}

EngineAnswer Recommender::Impl::ask(const Snapshot& now, HistoryView history, const Context& context,
                                    const Eligibility& eligible, std::size_t k, detail::EngineState* state,
                                    RequestScratch& scratch) {
  try {
    return now.engine->recommend(history, context, eligible.bits(), eligible.boosts(), k, state, scratch.workspace);
  } catch (const Error& error) {
    note_damage(now, error, scratch);
  }
  if (state != nullptr) state->reset();
  return now.engine->recommend({}, context, eligible.bits(), eligible.boosts(), k, nullptr, scratch.workspace);
}

std::shared_ptr<const detail::CompiledPolicy> Recommender::Impl::policy_of(const Request& request) noexcept {
  return request.policy == nullptr ? nullptr : request.policy->compiled_;
}

void Recommender::Impl::note_damage(const Snapshot& now, const Error& error, RequestScratch& scratch) {
  const bool is_damage = error.code() == ErrorCode::corrupt_file || error.code() == ErrorCode::non_finite;
  if (!now.weights || !is_damage) throw;
  if (!std::exchange(scratch.failures.damage, true)) ++damaged_answers;
  if (now.weights->note(error)) log(LogLevel::error, error.what());
}

void Recommender::Impl::recommend(std::shared_ptr<const Snapshot> now, const UserView& user, const Request& request,
                                  detail::EngineState* state, RequestScratch& scratch, Answer& answer) {
  scratch.failures = {};
  const Eligibility eligible(scratch, *now, request, policy_of(request), time_of(request.now, user.history),
                             seen_items(request, user, scratch));
  if (selects(request)) return select(std::move(now), user, request, eligible, state, scratch, answer);
  const EngineAnswer found =
      ask(*now, user.history, context_of(request, user), eligible, most_wanted(*now, request.k), state, scratch);
  finish(answer, std::move(now), found, user, request, eligible, scratch);
}

std::size_t Recommender::Impl::most_wanted(const Snapshot& now, std::size_t k) const noexcept {
  return std::min(std::max(k, ranking_stage(now).candidates), now.engine->size());
}

void Recommender::Impl::finish(Answer& answer, std::shared_ptr<const Snapshot> now, EngineAnswer found,
                               const UserView& user, const Request& request, const Eligibility& eligible,
                               RequestScratch& scratch) {
  found.items = scoring_enough(found.items, request.min_score);
  const std::size_t below = num_below(request, eligible.size(found.ranked_by()), found.items.size());
  const std::size_t reranked =
      order(found, ranking_stage(*now), *now, user.history, context_of(request, user), scratch);
  found.items = found.items.first(std::min(request.k, found.items.size()));
  fill(answer, std::move(now), found, Scores::of_next_event, eligible.boosts());
  answer.reranked = reranked;
  answer.shortfall = eligible.shortfall(found.ranked_by());
  answer.shortfall.below_min_score = below;
}

Answer Recommender::recommend(const Request& request) const {
  Answer answer;
  recommend(request, answer);
  return answer;
}

void Recommender::recommend(const Request& request, Answer& answer) const {
  Impl::Timed timed(*impl_, Operation::recommend);
  impl_->recommend(request, answer);
  timed.items(answer.items.size());
}

void Recommender::Impl::recommend(const Request& request, Answer& answer) {
  auto now = current();
  const ScratchPool::Lease scratch = pool.take();
  if (const std::shared_ptr<UserRecord> user = users.find(request.user)) {
    const std::lock_guard lock(user->mutex);
    detail::EngineState* state = users.acquire_state(*user, *now->engine, now->generation);
    const FeatureTable* const profile = profile_of(*now, request.user, request.profile, user->history(), *scratch);
    recommend(std::move(now), user->view(profile), request, state, *scratch, answer);
  } else {
    const FeatureTable* const profile = profile_of(*now, request.user, request.profile, {}, *scratch);
    recommend(std::move(now), {{}, {}, {}, profile}, request, nullptr, *scratch, answer);
  }
  count(answer, request);
}

void Recommender::Impl::count(const Answer& answer, const Request& request) noexcept {
  meters.answered(answer.source, answer.items.size() < request.k);
}

Answer Recommender::recommend_history(std::span<const Id> items, const Request& request,
                                      std::span<const Timestamp> times) const {
  Impl::Timed timed(*impl_, Operation::recommend);
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
  const HistoryView history{.items = scratch->handles, .times = scratch->times};
  const UserView user{history, scratch->distinct, {}, impl_->profile_of(*now, {}, request.profile, history, *scratch)};
  impl_->recommend(std::move(now), user, at, nullptr, *scratch, answer);
  impl_->count(answer, request);
  timed.items(answer.items.size());
  return answer;
}

Answer Recommender::rank(const Id& user_id, std::span<const Id> candidates, Timestamp at) const {
  Impl::Timed timed(*impl_, Operation::rank);
  timed.items(candidates.size());
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
  std::size_t num_disliked = 0;
  const std::shared_ptr<UserRecord> user = impl_->users.find(user_id);
  Context context{.now = at, .user = user_id};
  bool blended = false;
  const auto score = [&](HistoryView history, detail::EngineState* state) {
    scratch->scores.resize(handles.size());
    blended = now->prior && UserPrior::is_about(history) &&
              !now->engine->user_vector(history, context, state, scratch->workspace).empty();
    return now->engine->score(history, context, handles, scratch->scores, state, scratch->workspace);
  };
  std::optional<Source> source;
  if (user) {
    const std::lock_guard lock(user->mutex);
    at = time_of(at, user->history());
    context.disliked = user->disliked;
    context.profile = impl_->profile_of(*now, user_id, {}, user->history(), *scratch);
    num_disliked = std::erase_if(
        handles, [&](ItemHandle item) { return std::ranges::binary_search(user->disliked, item, {}, &Dislike::item); });
    detail::EngineState* state = impl_->users.acquire_state(*user, *now->engine, now->generation);
    try {
      source = score(user->history(), state);
    } catch (const Error& error) {
      impl_->note_damage(*now, error, *scratch);
      if (state != nullptr) state->reset();
    }
    context.disliked = {};  // which need the lock
  }
  if (!source) {
    context.profile = impl_->profile_of(*now, user_id, {}, {}, *scratch);
    source = score({}, nullptr);
  }
  const Eligibility eligible(*scratch, *now, {}, nullptr, at, {});
  detail::TopK best(scratch->workspace.top, handles.size());
  for (std::size_t i = 0; i < handles.size(); ++i) {
    if (eligible.has(handles[i])) best.push({handles[i], scratch->scores[i]});
  }
  Answer answer;
  const std::size_t wanted = handles.size() + num_distinct(std::move(unknown));  // that are not disliked
  Impl::fill(answer, std::move(now), {best.finish(), *source, blended});
  answer.shortfall.unavailable = wanted - answer.items.size();
  answer.shortfall.seen = num_disliked;
  return answer;
}

Answer Recommender::similar_items(const Id& id, const Request& request) const {
  const Impl::Timed timed(*impl_, Operation::similar_items);
  auto now = impl_->current();
  const ScratchPool::Lease scratch = impl_->pool.take();
  const ItemHandle item = impl_->catalogue->find(id);
  const std::size_t itself = item == kNoHandle ? 0 : 1;
  const Eligibility eligible(*scratch, *now, request, Impl::policy_of(request), request.now, {&item, itself});
  std::optional<Neighbours> nearest;
  if (now->lists(item)) {
    const std::size_t k = std::min(request.k, now->engine->size());
    try {
      nearest = now->engine->similar(item, eligible.bits(), k, scratch->workspace);
    } catch (const Error& error) {
      impl_->note_damage(*now, error, *scratch);
    }
  }
  Answer answer;
  const EngineAnswer found{nearest ? scoring_enough(nearest->items, request.min_score) : Neighbours().items};
  Impl::fill(answer, std::move(now), found, Impl::Scores::others);
  if (nearest) {
    answer.score_kind = nearest->kind;
    answer.shortfall = eligible.shortfall(Source::model);
    answer.shortfall.below_min_score = num_below(request, eligible.size(Source::model), answer.items.size());
  } else {
    answer.shortfall.unavailable = impl_->catalogue->size() - itself;
  }
  answer.shortfall.seen = 0;
  return answer;
}

Policy Recommender::compile(const PolicyRules& rules) const {
  return Policy(std::make_shared<const detail::CompiledPolicy>(rules, impl_->catalogue));
}

void Recommender::check_model() const {
  const auto now = impl_->current();
  if (!now->weights) return;
  try {
    now->weights->blocks->require(0, now->weights->blocks->bytes().size());
  } catch (const Error& error) {
    if (now->weights->note(error)) impl_->log(LogLevel::error, error.what());
    throw;
  }
}

RecommenderStats Recommender::stats() const {
  RecommenderStats stats{.info = info()};
  impl_->meters.read(stats);
  return stats;
}

RecommenderInfo Recommender::info() const {
  const auto now = impl_->current();
  return {.model_version = now->version,
          .score_kind = now->engine->kind(),
          .generation = now->generation,
          .items = impl_->catalogue->size(),
          .users = impl_->users.num_users(),
          .cache_bytes = impl_->users.cache_bytes(),
          .history_bytes = impl_->users.history_bytes(),
          .users_let_go = impl_->users.users_let_go(),
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
