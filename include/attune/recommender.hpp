// SPDX-License-Identifier: Apache-2.0
#pragma once

// The facade: open a trained model, tell it what happens, ask what to show. Every member may be called from any number
// of threads at once. After warm-up, recommend(request, answer) and observe() without an event store allocate nothing
// for a user whose cache is resident. Errors are thrown while opening, reloading, compiling a policy and changing
// items; serving has a defined answer for everything, and throws only what an exhausted memory throws. A child process
// may go on with a recommender after fork(), unless a call was running then.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "attune/types.hpp"
#include "attune/version.hpp"

namespace attune::inline v0_1 {

class Cursor;
class EventStore;
class Executor;
struct Explanation;
struct ExplanationOptions;
struct GroupOptions;
class IdMap;
class Policy;
class Ranker;
class Recommender;
struct ExplorationOptions;
struct PolicyRules;
struct RecommenderOptions;
struct RecommenderStats;
struct ShadowOptions;
struct ShadowReport;
struct SimilarUsers;
struct SimilarUsersOptions;
class Telemetry;
struct TrainedModel;

namespace detail {
struct EngineParts;
ATTUNE_EXPORT Recommender make_recommender(EngineParts parts, RecommenderOptions options);
ATTUNE_EXPORT void reload(Recommender& recommender, EngineParts parts);
// Saves what became of the model `old`, which `directory` held, and serves it: without those who were forgotten since.
void serve_update(Recommender& recommender, const std::string& directory, const TrainedModel& old, TrainedModel& next,
                  const std::string& output);
}  // namespace detail

// What is called with true once events are as durable as the event store promises, with false once they never will be:
// any callable of a bool. From any thread; it may observe and recommend, no more. What it throws is lost.
class Completion {
 public:
  Completion() = default;
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, Completion> && std::invocable<std::remove_cvref_t<F>&, bool>)
      Completion(F&& function)
      : function_(std::make_shared<std::remove_cvref_t<F>>(std::forward<F>(function))),
        call_([](void* callee, bool stored) { (*static_cast<std::remove_cvref_t<F>*>(callee))(stored); }) {}
  void operator()(bool stored) const noexcept {
    try {
      if (function_) call_(function_.get(), stored);
    } catch (...) {
    }
  }

 private:
  std::shared_ptr<void> function_;
  void (*call_)(void*, bool) = nullptr;
};

struct RecommenderOptions {
  // Behaviour.
  // Where events are kept; null: in memory only. What it holds is replayed when the recommender opens; an event that
  // the model directory has too (same user, item, time and kind) counts once.
  std::shared_ptr<EventStore> event_store = nullptr;
  // Most items of all models served and of upserts, and again most that only events name: events that name more are
  // rejected, and take no room from a model.
  std::size_t max_items = 10'000'000;
  // What items have besides their ids, for upsert_item and the filters of policies. Each takes 4 bytes an item
  // (categories) or 8 (numbers), from the first item that has it.
  std::vector<ItemField> item_fields = {};
  // What kinds of events mean (docs/events.md): at most 128. Those not named weigh 1, and so does the plain one, "".
  std::vector<EventKind> event_kinds = {};
  UnknownEventKinds unknown_event_kinds = UnknownEventKinds::accept;
  // Reorders the engine's best items before an answer is cut to k (model/ranker.hpp). Null: the ranker that the model
  // brings, where it was trained with one.
  std::shared_ptr<const Ranker> ranker = nullptr;
  // How many of the best a ranker may reorder; null: as many as it says itself (Ranker::candidates); 0: none. A model's
  // own never reorders more than it was trained on.
  std::optional<std::size_t> ranker_candidates = std::nullopt;
  // Nanoseconds that the ranker of one request may go on taking further groups; 0: until it is done. A model's own
  // takes all candidates as one group, which no deadline cuts short.
  std::int64_t ranker_deadline = 0;
  std::shared_ptr<Telemetry> telemetry = nullptr;  // told what happens (serving/telemetry.hpp); null: nobody is
  // Performance.
  std::size_t cache_budget_bytes = std::size_t{1} << 30;  // encoder caches of users; less: more full encodes
  // Of the histories of users asked for or observed, some 21 bytes an event (37 with an id) and 600 a user, 1,200 one
  // whom a model brought; 0: no limit. Beyond it the least recently used are let go: they have the models' histories
  // again, and with an event store theirs, as far as there is room, when the recommender opens next.
  std::size_t history_budget_bytes = 0;
  // Milliseconds; 0: for ever. Users whose last event is so much older than the newest of anybody's are let go in the
  // same way and order. Where a user is more than 24 hours ahead of all others, it is their newest that counts.
  std::int64_t history_ttl = 0;
  std::size_t user_vector_budget_bytes = std::size_t{1} << 30;  // for similar_users(): see serving/people.hpp
  std::size_t profile_budget_bytes = std::size_t{1} << 30;      // of all that upsert_user() says
  // Before another model takes over, so many of the users asked for last get their caches for it, in the thread that
  // reloads. Each costs a full encode, and his cache twice for that long.
  std::size_t warm_up_users = 1000;
  // Of the caches. bfloat16: twice the users per byte; keys and values keep 8 significant bits. See StateStorage.
  StateStorage state_storage = StateStorage::float32;
  std::shared_ptr<Executor> executor = nullptr;  // for recommend_batch; null: the calling thread
  // Of open(directory) and reload(directory). Mapped, all but item vectors is checked at once; an answer that needs a
  // vector that turns out to be damaged comes from the cold start (from similar_items: is empty), and RecommenderInfo
  // says so. Opening reads all vectors, and throws for damage, where codes are not as the directory has them ready:
  // below 512 items, with another scorer_storage than `automatic`, with a search in lists, on level `scalar`.
  ModelAccess model_access = ModelAccess::mapped;
  // Of the item vectors. Beside the 4 bytes per item and dimension of float32, int8 takes 1 and int4 half a byte, both
  // 2 (4 more under dot) per item, and scans of large catalogues run 6 to 13 times as fast.
  ScorerStorage scorer_storage = ScorerStorage::automatic;
  // Of catalogues stored as int4. `exact` and `approximate` take 6 bytes more per item, and some seconds per million
  // whenever a model is opened: all item vectors are read and checked then. A million that form groups are searched 1.2
  // to 1.9 and 5 to 18 times as fast as by `scan`; others are scanned.
  SearchKind search = SearchKind::scan;
  // Of `approximate`: the share of the ten best before a blend that is found, on average. More costs time. In (0, 1].
  double search_recall = 0.99;
};

// An item that is to stand at a place of the list, from 0, whatever its score: also one that is seen, filtered or
// unknown to the model.
struct PinnedItem {
  Id item;
  std::size_t position = 0;
};

struct Request {
  Id user = {};  // unused by recommend_history
  std::size_t k = 10;
  Timestamp now = kNoTime;   // when the request happens; kNoTime: at the last event
  bool exclude_seen = true;  // leave out items of the user's history
  // Milliseconds. With exclude_seen, leave out only what has an event less than so long before the request, or one
  // without a time; 0: everything seen, for ever.
  std::int64_t cool_down = 0;
  // Compiled by the same recommender; one of another allows nothing. Null: no rules.
  const Policy* policy = nullptr;
  std::optional<std::span<const Id>> allow = std::nullopt;  // nothing but these; an empty list allows nothing
  std::span<const Id> deny = {};                            // none of these, allowed or not
  // Leave out what scores less (Answer::score_kind, boosts added), before a ranker sees it.
  float min_score = -std::numeric_limits<float>::infinity();
  std::span<const float> features = {};  // Context::features, for a host's own encoder, cold start and ranker
  // Of the user, in the place of what upsert_user() said. One that does not fit the model's schema says nothing.
  std::span<const FieldValue> profile = {};

  // What is done with the best of what was found and ranked (docs/lists.md), by recommend* alone.
  // From 0, the best as they are, to 1: places go to items that are less like those before. More costs relevance.
  float diversity = 0;
  DiversityMethod diversity_method = DiversityMethod::mmr;
  std::size_t diversity_pool = 100;  // at least so many of the best are weighed up; more costs time
  // Each once, at its place or behind the last item; places that are taken move it back. Never what is denied,
  // disliked, removed, outside its time or unknown. They count for caps and diversity.
  std::span<const PinnedItem> pinned = {};
  // Of a list in pages (serving/cursor.hpp): the answer is its next k places, without what earlier pages showed, and is
  // noted in it. Pages together are the answer of one large k while nothing changes. Null: one answer.
  Cursor* cursor = nullptr;
  const ExplorationOptions* exploration = nullptr;  // gives places to others, to learn (serving/exploration.hpp)
};

struct Recommendation {
  Id item;      // text lives as long as the answer
  float score;  // see Answer::score_kind; finite: the engine's, wherever a ranker or a rule puts the item
  // That the user's next event is on this item, where the model is calibrated and gave the answer; else NaN. Learned
  // from the best 50 items of lists without seen ones (unless training kept those): what scores lower than all of these
  // gets the lowest probability.
  float probability = std::numeric_limits<float>::quiet_NaN();
  bool pinned = false;  // by the request; the score is 0 where the engine has none
  // The chance that this item got this place, given those before: 1 of a pinned item, and where nothing is explored.
  float propensity = 1;
};

// Why an answer has fewer than k items: how many of the catalogue (for rank: of the candidates) could not be returned,
// each counted once: as seen, else as unavailable, else as filtered.
struct Shortfall {
  std::size_t seen = 0;             // in the history, and seen items are excluded; disliked
  std::size_t filtered = 0;         // by the policy's filter, `allow` or `deny`
  std::size_t unavailable = 0;      // removed, outside its time, no usable vector, or not in the model at all
  std::size_t below_min_score = 0;  // 0 where an answer has k items: nobody counts then
  std::size_t capped = 0;           // by the policy's caps; of those looked at, where an answer has k items
};

struct Answer {
  std::vector<Recommendation> items;  // best first: by score, by a ranker, or as the request's rules choose
  Source source = Source::model;
  Shortfall shortfall;
  ScoreKind score_kind = ScoreKind::cosine;
  std::string_view model_version;  // lives as long as the answer
  std::uint64_t generation = 0;    // counts reloads
  std::size_t reranked = 0;        // of the engine's best, how many a ranker put in order; 0: all is in the engine's

 private:
  friend class Recommender;
  std::shared_ptr<const void> keep_alive_;
};

struct RecommenderInfo {
  std::string model_version;
  ScoreKind score_kind = ScoreKind::cosine;
  std::uint64_t generation = 0;
  std::size_t items = 0, users = 0, cache_bytes = 0;
  std::size_t history_bytes = 0;     // of users asked for or observed since the recommender was opened
  std::size_t users_let_go = 0;      // under history_budget_bytes and history_ttl
  std::size_t unstored_events = 0;   // served, but the event store failed to keep them
  std::size_t ranker_failures = 0;   // answers in the engine's order because a ranker threw or gave no finite score
  std::size_t missed_deadlines = 0;  // answers of which a ranker did not reach every candidate
  double search_recall = 1;          // of sample users' ten best, the share that is found at least; 1: all, always
  std::size_t damaged_answers = 0;   // for want of a vector that is damaged in its file
  std::string damage;                // in this model, what was found first, as errors say it; empty: nothing
  IdKind item_ids = IdKind::string, user_ids = IdKind::string;
};

class ATTUNE_EXPORT Recommender {
 public:
  // Opens a model directory with the histories it holds. Throws Error.
  static Recommender open(const std::string& model, RecommenderOptions options = {});
  // The same for a model in memory (model/checkpoint.hpp), which is not needed any more afterwards.
  static Recommender open(const TrainedModel& model, RecommenderOptions options = {});
  Recommender(Recommender&&) noexcept;
  Recommender& operator=(Recommender&&) noexcept;
  ~Recommender();

  // Records an event; the next answer reflects it, also where the event store fails (RecommenderInfo says how often).
  // Users and items need not be known.
  Observed observe(const Interaction& interaction);
  std::vector<Observed> observe_batch(std::span<const Interaction> interactions);  // one answer per event, in order
  // The same, and `done` is told, once, what became of it: at once with true where there is no event store, at once
  // with false where every event is rejected. A duplicate is stored once more, so that true is true of it as well.
  Observed observe(const Interaction& interaction, Completion done);
  std::vector<Observed> observe_batch(std::span<const Interaction> interactions, Completion done);

  // Users. These calls take a time that grows with all histories, and wait for each other and for reload; requests run
  // on. What is observed of the user while they run may count as before or after.
  // Forgets the user: here, in the event store and in the model directory that is served, of which no other file
  // changes. From then on nobody knows him, and new events of his are a new user's. What other models hold of him is
  // left out whenever this recommender, or another one with its event store, takes them up. Trained weights keep what
  // they learned. Throws Error when a file cannot be cleaned: he is forgotten here, and the call is to be repeated.
  void forget_user(const Id& user);
  // Moves the history of one user, such as an anonymous one, behind that of another, in order of time, each event id
  // once; then forgets `from` but for the model directory. Without an event store for the life of this object. Throws
  // Error, and then nothing has changed: for an id that is not accepted, and when the store fails.
  void merge_users(const Id& from, const Id& to);
  // All events of the user, oldest first, one JSON object a line: user, item, timestamp (milliseconds; absent where
  // unknown), event, value and, where an event store keeps it, event_id. What is not UTF-8 becomes U+FFFD.
  // Throws Error where the event store cannot be read.
  std::string export_user(const Id& user) const;

  // A profile, which the next answer reads and the event store keeps (docs/cold_start.md); what is missing in a field
  // takes it away. Throws Error, and then changes nothing: invalid_argument for an id that is not accepted and a field
  // that the model does not read or reads otherwise, limit_exceeded, and what the event store throws.
  void upsert_user(const User& user);

  Answer recommend(const Request& request) const;
  void recommend(const Request& request, Answer& answer) const;  // reuses the answer's memory
  // For a bare history, oldest first; nothing is stored. `times` is empty or as long as `items`. The same answer as for
  // a stored user with this history.
  Answer recommend_history(std::span<const Id> items, const Request& request = {},
                           std::span<const Timestamp> times = {}) const;
  Answer recommend_history(std::initializer_list<Id> items, const Request& request = {}) const {
    return recommend_history(std::span<const Id>(items.begin(), items.size()), request);
  }
  // As single requests. From 10,000 items on, with ScorerStorage::int8 and no blend, 64 of them share a scan.
  std::vector<Answer> recommend_batch(std::span<const Request> requests) const;

  // The host's own candidates, scored and ordered, each once; what cannot be scored, and what the user dislikes, is
  // left out and counted. In the engine's order: a ranker is not asked, here and for similar items.
  Answer rank(const Id& user, std::span<const Id> candidates, Timestamp now = kNoTime) const;
  Answer rank(const Id& user, std::initializer_list<Id> candidates, Timestamp now = kNoTime) const {
    return rank(user, std::span<const Id>(candidates.begin(), candidates.size()), now);
  }
  // Nearest other items by the model's vectors alone: cosine, or dot product where the model was trained with it, also
  // in a blend. Empty for an item without one (one that is removed has one still); the shortfall is of the other items.
  Answer similar_items(const Id& item, std::size_t k) const { return similar_items(item, Request{.k = k}); }
  // The same under k, now, allow, deny, min_score and the filter of the policy; likeness is never boosted.
  Answer similar_items(const Id& item, const Request& request) const;

  // Which past events speak for an item: serving/explanation.hpp. A bare history is as in recommend_history.
  Explanation explain(const Id& user, const Id& item) const;
  Explanation explain(const Id& user, const Id& item, const ExplanationOptions& options) const;
  Explanation explain_history(std::span<const Id> items, const Id& item, const ExplanationOptions& options,
                              std::span<const Timestamp> times = {}) const;
  // What to ask somebody new about: items whose answers tell most of others (serving/people.hpp).
  Answer onboarding_items(const Request& request) const;
  // Other users whose taste is alike, and what users who watch together should see: serving/people.hpp.
  SimilarUsers similar_users(const Id& user, std::size_t k) const;
  SimilarUsers similar_users(const Id& user, const SimilarUsersOptions& options) const;
  Answer recommend_group(std::span<const Id> users, const Request& request, const GroupOptions& options) const;

  // Items come, change and go while requests run: the next call of any thread obeys. Removed items, and those outside
  // their time, are in no answer. An upsert sets what it names, keeps the rest, and lists a removed item again. What no
  // model knows is unavailable until one brings it, or reads what it is (docs/new_items.md). Throws Error, and then
  // changes nothing: invalid_argument for an id that is not accepted, a field that nobody knows or that is otherwise,
  // an infinite number; limit_exceeded for more than max_items.
  void upsert_item(const Item& item) { upsert_items({&item, 1}); }
  void upsert_items(std::span<const Item> items);
  // Holds until an upsert, also over reloads and for items that are not known yet. False for an id that IdMap does not
  // accept, and for an unknown one where max_items leaves no room.
  bool remove_item(const Id& item);
  // Rules for requests to this recommender (serving/policy.hpp), evaluated for every item: compile once, ask often.
  // Throws Error(invalid_argument) naming the rule, the column, what was expected and what was found.
  Policy compile(const PolicyRules& rules) const;

  // Swaps the model while requests run: those in flight finish on the old one. Users keep their histories; those only
  // the new directory knows come with theirs. Throws Error, and then the old model keeps serving.
  void reload(const std::string& model);
  void reload(const TrainedModel& model);

  // Measures a candidate model on events to come (serving/shadow.hpp), in the place of any other, until end_shadow().
  // Throws Error as reload() does, and invalid_argument for options out of range.
  void shadow(const std::string& model, const ShadowOptions& options);
  void shadow(const TrainedModel& model, const ShadowOptions& options);
  ShadowReport shadow_report() const;  // so far; without a candidate, of no event
  void end_shadow();

  // Checks what of a mapped model is not yet checked, in the calling thread. Requests may run. Throws Error for the
  // first damage; the answers stay as RecommenderOptions::model_access says.
  void check_model() const;

  RecommenderInfo info() const;
  RecommenderStats stats() const;  // with counters and latencies of all calls so far (serving/telemetry.hpp)
  IdMap item_ids() const;  // every one so far; the order of the handles of an engine that a host builds for reload()

 private:
  friend Recommender detail::make_recommender(detail::EngineParts parts, RecommenderOptions options);
  friend void detail::reload(Recommender& recommender, detail::EngineParts parts);
  friend void detail::serve_update(Recommender& recommender, const std::string& directory, const TrainedModel& old,
                                   TrainedModel& next, const std::string& output);
  struct Impl;
  explicit Recommender(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune::inline v0_1
