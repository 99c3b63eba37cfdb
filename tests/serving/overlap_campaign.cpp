// SPDX-License-Identifier: Apache-2.0

// Every call of a recommender overlaps with every other, from eight threads, while models are swapped, users are let
// go, merged and forgotten, and a store keeps what happens. For a build with -fsanitize=thread.
//   overlap_campaign [SECONDS [SWAPS]]

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "attune/error.hpp"
#include "attune/executor.hpp"
#include "attune/model/ranker.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/cursor.hpp"
#include "attune/serving/explanation.hpp"
#include "attune/serving/people.hpp"
#include "attune/serving/policy.hpp"
#include "attune/serving/shadow.hpp"
#include "attune/serving/sqlite_event_store.hpp"
#include "attune/serving/telemetry.hpp"
#include "serving/campaign.hpp"
#include "serving/small_model.hpp"
#include "temporary_directory.hpp"

namespace {

using namespace attune;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kThreads = 8, kUsers = 400, kItems = 90;
constexpr std::size_t kWhole = 1'000;  // more than any model has

class Counter final : public Telemetry {
 public:
  void log(LogLevel, std::string_view text) noexcept override { letters += text.size(); }
  void span(const Span& span) noexcept override { items += span.items; }
  std::atomic<std::size_t> letters = 0, items = 0;
};

// One thread: its chances, an answer that it reuses, and the texts that its ids are views of.
struct Client {
  explicit Client(std::size_t number) : random(number) {}
  std::size_t below(std::size_t end) { return static_cast<std::size_t>(random() % end); }
  const std::string& item() { return texts[turn++ % texts.size()] = test::item_name(below(kItems)); }
  const std::string& user() { return texts[turn++ % texts.size()] = test::user_name(below(kUsers)); }
  const std::string& unique() { return texts[turn++ % texts.size()] = std::to_string(random()); }

  std::mt19937_64 random;
  Answer answer;
  std::array<std::string, 64> texts;
  std::size_t turn = 0;
};

class Scene {
 public:
  Scene() {
    a_.save((directory_ / "a").string());
    b_.save((directory_ / "b").string());
  }

  void swap_for(std::chrono::seconds duration, std::size_t swaps) {
    const auto end = Clock::now() + duration;
    for (; Clock::now() < end || swaps_ < swaps; ++swaps_) {
      switch (swaps_ % 8) {
        case 3: recommender_.reload((directory_ / "a").string()); break;
        case 5: refuse(); [[fallthrough]];
        case 1: recommender_.reload(b_); break;
        case 7: recommender_.reload((directory_ / "b").string()); break;
        default: recommender_.reload(a_);
      }
      ++reloaded_;
    }
    stop_ = true;
  }

  void call_everything(std::size_t thread) {
    using Call = void (Scene::*)(Client&);
    static constexpr std::array<Call, 16> kCalls{&Scene::observe,
                                                 &Scene::observe_batch,
                                                 &Scene::recommend,
                                                 &Scene::recommend_list,
                                                 &Scene::recommend_pages,
                                                 &Scene::recommend_batch,
                                                 &Scene::recommend_history,
                                                 &Scene::rank,
                                                 &Scene::similar_items,
                                                 &Scene::explain,
                                                 &Scene::ask_about_people,
                                                 &Scene::change_items,
                                                 &Scene::compile,
                                                 &Scene::read_numbers,
                                                 &Scene::shadow,
                                                 &Scene::change_users};
    Client client(thread);
    while (!stop_) {
      (this->*kCalls[client.below(kCalls.size())])(client);
      ++calls_;
    }
  }

  // After all threads have ended.
  int report() {
    store_->flush();
    checks_.expect(store_->error().empty(), "the store is well");
    checks_.expect(told_ == asked_, "every completion is told once");
    checks_.expect(told_false_ == 0, "everything is stored");
    checks_.expect(recommender_.info().users_let_go > 0, "users are let go");
    checks_.expect(recommender_.info().generation == reloaded_ + 1, "every reload counts");
    std::cout << swaps_ << " swaps during " << calls_ << " calls; " << told_ << " batches stored, "
              << recommender_.info().users_let_go << " users let go, " << changed_users_
              << " forgotten or merged, shadows of " << shadowed_ << " events\n";
    return checks_.report();
  }

 private:
  void expect_sound(const Answer& answer, std::size_t k, std::uint64_t at_least) {
    checks_.expect(test::is_sound(answer, k), "an answer is sound");
    checks_.expect(answer.generation >= at_least, "no answer is older than a reload that returned");
    const TrainedModel& model = answer.model_version == "A" ? a_ : b_;
    for (const Recommendation& item : answer.items) {
      checks_.expect(item.pinned || model.item_ids->find(item.item) != kNoHandle, "an item is of the answer's model");
    }
  }

  Completion completion() {
    ++asked_;
    return [this](bool stored) {
      // A completion may itself observe and recommend.
      if (++told_ % 64 == 0) {
        recommender_.observe({.user = "of a completion", .item = "i40"});
        recommender_.recommend({.user = "of a completion"});
      }
      told_false_ += !stored;
    };
  }

  Interaction event(Client& client) {
    const Timestamp now = ++clock_;
    return {.user = client.user(),
            .item = client.item(),
            .timestamp = client.below(4) == 0 ? kNoTime : now - static_cast<Timestamp>(client.below(100)),
            .event = client.below(3) == 0 ? "purchase" : "",
            .event_id = client.below(2) == 0 ? std::string_view(client.unique()) : std::string_view()};
  }

  void observe(Client& client) {
    const Interaction one = event(client);
    if (client.below(2) == 0) {
      checks_.expect(recommender_.observe(one) == Observed::recorded, "an event is recorded");
    } else {
      recommender_.observe(one, completion());
    }
  }

  void observe_batch(Client& client) {
    std::vector<Interaction> events;
    for (std::size_t i = 0; i < 5; ++i) events.push_back(event(client));
    const auto observed =
        client.below(2) == 0 ? recommender_.observe_batch(events) : recommender_.observe_batch(events, completion());
    checks_.expect(observed.size() == events.size(), "one answer an event");
  }

  void recommend(Client& client) {
    const std::uint64_t at_least = reloaded_ + 1;
    recommender_.recommend({.user = client.user(), .now = clock_}, client.answer);
    expect_sound(client.answer, 10, at_least);
    recommender_.recommend({.user = client.user(), .k = kWhole, .now = clock_, .policy = &cheap_}, client.answer);
    expect_sound(client.answer, kWhole, at_least);
  }

  void recommend_list(Client& client) {
    const std::uint64_t at_least = reloaded_ + 1;
    const Id denied = client.item();
    const PinnedItem pins[] = {{client.item(), 1}, {client.item(), 3}};
    const Request request{.user = client.user(),
                          .now = clock_,
                          .cool_down = 50,
                          .policy = &capped_,
                          .deny = {&denied, 1},
                          .diversity = 0.5f,
                          .diversity_method = client.below(2) == 0 ? DiversityMethod::mmr : DiversityMethod::dpp,
                          .diversity_pool = 20,
                          .pinned = pins};
    recommender_.recommend(request, client.answer);
    expect_sound(client.answer, 10, at_least);
    for (const Recommendation& item : client.answer.items) checks_.expect(item.item != denied, "nothing denied");
  }

  void recommend_pages(Client& client) {
    Cursor cursor;
    const Id user = client.user();
    std::vector<std::string> shown;
    for (int page = 0; page < 3; ++page) {
      recommender_.recommend({.user = user, .k = 5, .policy = &capped_, .cursor = &cursor}, client.answer);
      for (const Recommendation& item : client.answer.items) {
        checks_.expect(std::ranges::find(shown, item.item.text()) == shown.end(), "no page repeats another");
        shown.emplace_back(item.item.text());
      }
      cursor = Cursor::from_token(cursor.token());
    }
  }

  void recommend_batch(Client& client) {
    const std::uint64_t at_least = reloaded_ + 1;
    std::vector<Request> requests;
    for (std::size_t i = 0; i < 4; ++i)
      requests.push_back({.user = client.user(), .policy = i == 0 ? &cheap_ : nullptr});
    for (const Answer& answer : recommender_.recommend_batch(requests)) expect_sound(answer, 10, at_least);
  }

  void recommend_history(Client& client) {
    const std::uint64_t at_least = reloaded_ + 1;
    expect_sound(recommender_.recommend_history({client.item(), client.item(), client.item()}), 10, at_least);
  }

  void rank(Client& client) {
    const std::uint64_t at_least = reloaded_ + 1;
    const std::array<Id, 4> candidates{client.item(), client.item(), client.item(), "never seen"};
    expect_sound(recommender_.rank(client.user(), candidates, clock_), candidates.size(), at_least);
  }

  void similar_items(Client& client) {
    const std::uint64_t at_least = reloaded_ + 1;
    expect_sound(recommender_.similar_items(client.item(), {.k = 7, .now = clock_, .policy = &cheap_}), 7, at_least);
  }

  void explain(Client& client) {
    const Explanation explanation =
        recommender_.explain(client.user(), client.item(), {.events = 3, .k = client.below(2) * 5, .most_removed = 2});
    checks_.expect(explanation.contributions.size() <= 3, "no more events are tried than are asked for");
    for (const Contribution& one : explanation.contributions) {
      checks_.expect(std::isfinite(one.weight) && !one.item.empty(), "a weight is a number");
    }
  }

  void ask_about_people(Client& client) {
    const std::uint64_t at_least = reloaded_ + 1;
    const std::string user = client.user();
    const SimilarUsers alike = recommender_.similar_users(user, 5);
    checks_.expect(alike.users.size() <= 5, "no more users than are asked for");
    std::vector<Id> group{user};
    for (const SimilarUser& other : alike.users) {
      checks_.expect(other.user != Id(user) && std::isfinite(other.score), "users alike are others");
      group.push_back(other.user);
    }
    const Answer together = recommender_.recommend_group(group, {.now = clock_, .policy = &capped_},
                                                         {.strategy = GroupStrategy::least_misery});
    expect_sound(together, 10, at_least);
  }

  void change_items(Client& client) {
    const std::string& id = client.item();
    switch (client.below(3)) {
      case 0: checks_.expect(recommender_.remove_item(id), "a removal is accepted"); break;
      case 1:
        recommender_.upsert_item({.id = id, .available_from = clock_ - 100, .available_until = clock_ + 10'000});
        break;
      default: {
        const std::vector<Item> items{{.id = id, .fields = {{"price", client.below(20)}, {"creator", client.user()}}},
                                      {.id = client.item()}};
        recommender_.upsert_items(items);
      }
    }
  }

  void compile(Client& client) {
    const Policy policy = recommender_.compile(
        {.filter = "price < 10 or creator = 'u1'", .boosts = {{"has(price)", 0.1f}}, .caps = {{"creator", 2}}});
    recommender_.recommend({.user = client.user(), .policy = &policy}, client.answer);
    checks_.expect(test::is_sound(client.answer, 10), "an answer under a new policy is sound");
  }

  void read_numbers(Client&) {
    const RecommenderStats stats = recommender_.stats();
    checks_.expect(to_prometheus(stats).size() > 100, "numbers are written");
    checks_.expect(recommender_.info().damaged_answers == 0, "nothing is damaged");
    const bool both_served = reloaded_ >= 2;  // the second swap brings the items of the other model
    checks_.expect(recommender_.item_ids().size() >= (both_served ? 80u : 50u), "items have ids");
    recommender_.check_model();
  }

  void shadow(Client& client) {
    shadowed_ += recommender_.shadow_report().events;
    switch (client.below(16)) {
      case 0: recommender_.shadow(client.below(2) == 0 ? a_ : b_, {.share = 0.2}); break;
      case 1: recommender_.shadow((directory_ / "b").string(), {.share = 0.2}); break;
      case 2: recommender_.end_shadow(); break;
      default: break;
    }
  }

  void change_users(Client& client) {
    recommender_.export_user(client.user());
    if (client.below(16) != 0) return;
    ++changed_users_;
    switch (client.below(4)) {
      case 0: recommender_.forget_user(client.user()); break;
      case 1: store_->prune(clock_ - 20'000); break;
      case 2: store_->flush(); break;
      default: recommender_.merge_users(client.user(), client.user());
    }
  }

  // What cannot be served leaves the old model in its place.
  void refuse() {
    const auto refused = [&](auto&& reload) {
      try {
        reload();
      } catch (const Error&) {
        return;
      }
      checks_.expect(false, "a model that cannot be served is refused");
    };
    refused([&] { recommender_.reload((directory_ / "missing").string()); });
    refused([&] { recommender_.reload(other_); });
  }

  test::TemporaryDirectory directory_;
  const TrainedModel a_ = test::make_model({.items = 50, .version = "A"});
  const TrainedModel b_ =
      test::make_model({.seed = 2, .items = 50, .first_item = 30, .blend_weight = 0.5, .timed = true, .version = "B"});
  const TrainedModel other_ = test::make_model({.item_kind = IdKind::int64});
  const std::shared_ptr<SqliteEventStore> store_ = std::make_shared<SqliteEventStore>(
      (directory_ / "events.db").string(), SqliteEventStoreOptions{.durability = Durability::relaxed,
                                                                   .relaxed_interval = std::chrono::milliseconds(20),
                                                                   .max_queued_events = 512});
  Recommender recommender_ = Recommender::open(
      a_,
      {.event_store = store_,
       .item_fields = {{"price", FieldType::number}, {"creator", FieldType::category}},
       .ranker = make_ranker([](const RankingQuery&, std::span<const Candidate> candidates, std::span<float> scores) {
         for (std::size_t i = 0; i < candidates.size(); ++i) scores[i] = candidates[i].score;
       }),
       .telemetry = std::make_shared<Counter>(),
       .cache_budget_bytes = 8 * a_.encoder->make_state().memory_bytes(),
       .history_budget_bytes = 100'000,
       .history_ttl = 50'000,
       .warm_up_users = 4,
       .executor = std::make_shared<ThreadPool>(2)});
  const Policy cheap_ = recommender_.compile({.filter = "not price >= 10", .boosts = {{"price < 3", 0.5f}}});
  const Policy capped_ = recommender_.compile({.caps = {{"creator", 2}}});
  test::Expectations checks_;
  std::atomic<bool> stop_ = false;
  std::atomic<Timestamp> clock_ = 100'000;
  std::atomic<std::uint64_t> reloaded_ = 0;
  std::atomic<std::size_t> calls_ = 0, swaps_ = 0, asked_ = 0, told_ = 0, told_false_ = 0, changed_users_ = 0,
                           shadowed_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const std::chrono::seconds duration(test::argument(argc, argv, 1, 5));
  const std::size_t swaps = test::argument(argc, argv, 2, 200);
  Scene scene;
  std::vector<std::thread> threads;
  threads.emplace_back([&] { scene.swap_for(duration, swaps); });
  for (std::size_t t = 1; t < kThreads; ++t) threads.emplace_back([&scene, t] { scene.call_everything(t); });
  for (std::thread& thread : threads) thread.join();
  return scene.report();
}
