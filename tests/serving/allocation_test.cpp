// SPDX-License-Identifier: Apache-2.0

// A program of its own, because every allocation of the process is counted, and some are refused.

#include <memory>
#include <new>

#include "attune/model/ranker.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/event_store.hpp"
#include "attune/serving/exploration.hpp"
#include "attune/serving/policy.hpp"
#include "catch.hpp"
#include "format/allocation_meter.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"

using namespace attune;

TEST_CASE("The counter counts", "[serving][allocation]") {
  const test::AllocationMeter meter;
  const auto one = std::make_unique<int>(1);
  CHECK(meter.count() == 1);
}

TEST_CASE("A warm recommender allocates nothing to observe and to recommend", "[serving][allocation]") {
  // Windows slide every five events; a late event starts the cache anew; the filtered history is a copy.
  const TrainedModel model = test::make_model({.items = 400, .events = 50, .blend_weight = GENERATE(0.0, 0.5)});
  const auto storage = GENERATE(ScorerStorage::float32, ScorerStorage::int8, ScorerStorage::int4);
  const auto states = GENERATE(StateStorage::float32, StateStorage::bfloat16);
  const auto search = GENERATE(SearchKind::scan, SearchKind::approximate);
  Recommender recommender =
      Recommender::open(model, {.state_storage = states, .scorer_storage = storage, .search = search});
  Answer answer;
  Timestamp time = 1'000'000'000;
  const auto round = [&](std::size_t i) {
    const char* const items[] = {"i1", "i2", "i3", "not in the model"};
    const char* const event_ids[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};
    const Timestamp at = i % 6 == 5 ? time - 1500 : time;
    recommender.observe({.user = "u1", .item = items[i % 4], .timestamp = at, .event_id = event_ids[i % 12]});
    time += 1000;
    recommender.recommend({.user = "u1", .k = 20}, answer);
    recommender.recommend({.user = "u1", .k = 20, .exclude_seen = false}, answer);
    recommender.recommend({.user = "nobody", .k = 20}, answer);
  };
  for (std::size_t i = 0; i < 8; ++i) round(i);
  const test::AllocationMeter meter;
  for (std::size_t i = 8; i < 28; ++i) round(i);
  CHECK(meter.count() == 0);
  CHECK(answer.items.size() == 20);
}

TEST_CASE("A warm recommender allocates nothing to obey rules, whatever changes in the catalogue",
          "[serving][allocation]") {
  const TrainedModel model = test::make_model({.items = 400, .events = 50, .blend_weight = GENERATE(0.0, 0.5)});
  Recommender recommender =
      Recommender::open(model, {.item_fields = {{"genre", FieldType::category}, {"price", FieldType::number}},
                                .scorer_storage = GENERATE(ScorerStorage::float32, ScorerStorage::int8)});
  for (std::size_t i = 0; i < 400; i += 2) {
    recommender.upsert_item({.id = test::item_name(i), .fields = {{"genre", "a|b"}, {"price", i}}});
  }
  const Policy policy =
      recommender.compile({.filter = "genre = 'a' or not has(price)", .boosts = {{"price > 100", 0.1f}}});
  const std::vector<std::string> names{"i2", "i4", "i6", "unknown"};
  const std::vector<Id> ids(names.begin(), names.end());
  const std::vector<Item> changes{{.id = "i10", .fields = {{"price", 200}}, .available_from = 2'000'000'000},
                                  {.id = "i10", .fields = {{"price", 5}}, .available_from = kNoTime}};
  Answer answer;
  std::size_t used = 0;
  Timestamp time = 1'000'000'000;
  const auto round = [&](std::size_t i) {
    recommender.upsert_item(changes[i % 2]);
    recommender.remove_item("i12");
    time += 10'000;
    const test::AllocationMeter meter;
    for (const char* user : {"u1", "nobody"}) {
      recommender.recommend({.user = user, .now = time, .policy = &policy}, answer);
      recommender.recommend({.user = user, .now = time, .policy = &policy, .deny = ids}, answer);
      recommender.recommend({.user = user, .now = time, .cool_down = 5'000'000, .allow = ids, .min_score = 0}, answer);
      recommender.recommend({.user = user, .k = 20, .now = time}, answer);
    }
    used += meter.count();
  };
  for (std::size_t i = 0; i < 8; ++i) round(i);
  used = 0;
  for (std::size_t i = 8; i < 28; ++i) round(i);
  CHECK(used == 0);
  CHECK(answer.items.size() == 20);
}

TEST_CASE("A warm recommender allocates nothing for impressions and for users who dislike", "[serving][allocation]") {
  const TrainedModel model = test::make_model({.items = 400, .events = 50, .blend_weight = GENERATE(0.0, 0.5)});
  Recommender recommender =
      Recommender::open(model, {.event_kinds = {{"purchase", 3}, {"shown", 0}, {"dislike", -1}},
                                .scorer_storage = GENERATE(ScorerStorage::float32, ScorerStorage::int8)});
  Answer answer;
  Timestamp time = 1'000'000'000;
  const auto round = [&](std::size_t i) {
    const char* const items[] = {"i1", "i2", "i3", "not in the model"};
    const std::string_view kinds[] = {"purchase", "shown", "dislike"};
    recommender.observe({.user = "u1", .item = items[i % 4], .timestamp = time, .event = kinds[i % 3]});
    time += 1000;
    recommender.recommend({.user = "u1", .k = 20}, answer);
    recommender.recommend({.user = "u1", .k = 20, .exclude_seen = false}, answer);
    recommender.recommend({.user = "u1", .k = 20, .cool_down = 5'000}, answer);
  };
  for (std::size_t i = 0; i < 8; ++i) round(i);
  const test::AllocationMeter meter;
  for (std::size_t i = 8; i < 28; ++i) round(i);
  CHECK(meter.count() == 0);
  CHECK(answer.items.size() == 20);
}

TEST_CASE("A warm recommender allocates nothing to explore", "[serving][allocation]") {
  const TrainedModel model = test::make_model({.items = 400, .events = 50});
  const std::string_view shown = "shown";
  Recommender recommender =
      Recommender::open(model, {.item_fields = {{"creator", FieldType::category}}, .event_kinds = {{"shown", 0}}});
  for (std::size_t i = 0; i < 400; ++i) {
    const std::string item = test::item_name(i), creator = test::user_name(i % 40);
    recommender.upsert_item({.id = item, .fields = {{"creator", creator}}});
  }
  const Policy policy = recommender.compile({.caps = {{"creator", 1}}});
  const auto method = GENERATE(ExplorationMethod::uniform, ExplorationMethod::thompson, ExplorationMethod::linucb);
  Answer answer;
  Timestamp time = 1'000'000'000;
  const auto round = [&](std::uint64_t i) {
    ExplorationOptions options{.share = 0.5, .method = method, .new_item_quota = 0.3, .request = i};
    options.new_item_impressions = 2;
    recommender.recommend({.user = "u1", .k = 20, .exploration = &options}, answer);
    recommender.recommend({.user = "u1", .policy = &policy, .diversity = 0.3f, .exploration = &options}, answer);
    recommender.observe({.user = "u2", .item = answer.items.back().item, .timestamp = time, .event = shown});
    recommender.observe({.user = "u2", .item = "i3", .timestamp = time});
    time += 1000;
  };
  for (std::uint64_t i = 0; i < 10; ++i) round(i);
  const test::AllocationMeter meter;
  for (std::uint64_t i = 10; i < 30; ++i) round(i % 10);
  CHECK(meter.count() == 0);
  CHECK(answer.items.size() == 10);
}

TEST_CASE("A warm recommender of counts of every kind allocates nothing, whatever the order of their rows",
          "[serving][allocation]") {
  const bool encoder = GENERATE(true, false);
  const TrainedModel model = test::make_model({.items = 60,
                                               .events = 50,
                                               .first_item = 3,
                                               .blend_weight = encoder ? 0.5 : 0.0,
                                               .encoder = encoder,
                                               .counts = test::all_count_options()[GENERATE(0u, 1u, 2u, 3u, 4u, 5u)]});
  Recommender recommender = Recommender::open(test::make_model({.events = 50}));
  if (GENERATE(false, true)) recommender = Recommender::open(model);
  recommender.reload(model);
  Answer answer;
  Timestamp time = 1'000'000'000;
  const auto round = [&](std::size_t i) {
    const char* const items[] = {"i1", "i5", "i7", "not in the model"};
    recommender.observe({.user = "u1", .item = items[i % 4], .timestamp = time});
    time += 1000;
    recommender.recommend({.user = "u1", .k = 20}, answer);
    recommender.recommend({.user = "nobody", .k = 20}, answer);
  };
  for (std::size_t i = 0; i < 8; ++i) round(i);
  const test::AllocationMeter meter;
  for (std::size_t i = 8; i < 20; ++i) round(i);
  CHECK(meter.count() == 0);
  CHECK(answer.items.size() == 20);
}

TEST_CASE("A warm recommender allocates nothing for caps, pins and diversity either", "[serving][allocation]") {
  const TrainedModel model = test::make_model({.items = 400, .events = 50});
  Recommender recommender = Recommender::open(model, {.item_fields = {{"creator", FieldType::category}}});
  for (std::size_t i = 0; i < 400; ++i) {
    const std::string id = test::item_name(i), creator = test::user_name(i % 9);
    recommender.upsert_item({.id = id, .fields = {{"creator", creator}}});
  }
  const Policy policy = recommender.compile({.caps = {{"creator", GENERATE(2u, 40u)}}});
  const auto method = GENERATE(DiversityMethod::mmr, DiversityMethod::dpp);
  const std::vector<PinnedItem> pins{{"i3", 4}, {"i399", 4}, {"i8", 0}};
  Answer answer;
  const auto round = [&] {
    for (const char* user : {"u1", "nobody"}) {
      recommender.recommend({.user = user, .k = 20, .policy = &policy, .pinned = pins}, answer);
      recommender.recommend(
          {.user = user, .k = 20, .policy = &policy, .diversity = 0.5f, .diversity_method = method, .pinned = pins},
          answer);
    }
  };
  round();
  const test::AllocationMeter meter;
  for (std::size_t i = 0; i < 10; ++i) round();
  CHECK(meter.count() == 0);
  CHECK(answer.items.size() >= 18);
}

TEST_CASE("A warm recommender with a ranker allocates nothing of its own", "[serving][allocation]") {
  TrainedModel model = test::make_model({.events = 50, .blend_weight = 0.5});
  RecommenderOptions options{.ranker_candidates = 30};
  std::size_t reranked = 30;
  const auto score = [&](const RankingQuery&, std::span<const Candidate> candidates, std::span<float> scores) {
    for (std::size_t i = 0; i < scores.size(); ++i) {
      scores[i] = reranked == 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(candidates[i].handle);
    }
  };
  SECTION("all candidates at once") { options.ranker = make_ranker(score); }
  SECTION("in groups") {
    options.ranker = make_ranker(score);
    options.ranker_deadline = 3'600'000'000'000;
  }
  SECTION("one that fails") {
    options.ranker = make_ranker(score);
    reranked = 0;
  }
  SECTION("the model's own") { model.ranker = {30, std::vector<float>(LearnedRanker::kNumFeatures, 0.1f)}; }
  Recommender recommender = Recommender::open(model, options);
  Answer answer;
  const auto round = [&] {
    recommender.recommend({.user = "nobody", .k = 20}, answer);
    recommender.recommend({.user = "u1", .k = 20}, answer);
    recommender.recommend({.user = "u1", .k = 40, .exclude_seen = false}, answer);
  };
  round();
  const test::AllocationMeter meter;
  for (std::size_t i = 0; i < 10; ++i) round();
  CHECK(meter.count() == 0);
  CHECK(answer.items.size() == 40);
  CHECK(answer.reranked == reranked);
}

TEST_CASE("Users who take each other's cache allocate nothing either", "[serving][allocation]") {
  const TrainedModel model = test::make_model({.events = 25});
  const std::size_t one = [&] {
    const Recommender recommender = Recommender::open(model);
    recommender.recommend({.user = "u0"});
    return recommender.info().cache_bytes;
  }();
  Recommender recommender = Recommender::open(model, {.cache_budget_bytes = 2 * one});
  std::vector<std::string> users;
  for (std::size_t u = 0; u < 8; ++u) users.push_back(test::user_name(u));
  Answer answer;
  for (const std::string& user : users) recommender.recommend({.user = user}, answer);
  const test::AllocationMeter meter;
  for (const std::string& user : users) {
    recommender.observe({.user = user, .item = "i1"});
    recommender.recommend({.user = user}, answer);
  }
  CHECK(meter.count() == 0);
  CHECK(recommender.info().cache_bytes == 2 * one);
}

namespace {

class CountingStore final : public EventStore {
 public:
  void append(std::span<const Interaction> events, std::function<void(bool)>) override { stored += events.size(); }
  void replay(const std::function<void(const Interaction&)>&) override {}
  void erase(const Id&) override {}
  std::size_t stored = 0;
};

// Whether the call finds memory enough.
template <class Call>
bool succeeds_with(std::size_t allocations, Call call) {
  const test::AllocationMeter meter(allocations);
  try {
    call();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace

TEST_CASE("A batch that runs out of memory leaves in the store what it leaves in memory", "[serving][allocation]") {
  const TrainedModel model = test::make_model();
  const std::vector<Interaction> batch{{.user = "new user", .item = "i1"},
                                       {.user = "new user", .item = "i2", .event_id = "a"},
                                       {.user = "new user", .item = "a new item", .event_id = "b"},
                                       {.user = "new user", .item = "i3", .event = "a new kind of event"}};
  std::size_t failures = 0;
  for (std::size_t left = 0;; ++left) {
    const auto store = std::make_shared<CountingStore>();
    Recommender recommender = Recommender::open(model, {.event_store = store});
    const bool whole = succeeds_with(left, [&] { recommender.observe_batch(batch); });
    const std::size_t in_memory = recommender.recommend({.user = "new user"}).shortfall.seen;
    REQUIRE(store->stored + recommender.info().unstored_events == in_memory);
    failures += !whole;
    if (!whole) continue;
    CHECK(in_memory == batch.size());
    break;
  }
  CHECK(failures > 10);
}

TEST_CASE("An upsert that runs out of memory may be repeated", "[serving][allocation]") {
  const TrainedModel model = test::make_model();
  const std::vector<Item> items{{.id = "i1", .fields = {{"genre", "a long name of a genre|another name of a genre"}}},
                                {.id = "a new item", .fields = {{"genre", "a third name of a genre"}}},
                                {.id = "i2", .fields = {{"genre", "a long name of a genre|another name of a genre"}}}};
  std::size_t failures = 0;
  for (std::size_t left = 0;; ++left) {
    Recommender recommender = Recommender::open(model, {.item_fields = {{"genre", FieldType::category}}});
    const Policy policy = recommender.compile({.filter = "genre = 'another name of a genre'"});
    const bool whole = succeeds_with(left, [&] { recommender.upsert_items(items); });
    recommender.upsert_items(items);
    REQUIRE(recommender.recommend({.k = 50, .policy = &policy}).items.size() == 2);
    if (whole) break;
    ++failures;
  }
  CHECK(failures > 5);
}
