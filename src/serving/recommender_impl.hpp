// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a Recommender is made of: a catalogue and users that stay, a snapshot that is swapped, memory for requests.
// recommender_open.cpp changes what is served, recommender.cpp serves it.

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "attune/recommender.hpp"
#include "attune/serving/catalogue.hpp"
#include "attune/serving/event_store.hpp"
#include "attune/serving/explanation.hpp"
#include "attune/serving/people.hpp"
#include "attune/serving/user_state.hpp"
#include "serving/compiled_policy.hpp"
#include "serving/event_kinds.hpp"
#include "serving/kept_fields.hpp"
#include "serving/linear_bandit.hpp"
#include "serving/meters.hpp"
#include "serving/new_items.hpp"
#include "serving/request_scratch.hpp"
#include "serving/snapshot.hpp"
#include "serving/user_profiles.hpp"
#include "serving/user_record.hpp"
#include "serving/user_vectors.hpp"

namespace attune::inline v0_1 {

// Rows that a tower's featurizer has read of all that is known of items.
struct ReadContents {
  std::shared_ptr<const ContentTower> tower;
  FeatureTable features;
  std::unordered_map<ItemHandle, std::size_t> rows;
};

class Eligibility;
class ShadowRun;

// Whether the event stands in the histories of a model already.
bool holds(const Histories& histories, const Interaction& event, ItemHandle item, std::uint8_t kind);

struct Recommender::Impl : private StoreFollower {
  Impl(RecommenderOptions options, IdMap items, IdKind user_ids);
  Impl(Impl&&) = delete;
  ~Impl() override;

  std::shared_ptr<const Snapshot> current() const;

  // All with reload_mutex held, or before anybody else knows this object. Throw and change nothing that is served, or
  // serve the new model.
  void serve(const std::string& model);
  void serve(const TrainedModel& model);
  void serve(detail::EngineParts parts);
  void publish(ServedModel model, std::span<const ItemHandle> handles);
  // Items (recommender_items.cpp).
  void upsert(std::span<const Item> items);
  // With content_mutex held.
  void show(std::shared_ptr<const Snapshot> next);
  // Of a model with a tower: the same with the vectors that content gives to items, which `known` learns; `now` itself
  // where it gives none. What `read` has of this tower is not read again.
  std::shared_ptr<const Snapshot> with_contents(std::shared_ptr<const Snapshot> now, std::span<const ItemHandle> items,
                                                NewItems& known, const ReadContents* read = nullptr);
  void take_in_events();
  // What each feature of an item adds to its product with a user's vector.
  std::vector<FeatureContribution> features_of(const Snapshot& now, ItemHandle item, std::vector<float> user_vector);
  // With the record locked, before an event is recorded: what it says of an item that content speaks for.
  void learn(const UserRecord& user, ItemHandle item);
  // Users' profiles (recommender_profiles.cpp).
  void upsert(const User& user);
  // What a request says, else what is known of its user, for as long as the scratch is not asked again; null where the
  // model reads none, or knows better by now.
  const FeatureTable* profile_of(const Snapshot& now, const Id& user, std::span<const FieldValue> said,
                                 HistoryView history, RequestScratch& scratch) const;
  void replay_profiles();
  // With profiles_mutex held: in the store, then here. Throws Error, and then nothing has changed.
  void keep_profile(const Id& user, KeptFields fields);
  // The same: gives `to` what `from` has and he lacks. Returns what he had.
  KeptFields merge_profiles(const Id& from, const Id& to);
  std::optional<std::vector<SimilarUser>> users_alike(const Snapshot& now, const Id& user,
                                                      const SimilarUsersOptions& wanted,
                                                      std::span<const Friendships::Closeness> close,
                                                      Workspace& workspace, IdMap& names) const;
  // Runs what serves another model, in turn with others; says where it throws that the old one goes on.
  template <class Serve>
  void replace(Serve serve_next);
  // `directory`: of the model; empty: it comes from memory.
  static Recommender open(const TrainedModel& model, std::string directory, RecommenderOptions options);
  // Takes in what the event store holds and the model's histories do not, and follows it from there.
  void replay();
  // One event that a store holds; false where it cannot be served.
  bool take_stored(const Interaction& stored);
  void observed(const Interaction& event) override;
  void forgotten(const std::function<bool(const Id&)>& is_forgotten) override;
  void profile_put(const Id& user, std::string_view profile) override;
  // Forgets a user here, in the model directory and, where there is one to tell, in the event store.
  void forget(const Id& user, EventStore* store);

  enum class MissingTime : bool { becomes_last, stays };
  // Counts what becomes of an event. A missing time becomes that of the user's last event, in `event` too, unless the
  // event was recorded before.
  Observed record(Interaction& event);
  Observed take(Interaction& event, MissingTime missing);
  // What events of a kind weigh: those that options name have the first numbers, from 1.
  float weight_of(std::uint8_t kind) const noexcept;
  // Hands events to the event store, of which `recorded` are new, and counts those if it does not keep them.
  void store(std::span<const Interaction> events, std::size_t recorded, const Completion& done = {}) noexcept;
  std::vector<Observed> observe(std::span<const Interaction> interactions, const Completion* done);
  // Histories as they may be served: without users who were forgotten here or by the event store.
  std::shared_ptr<const Histories> remembered(std::shared_ptr<const Histories> histories) const;
  // What only models have of a user who is to become another, for the event store; `names` holds the kinds' names.
  std::vector<Interaction> only_of_models(const Id& from, const Id& to, std::vector<std::string>& names);
  // Who reorders how many candidates: the host's ranker, else the model's own, which speaks of the model's answers
  // alone; null: nobody.
  struct RankingStage {
    const Ranker* ranker = nullptr;
    std::size_t candidates = 0;
    bool of_model = false;
  };
  RankingStage ranking_stage(const Snapshot& now) const noexcept;
  // Puts what the engine found in its final order, in the scratch; returns how many of it a ranker put in front.
  std::size_t order(EngineAnswer& found, const RankingStage& stage, const Snapshot& now, HistoryView history,
                    Context context, RequestScratch& scratch);
  // What the engine says; where a vector it needs is damaged, what the cold start says to nobody.
  EngineAnswer ask(const Snapshot& now, HistoryView history, const Context& context, const Eligibility& eligible,
                   std::size_t k, detail::EngineState* state, RequestScratch& scratch);
  // Where it is handled: notes damage, which counts once for an answer; throws on what is none.
  void note_damage(const Snapshot& now, const Error& error, RequestScratch& scratch);
  // The candidate that is being measured; null: none.
  std::shared_ptr<ShadowRun> current_shadow() const;
  // With the record locked: asks both models before an event is recorded, where it tells something.
  void measure(ShadowRun& run, UserRecord& user, const Interaction& event, ItemHandle item);
  void count(const Answer& answer, const Request& request) noexcept;
  // Answers a stored user, or one whom nobody knows, and counts that.
  void recommend(const Request& request, Answer& answer);
  // Answers a user, whom the scratch may hold; `state` as in Engine::recommend.
  void recommend(std::shared_ptr<const Snapshot> now, const UserView& user, const Request& request,
                 detail::EngineState* state, RequestScratch& scratch, Answer& answer);
  // Answers requests together, where the engine batches.
  void recommend_together(const std::shared_ptr<const Snapshot>& now, std::span<const Request> requests,
                          std::span<Answer> answers);
  struct Encoded;
  void scan_together(const std::shared_ptr<const Snapshot>& now, std::span<const Encoded> encoded,
                     RequestScratch& scratch);
  // How many of the engine's best an answer of k, or its ranker, needs.
  std::size_t most_wanted(const Snapshot& now, std::size_t k) const noexcept;
  // From what the engine found: its final order, and what an answer says of itself.
  void finish(Answer& answer, std::shared_ptr<const Snapshot> now, EngineAnswer found, const UserView& user,
              const Request& request, const Eligibility& eligible, RequestScratch& scratch);
  // Whether a request wants more than the k best (recommender_select.cpp).
  static bool selects(const Request& request) noexcept;
  // The answer to one that does.
  void select(std::shared_ptr<const Snapshot> now, const UserView& user, const Request& request,
              const Eligibility& eligible, detail::EngineState* state, RequestScratch& scratch, Answer& answer);
  class Relations;
  class Bounds;
  struct Found {  // by the engine and its ranker
    EngineAnswer answer;
    std::size_t reranked = 0;
    bool complete = false;  // there is no more
  };
  void find_shown(const Request& request, RequestScratch& scratch) const;
  void find_pins(const Request& request, const UserView& user, RequestScratch& scratch) const;
  std::span<const ItemHandle> find_new(const Snapshot& now, const Found& found, const Eligibility& eligible,
                                       const SelectionRules& rules, const SelectionInput& input,
                                       RequestScratch& scratch);
  Selection choose(Found& found, const Snapshot& now, const UserView& user, const Request& request,
                   const Eligibility& eligible, detail::EngineState* state, RequestScratch& scratch);
  void score_pins(std::span<ScoredHandle> items, const Snapshot& now, const UserView& user, const Request& request,
                  std::span<const float> boosts, detail::EngineState* state, RequestScratch& scratch);
  // Explanations (recommender_explain.cpp), of a stored user or a bare history.
  Explanation explain(const UserView& user, const Id& user_id, const Id& item, const ExplanationOptions& wanted);
  void explain(Explanation& answer, const Snapshot& now, const UserView& user, const Context& context, ItemHandle item,
               const ExplanationOptions& wanted, RequestScratch& scratch);
  // People (recommender_people.cpp).
  std::vector<SimilarUser> users_who_share(const Id& user, const SimilarUsersOptions& wanted,
                                           std::span<const Friendships::Closeness> close, Workspace& workspace,
                                           IdMap& names) const;
  enum class Scores : bool { of_next_event, others };  // a calibration is about the first
  // A call, counted and timed from its making to its end.
  class Timed {
   public:
    Timed(Impl& impl, Operation operation) noexcept : impl_(impl), operation_(operation) {}
    Timed(const Timed&) = delete;
    Timed& operator=(const Timed&) = delete;
    ~Timed();
    void items(std::size_t count) noexcept { items_ = count; }

   private:
    Impl& impl_;
    Operation operation_;
    std::size_t items_ = 0;
    Meters::Clock::time_point begin_ = Meters::Clock::now();
  };
  void log(LogLevel level, std::string_view message) const noexcept;
  // `boosts` are what the scores have that a calibration is not about: empty, or one per handle.
  static void fill(Answer& answer, std::shared_ptr<const Snapshot> now, const EngineAnswer& found,
                   Scores scores = Scores::of_next_event, std::span<const float> boosts = {});
  // The policy of a request; null: none.
  static std::shared_ptr<const detail::CompiledPolicy> policy_of(const Request& request) noexcept;

  RecommenderOptions options;
  std::shared_ptr<Catalogue> catalogue;
  EventKinds kinds;
  UserStates users;
  UserVectors vectors;  // of users
  LinearBandit bandit;
  UserProfiles profiles;
  std::mutex profiles_mutex;  // of who changes a profile, here and in the store
  ScratchPool pool;
  Meters meters;
  // Shared with the completions of the event store, which may come when this object is gone.
  std::shared_ptr<std::atomic<std::size_t>> unstored_events = std::make_shared<std::atomic<std::size_t>>(0);
  std::atomic<std::size_t> refused_events = 0;  // of other hosts
  std::atomic<std::size_t> ranker_failures = 0, missed_deadlines = 0, damaged_answers = 0;

  bool follows = false;   // the event store
  std::string directory;  // of the model that is served; empty: it came from memory. Guarded by reload_mutex
  std::unordered_set<std::uint64_t> forgotten_users;  // hashes, since opening. Guarded by reload_mutex
  std::mutex reload_mutex;
  mutable std::mutex snapshot_mutex;
  std::shared_ptr<const Snapshot> snapshot;
  std::atomic<std::uint64_t> editions = 0;
  std::mutex content_mutex;  // of what content says, and of who changes the snapshot
  ItemContents contents;
  std::unique_ptr<NewItems> new_items = std::make_unique<NewItems>();  // to the model that serves
  struct Learned {                                                     // an event on a new item
    ItemHandle item;
    std::uint64_t generation;
    std::vector<float> before;  // as NewItems::add_event takes it
  };
  std::mutex learned_mutex;
  std::vector<Learned> learned;
  // Of all items so far.
  std::shared_ptr<std::atomic<std::size_t>> events_told = std::make_shared<std::atomic<std::size_t>>(0);
  std::shared_ptr<ShadowRun> shadow;    // as the snapshot: guarded by its mutex
  std::atomic<bool> shadowing = false;  // whether there is one
};

}  // namespace attune::inline v0_1
