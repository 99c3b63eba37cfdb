// SPDX-License-Identifier: Apache-2.0
#include "attune/recommender.hpp"
#include "attune/model/ranker.hpp"

#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>

#include "attune/executor.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using test::check_answer;
using test::item_ids;
using test::make_model;
using test::same_items;

namespace {

std::vector<ItemHandle> distinct(HistoryView history) {
  const std::set<ItemHandle> items(history.items.begin(), history.items.end());
  return {items.begin(), items.end()};
}

std::vector<Id> ids_of(const TrainedModel& model, std::span<const ItemHandle> items) {
  std::vector<Id> ids;
  for (const ItemHandle item : items) ids.push_back(model.item_ids->id(item));
  return ids;
}

// Ids that no string model knows, for users and items.
const std::string kWithNul("i1\0", 3);
const std::vector<Id> kOddIds{Id(),
                              Id(""),
                              Id(kWithNul),
                              Id("no such id"),
                              Id(-1),
                              Id(0),
                              Id(50),
                              Id(std::int64_t{1} << 31),
                              Id(std::numeric_limits<std::int64_t>::max()),
                              Id(std::numeric_limits<std::uint64_t>::max())};

}  // namespace

TEST_CASE("A stored user gets the best unseen items of the model", "[serving][recommender]") {
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const TrainedModel model = make_model({.score = kind});
  const Recommender recommender = Recommender::open(model);
  for (std::size_t u = 0; u < 8; ++u) {
    const HistoryView history = model.histories->of(u);
    const Answer answer = recommender.recommend({.user = test::user_name(u), .k = 10});
    CHECK(answer.source == Source::model);
    CHECK(answer.score_kind == kind);
    CHECK(answer.model_version == "small");
    CHECK(answer.generation == 1);
    if (kind == ScoreKind::cosine) check_answer(answer, model, test::cosines(model, history), distinct(history), 10);
  }
}

TEST_CASE("Every storage of the item vectors gives the same answers, bit for bit", "[serving][recommender]") {
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const double blend_weight = GENERATE(0.0, 0.7);
  const std::size_t items = GENERATE(50u, 3000u);  // automatic means float32, int8
  const TrainedModel model = make_model({.items = items, .dim = 24, .score = kind, .blend_weight = blend_weight});
  const Recommender plain = Recommender::open(model, {.scorer_storage = ScorerStorage::float32});
  for (const ScorerStorage storage : {ScorerStorage::automatic, ScorerStorage::int8, ScorerStorage::int4}) {
    const Recommender recommender = Recommender::open(model, {.scorer_storage = storage});
    for (std::size_t u = 0; u < 8; ++u) {
      const std::string user = test::user_name(u);
      for (const std::size_t k : {1u, 10u, 200u}) {
        CHECK(same_items(recommender.recommend({.user = user, .k = k}), plain.recommend({.user = user, .k = k})));
      }
      CHECK(same_items(recommender.rank(user, {"i3", "i9", "i1"}), plain.rank(user, {"i3", "i9", "i1"})));
      const std::string item = test::item_name(3 * u);
      CHECK(same_items(recommender.similar_items(item, 10), plain.similar_items(item, 10)));
    }
  }
}

TEST_CASE("An exact search gives the answers of a scan, and an approximate one says what it finds",
          "[serving][recommender]") {
  const double blend_weight = GENERATE(0.0, 0.7);
  const TrainedModel model =
      make_model({.items = 3000, .users = 100, .dim = 24, .item_groups = 10, .blend_weight = blend_weight});
  const RecommenderOptions plain_options{.scorer_storage = ScorerStorage::int4};
  const Recommender plain = Recommender::open(model, plain_options);
  RecommenderOptions options = plain_options;
  options.search = SearchKind::exact;
  const Recommender exact = Recommender::open(model, options);
  options.search = SearchKind::approximate;
  options.search_recall = 0.9;
  const Recommender approximate = Recommender::open(model, options);
  CHECK(plain.info().search_recall == 1);
  CHECK(exact.info().search_recall == 1);
  CHECK(approximate.info().search_recall >= 0.9);
  CHECK(approximate.info().search_recall < 1);
  std::size_t found = 0;
  for (std::size_t u = 0; u < 100; ++u) {
    const std::string user = test::user_name(u), item = test::item_name(3 * u);
    const Request request{.user = user, .k = 10, .exclude_seen = u % 2 == 0};
    const Answer expected = plain.recommend(request), answer = approximate.recommend(request);
    REQUIRE(same_items(exact.recommend(request), expected));
    REQUIRE(answer.items.size() == 10);
    for (const Recommendation& best : expected.items) {
      found += std::ranges::count(answer.items, best.item, &Recommendation::item) != 0 ? 1u : 0u;
    }
    REQUIRE(same_items(exact.similar_items(item, 10), plain.similar_items(item, 10)));
  }
  CHECK(found >= 900);
}

TEST_CASE("A recall that no search can have is refused", "[serving][recommender]") {
  const TrainedModel model = make_model();
  for (const double recall : {0.0, -0.5, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_WITH(Recommender::open(model, {.search = SearchKind::approximate, .search_recall = recall}),
                      Catch::Contains("RecommenderOptions::search_recall"));
  }
}

TEST_CASE("A user nobody knows gets exactly k items from the side door, and the model after three events (UR-01)",
          "[serving][recommender][UR-01]") {
  const TrainedModel model = make_model();
  Recommender recommender = Recommender::open(model);
  const Answer first_user = recommender.recommend({.user = "u0", .k = 10});
  for (const Id& id : kOddIds) {
    const Answer answer = recommender.recommend({.user = id, .k = 10});
    CHECK(answer.items.size() == 10);
    CHECK(answer.source == Source::popularity);
    CHECK(answer.score_kind == ScoreKind::count);
    CHECK(answer.shortfall.seen == 0);
    CHECK_FALSE(same_items(answer, first_user));
  }
  for (const char* item : {"i1", "i2", "i3"}) {
    CHECK(recommender.observe({.user = "never-seen", .item = item}) == Observed::recorded);
  }
  const Answer answer = recommender.recommend({.user = "never-seen", .k = 10});
  CHECK(answer.source == Source::model);
  check_answer(answer, model, test::cosines(model, {.items = std::vector<ItemHandle>{1, 2, 3}}), {1, 2, 3}, 10);
}

TEST_CASE("One event is enough for the model, unless its item is unknown", "[serving][recommender]") {
  Recommender recommender = Recommender::open(make_model());
  recommender.observe({.user = "one", .item = "i5"});
  CHECK(recommender.recommend({.user = "one"}).source == Source::model);
  recommender.observe({.user = "other", .item = "unheard of"});
  CHECK(recommender.recommend({.user = "other"}).source == Source::popularity);
}

TEST_CASE("A bare history gets the answer of a stored user with that history, bit for bit (UR-02)",
          "[serving][recommender][UR-02]") {
  const TrainedModel model = make_model({.events = 30});
  const Recommender recommender = Recommender::open(model);
  for (std::size_t u = 0; u < 8; ++u) {
    const HistoryView history = model.histories->of(u);
    const std::vector<Id> items = ids_of(model, history.items);
    const Answer stored = recommender.recommend({.user = test::user_name(u), .k = 50});
    const Answer bare = recommender.recommend_history(items, {.k = 50}, history.times);
    CHECK(same_items(stored, bare));
    CHECK(bare.source == Source::model);
    CHECK(bare.shortfall.seen == stored.shortfall.seen);
    CHECK(bare.shortfall.unavailable == stored.shortfall.unavailable);
  }
  CHECK(recommender.info().users == 8);  // nothing was stored
}

TEST_CASE("What is served equals a full encode after every event, slides of the window and late events included",
          "[serving][recommender]") {
  const TrainedModel model = make_model({.window = 20, .hop = 5});
  Recommender recommender = Recommender::open(model);
  std::mt19937 random(11);
  std::vector<std::pair<Timestamp, ItemHandle>> events;
  for (int step = 0; step < 500; ++step) {
    const auto item = static_cast<ItemHandle>(random() % 50);
    const Timestamp time = 1000 * (step + 50) - (random() % 20 == 0 ? 1000 * static_cast<Timestamp>(random() % 50) : 0);
    recommender.observe({.user = "walker", .item = model.item_ids->id(item), .timestamp = time});
    events.emplace_back(time, item);
    std::ranges::stable_sort(events, {}, &std::pair<Timestamp, ItemHandle>::first);
    if (random() % 4 == 0) continue;  // the cache catches up with several events at once
    std::vector<ItemHandle> items;
    for (const auto& event : events) items.push_back(event.second);
    const Answer answer = recommender.recommend({.user = "walker", .k = 10, .exclude_seen = false});
    check_answer(answer, model, test::cosines(model, {.items = items}), {}, 10);
  }
}

TEST_CASE("An encoder that reads times is served for the time of each request, late events included",
          "[serving][recommender]") {
  const TrainedModel model = make_model({.window = 20, .hop = 5, .timed = true});
  Recommender recommender = Recommender::open(model);
  std::mt19937 random(13);
  std::vector<std::pair<Timestamp, ItemHandle>> events;
  for (int step = 0; step < 300; ++step) {
    const auto item = static_cast<ItemHandle>(random() % 50);
    const Timestamp time =
        60'000 * (step + 50) - (random() % 20 == 0 ? 50'000 * static_cast<Timestamp>(random() % 50) : 0);
    recommender.observe({.user = "walker", .item = model.item_ids->id(item), .timestamp = time});
    events.emplace_back(time, item);
    std::ranges::stable_sort(events, {}, &std::pair<Timestamp, ItemHandle>::first);
    if (random() % 4 == 0) continue;
    std::vector<ItemHandle> items;
    std::vector<Timestamp> times;
    for (const auto& [at, handle] : events) {
      items.push_back(handle);
      times.push_back(at);
    }
    for (const Timestamp now : {times.back() + 1000, times.back() + 400'000'000, kNoTime}) {
      const Answer answer = recommender.recommend({.user = "walker", .k = 10, .now = now, .exclude_seen = false});
      check_answer(answer, model, test::cosines(model, {.items = items, .times = times}, {.now = now}), {}, 10);
      const Answer bare =
          recommender.recommend_history(ids_of(model, items), {.k = 10, .now = now, .exclude_seen = false}, times);
      REQUIRE(test::item_ids(bare).front() == test::item_ids(answer).front());
    }
  }
  const Answer soon = recommender.recommend({.user = "u1", .k = 10, .now = 13'000'000});
  const Answer late = recommender.recommend({.user = "u1", .k = 10, .now = 900'000'000'000});
  CHECK_FALSE(same_items(soon, late));
}

TEST_CASE("Every id in every answer was handed in (UR-07)", "[serving][recommender][UR-07]") {
  const TrainedModel model = make_model();
  Recommender recommender = Recommender::open(model);
  std::set<std::string> known;
  for (std::uint32_t i = 0; i < 50; ++i) known.insert(to_string(model.item_ids->id(i)));
  recommender.observe({.user = "u1", .item = "new item"});
  const auto check = [&](const Answer& answer) {
    std::set<std::string> once;
    for (const Recommendation& r : answer.items) {
      REQUIRE(known.contains(to_string(r.item)));
      REQUIRE(std::isfinite(r.score));
      REQUIRE(once.insert(to_string(r.item)).second);
    }
  };
  for (const Id& user : {Id("u1"), Id("u2"), Id("nobody"), Id(3)}) {
    check(recommender.recommend({.user = user, .k = 1000}));
    check(recommender.recommend({.user = user, .k = 1000, .exclude_seen = false}));
    check(recommender.rank(user, {"i3", "i4", "new item", "i3", "i900", Id(4)}));
  }
  check(recommender.recommend_history({"i1", "new item", "i7"}, {.k = 1000}));
  check(recommender.recommend_history({"unheard of"}, {.k = 1000}));
  check(recommender.similar_items("i7", 1000));
  check(recommender.similar_items("new item", 1000));
}

TEST_CASE("Ids outside the model are skipped wherever they appear (UR-09)", "[serving][recommender][UR-09]") {
  Recommender recommender = Recommender::open(make_model());
  const Answer plain = recommender.recommend_history({"i1", "i2"}, {.k = 10});
  std::vector<Id> history{"i1"};
  history.insert(history.end(), kOddIds.begin(), kOddIds.end());
  history.push_back("i2");
  CHECK(same_items(recommender.recommend_history(history, {.k = 10}), plain));
  CHECK(item_ids(recommender.rank("u1", history)).size() == 2);
  for (const Id& id : kOddIds) CHECK(recommender.similar_items(id, 5).items.empty());

  for (const Id& id : kOddIds) {
    const bool possible = id == Id("no such id");
    CHECK(recommender.observe({.user = "x", .item = id}) == (possible ? Observed::recorded : Observed::rejected));
    CHECK(recommender.observe({.user = id, .item = "i1"}) == (possible ? Observed::recorded : Observed::rejected));
  }
}

TEST_CASE("Number ids work from end to end, and texts are unknown to them", "[serving][recommender][UR-09]") {
  Recommender recommender = Recommender::open(make_model({.item_kind = IdKind::int64}));
  CHECK(recommender.observe({.user = "x", .item = 3}) == Observed::recorded);
  CHECK(recommender.observe({.user = "x", .item = "3"}) == Observed::rejected);
  for (const std::int64_t odd : {std::int64_t{-1}, std::int64_t{50}, std::int64_t{1} << 31, INT64_MAX, INT64_MIN}) {
    CHECK(recommender.observe({.user = "x", .item = odd}) == Observed::recorded);
    CHECK(recommender.similar_items(odd, 3).items.empty());
  }
  const Answer answer = recommender.recommend({.user = "x", .k = 100});
  CHECK(answer.items.size() == 49);
  for (const Recommendation& r : answer.items) {
    CHECK(r.item.is_number());
    CHECK((r.item.number() >= 0 && r.item.number() < 50 && r.item.number() != 3));
  }
}

TEST_CASE("The next answer reflects an event: the item is gone, or the scores moved (UR-10)",
          "[serving][recommender][UR-10]") {
  Recommender recommender = Recommender::open(make_model());
  const Answer before = recommender.recommend({.user = "u3", .k = 10});
  const Answer scores_before = recommender.recommend({.user = "u3", .k = 50, .exclude_seen = false});
  const std::string item = item_ids(before).front();
  recommender.observe({.user = "u3", .item = item});
  CHECK(item_ids(recommender.recommend({.user = "u3", .k = 50})).size() == 49 - before.shortfall.seen);
  const auto after = item_ids(recommender.recommend({.user = "u3", .k = 10}));
  CHECK(std::ranges::find(after, item) == after.end());

  const Answer scores_after = recommender.recommend({.user = "u3", .k = 50, .exclude_seen = false});
  double moved = 0;
  for (std::size_t i = 0; i < 50; ++i) {
    moved = std::max(moved, std::abs(static_cast<double>(scores_after.items[i].score - scores_before.items[i].score)));
  }
  CHECK(moved > 1e-4);
}

TEST_CASE("An answer has min(k, eligible) distinct items, with the scores that rank gives (UR-14, UR-15)",
          "[serving][recommender][UR-14][UR-15]") {
  const TrainedModel model = make_model({.blend_weight = GENERATE(0.0, 0.7)});
  const Recommender recommender = Recommender::open(model);
  std::vector<Id> everything;
  for (std::uint32_t i = 0; i < 50; ++i) everything.push_back(model.item_ids->id(i));
  const auto seen = distinct(model.histories->of(2)).size();
  for (const Id& user : {Id("u2"), Id("nobody")}) {
    for (const bool exclude_seen : {true, false}) {
      const std::size_t eligible = 50 - (exclude_seen && user == Id("u2") ? seen : 0);
      for (const std::size_t k : {std::size_t{0}, std::size_t{1}, std::size_t{50}, std::size_t{51}, std::size_t{500},
                                  std::numeric_limits<std::size_t>::max()}) {
        const Answer answer = recommender.recommend({.user = user, .k = k, .exclude_seen = exclude_seen});
        REQUIRE(answer.items.size() == std::min(k, eligible));
        const Answer ranked = recommender.rank(user, everything);
        REQUIRE(ranked.items.size() == 50);
        for (const Recommendation& r : answer.items) {
          const auto pair = std::ranges::find(ranked.items, r.item, &Recommendation::item);
          REQUIRE(pair != ranked.items.end());
          REQUIRE(pair->score == r.score);
        }
      }
    }
  }
}

TEST_CASE("The seen filter works from the stored user alone and can be switched off (UR-17)",
          "[serving][recommender][UR-17]") {
  const TrainedModel model = make_model();
  const Recommender recommender = Recommender::open(model);
  const HistoryView history = model.histories->of(4);
  const Answer filtered = recommender.recommend({.user = "u4", .k = 50});
  for (const ItemHandle item : history.items) {
    CHECK(std::ranges::find(filtered.items, model.item_ids->id(item), &Recommendation::item) == filtered.items.end());
  }
  CHECK(recommender.recommend({.user = "u4", .k = 50, .exclude_seen = false}).items.size() == 50);
  // The filter of one request leaves nothing behind for the next.
  CHECK(same_items(recommender.recommend({.user = "u4", .k = 50}), filtered));
  CHECK(recommender.recommend({.user = "nobody", .k = 50}).items.size() == 50);
}

TEST_CASE("Items and shortfall add up to the catalogue", "[serving][recommender]") {
  const TrainedModel model = make_model();
  const std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(model.encoder->config(), 50);
  encoder->initialize(1);
  std::ranges::fill(encoder->items().row(7), 0.0f);
  std::ranges::fill(encoder->items().row(8), 1e-42f);
  TrainedModel broken = model;
  broken.encoder = encoder;
  Recommender recommender = Recommender::open(broken);
  recommender.observe({.user = "u1", .item = "new"});
  recommender.observe({.user = "u1", .item = "i7"});
  for (const Id& user : {Id("u1"), Id("u2"), Id("nobody")}) {
    for (const bool exclude_seen : {true, false}) {
      const Answer answer = recommender.recommend({.user = user, .k = 1000, .exclude_seen = exclude_seen});
      const Shortfall& left_out = answer.shortfall;
      CHECK(answer.items.size() + left_out.seen + left_out.filtered + left_out.unavailable == 51);
      if (!exclude_seen) CHECK(left_out.seen == 0);
    }
  }
}

TEST_CASE("An item with a zero or denormal vector is never recommended by the model, but by the side door (UR-27)",
          "[serving][recommender][UR-27]") {
  TrainedModel model = make_model();
  const std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(model.encoder->config(), 50);
  encoder->initialize(1);
  std::ranges::fill(encoder->items().row(7), 0.0f);
  std::ranges::fill(encoder->items().row(8), 1e-42f);
  model.encoder = encoder;
  const Recommender recommender = Recommender::open(model);
  const Answer answer = recommender.recommend({.user = "u1", .k = 50, .exclude_seen = false});
  CHECK(answer.items.size() == 48);
  CHECK(answer.shortfall.unavailable == 2);
  for (const Recommendation& r : answer.items) CHECK((r.item != Id("i7") && r.item != Id("i8")));
  const Answer by_counts = recommender.recommend_history({"i7", "i7"}, {.k = 50});  // the encoder has nothing to read
  CHECK(by_counts.source == Source::counts);
  CHECK(by_counts.items.size() == 49);
  CHECK(recommender.recommend({.user = "nobody", .k = 50}).items.size() == 50);
  CHECK(recommender.similar_items("i7", 10).items.empty());
  CHECK(recommender.rank("u1", {"i7", "i9"}).items.size() == 1);
}

TEST_CASE("Late and repeated events are recorded as the contract says", "[serving][recommender]") {
  const TrainedModel model = make_model();
  Recommender recommender = Recommender::open(model);
  const auto observe = [&](const char* item, Timestamp time, const char* event_id = "") {
    return recommender.observe({.user = "x", .item = item, .timestamp = time, .event_id = event_id});
  };
  CHECK(observe("i1", 100, "a") == Observed::recorded);
  CHECK(observe("i3", 300, "b") == Observed::recorded);
  recommender.recommend({.user = "x"});
  CHECK(observe("i3", 300, "b") == Observed::duplicate);
  CHECK(recommender.observe({.user = "y", .item = "i3", .event_id = "b"}) == Observed::recorded);
  CHECK(observe("i2", 200) == Observed::recorded);
  CHECK(observe("i4", kNoTime) == Observed::recorded);
  CHECK(same_items(recommender.recommend({.user = "x"}), recommender.recommend_history({"i1", "i2", "i3", "i4"})));
}

TEST_CASE("What cannot be recorded is rejected and leaves no trace", "[serving][recommender]") {
  Recommender recommender = Recommender::open(make_model({.items = 3}), {.max_items = 3});
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(recommender.observe({.user = "x", .item = "i1", .value = infinity}) == Observed::rejected);
  CHECK(recommender.observe({.user = "x", .item = "i1", .value = std::nanf("")}) == Observed::rejected);
  CHECK(recommender.info().users == 8);
  for (const char* item : {"n1", "n2", "n3"}) {
    CHECK(recommender.observe({.user = "x", .item = item}) == Observed::recorded);
  }
  CHECK(recommender.observe({.user = "x", .item = "n4"}) == Observed::rejected);
  CHECK(recommender.info().items == 6);
  std::string kind = "k";
  for (int i = 0; i < 128; ++i) recommender.observe({.user = "x", .item = "i1", .event = kind += 'k'});
  CHECK(recommender.observe({.user = "x", .item = "i1", .event = "k"}) == Observed::rejected);
  CHECK(recommender.observe_batch(std::vector<Interaction>{{.user = "x", .item = "i1"},
                                                           {.user = "x", .item = ""},
                                                           {.user = "x", .item = "i1", .event_id = "1"},
                                                           {.user = "x", .item = "i1", .event_id = "1"}}) ==
        std::vector{Observed::recorded, Observed::rejected, Observed::recorded, Observed::duplicate});
}

TEST_CASE("rank orders the host's own candidates, each once", "[serving][recommender]") {
  const TrainedModel model = make_model();
  const Recommender recommender = Recommender::open(model);
  const Answer answer = recommender.rank("u5", {"i9", "i8", "i9", "i7", "unknown", "i6"});
  REQUIRE(answer.items.size() == 4);
  const auto scores = test::cosines(model, model.histories->of(5));
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(answer.items[i].score == Approx(scores[model.item_ids->find(answer.items[i].item)]).margin(1e-5));
    if (i > 0) CHECK(answer.items[i - 1].score >= answer.items[i].score);
  }
  CHECK(recommender.rank("u5", {}).items.empty());
}

TEST_CASE("Candidates that rank leaves out are counted, each once", "[serving][recommender]") {
  Recommender recommender = Recommender::open(make_model());
  recommender.observe({.user = "x", .item = "new"});
  const auto unavailable = [&](const std::vector<Id>& candidates) {
    return recommender.rank("u5", candidates).shortfall.unavailable;
  };
  CHECK(unavailable({"i9", "i8", "i9"}) == 0);
  CHECK(unavailable({"i9", "new", "new"}) == 1);
  CHECK(unavailable({"unknown", "i9", "unheard of", "unknown", Id(7), Id(), Id(0), Id(), Id(7), Id(-7), ""}) == 7);
  CHECK(unavailable({"unknown"}) == 1);
}

TEST_CASE("similar_items ranks the others by the cosine of their vectors, also in a blend", "[serving][recommender]") {
  const TrainedModel model = make_model({.blend_weight = GENERATE(0.0, 0.7)});
  const Recommender recommender = Recommender::open(model);
  const Answer answer = recommender.similar_items("i7", 5);
  REQUIRE(answer.items.size() == 5);
  CHECK(answer.score_kind == ScoreKind::cosine);
  const auto row = [&](const Id& id) { return model.encoder->items().row(model.item_ids->find(id)); };
  const auto cosine = [](auto x, auto y) {
    const auto dot = [](auto a, auto b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); };
    return dot(x, y) / std::sqrt(dot(x, x) * dot(y, y));
  };
  for (const Recommendation& r : answer.items) {
    CHECK(r.item != Id("i7"));
    CHECK(r.score == Approx(cosine(row("i7"), row(r.item))).margin(1e-5));
  }
  CHECK(recommender.similar_items("i7", 1000).items.size() == 49);
}

TEST_CASE("Neighbours and their shortfall add up to the other items", "[serving][recommender]") {
  TrainedModel model = make_model({.score = ScoreKind::dot});
  const std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(model.encoder->config(), 50);
  encoder->initialize(1);
  std::ranges::fill(encoder->items().row(8), 0.0f);
  model.encoder = encoder;
  Recommender recommender = Recommender::open(model);
  recommender.observe({.user = "x", .item = "new"});
  const auto check = [](const Answer& answer, std::size_t items, std::size_t others) {
    CHECK(answer.items.size() == items);
    CHECK(answer.shortfall.unavailable == others - items);
  };
  const Answer known = recommender.similar_items("i7", 1000);
  check(known, 48, 50);
  CHECK(known.score_kind == ScoreKind::dot);
  check(recommender.similar_items("i8", 1000), 0, 50);
  check(recommender.similar_items("new", 1000), 0, 50);
  check(recommender.similar_items("never heard of", 1000), 0, 51);
  check(Recommender::open(make_model({.encoder = false})).similar_items("i7", 1000), 0, 49);
}

TEST_CASE("A calibrated model's answers carry probabilities, and no others do", "[serving][recommender]") {
  TrainedModel model = make_model();
  model.calibration = {{-1.0f, 1.0f}, {0.0f, 0.5f}};
  Recommender recommender = Recommender::open(model);
  const auto check = [&](const Answer& answer, bool calibrated) {
    REQUIRE(!answer.items.empty());
    for (const Recommendation& r : answer.items) {
      CHECK(std::isnan(r.probability) == !calibrated);
      if (calibrated) CHECK(r.probability == model.calibration(r.score));
    }
  };
  check(recommender.recommend({.user = "u5", .k = 10}), true);
  check(recommender.rank("u5", {"i9", "i8"}), true);
  check(recommender.recommend({.user = "nobody"}), false);
  check(recommender.similar_items("i7", 5), false);
  Answer reused = recommender.recommend({.user = "u5"});
  recommender.recommend({.user = "nobody"}, reused);
  check(reused, false);
  recommender.reload(make_model());
  check(recommender.recommend({.user = "u5"}), false);
}

TEST_CASE("A batch gives the answers of single requests, in the calling thread or on an executor",
          "[serving][recommender]") {
  const TrainedModel model = make_model();
  const auto threads = GENERATE(0, 1, 3);
  std::shared_ptr<Executor> executor;
  if (threads > 0) executor = std::make_shared<ThreadPool>(threads);
  const Recommender recommender = Recommender::open(model, {.executor = executor});
  std::vector<std::string> names;
  for (std::size_t u = 0; u < 20; ++u) names.push_back(test::user_name(u % 10));
  std::vector<Request> requests;
  for (const std::string& name : names) requests.push_back({.user = name, .k = requests.size()});
  const std::vector<Answer> answers = recommender.recommend_batch(requests);
  REQUIRE(answers.size() == requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) CHECK(same_items(answers[i], recommender.recommend(requests[i])));
}

TEST_CASE("Requests that are answered together get the answers of single ones", "[serving][recommender]") {
  const TrainedModel model = make_model({.items = 12'000, .users = 150});
  const auto threads = GENERATE(0, 3);
  RecommenderOptions options{.scorer_storage = ScorerStorage::int8};
  if (threads > 0) options.executor = std::make_shared<ThreadPool>(threads);
  if (GENERATE(false, true)) {
    options.ranker =
        make_ranker([](const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores) {
          for (const Candidate& c : candidates) {
            const ItemHandle last = query.history.items.empty() ? 0 : query.history.items.back();
            scores[c.rank] = static_cast<float>(c.handle ^ query.history.items.size() ^ last);
          }
        });
  }
  Recommender recommender = Recommender::open(model, options);
  recommender.observe({.user = "new", .item = "unheard of", .timestamp = 5});
  recommender.observe({.user = "newer", .item = "i7", .timestamp = 6});
  std::vector<std::string> names;
  for (std::size_t u = 0; u < 150; ++u) names.push_back(test::user_name(u));
  std::vector<Request> requests;
  for (std::size_t u = 0; u < 150; ++u) {
    requests.push_back({.user = names[u], .k = u % 30, .exclude_seen = u % 7 != 0});
  }
  for (const char* user : {"nobody", "new", "newer", "u1", "u1"}) requests.push_back({.user = Id(user), .k = 20'000});
  const std::vector<Answer> answers = recommender.recommend_batch(requests);
  REQUIRE(answers.size() == requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    INFO("request " << i);
    const Answer single = recommender.recommend(requests[i]);
    CHECK(same_items(answers[i], single));
    CHECK(answers[i].source == single.source);
    CHECK(answers[i].score_kind == single.score_kind);
    CHECK(answers[i].reranked == single.reranked);
    CHECK(answers[i].shortfall.seen == single.shortfall.seen);
    CHECK(answers[i].shortfall.unavailable == single.shortfall.unavailable);
  }
  CHECK(recommender.recommend_batch({}).empty());
}

TEST_CASE("A model that only counts is served by its counts", "[serving][recommender]") {
  const TrainedModel model = make_model({.encoder = false});
  Recommender recommender = Recommender::open(model);
  CHECK(recommender.info().score_kind == ScoreKind::count);
  const Answer known = recommender.recommend({.user = "u1", .k = 100, .exclude_seen = false});
  CHECK(known.source == Source::counts);
  CHECK(known.score_kind == ScoreKind::count);
  CHECK(known.items.size() == 50);
  std::vector<float> scores(50);
  model.counts->score_all(model.histories->of(1), scores);
  for (const Recommendation& r : known.items) CHECK(r.score == scores[model.item_ids->find(r.item)]);
  CHECK(recommender.recommend({.user = "nobody", .k = 5}).source == Source::popularity);
  CHECK(recommender.recommend({.user = "u1", .k = 100}).items.size() == 50 - distinct(model.histories->of(1)).size());
}

TEST_CASE("Counts of every kind are served as models of their own", "[serving][recommender]") {
  const TrainedModel model =
      make_model({.encoder = false, .counts = test::all_count_options()[GENERATE(0u, 1u, 2u, 3u, 4u, 5u)]});
  const Recommender recommender = Recommender::open(model);
  CHECK(recommender.info().score_kind == ScoreKind::count);
  const bool listens = model.counts->name() != "popularity";
  const HistoryView history = model.histories->of(1);
  std::vector<float> scores(50), popularity(50);
  model.counts->score_all(history, scores);
  model.popularity->score_all({}, popularity);

  const Answer answer = recommender.recommend({.user = "u1", .k = 100});
  CHECK(answer.source == (listens ? Source::counts : Source::popularity));
  CHECK(answer.score_kind == ScoreKind::count);
  CHECK(answer.items.size() == 50 - distinct(history).size());
  CHECK(answer.shortfall.seen == distinct(history).size());
  for (std::size_t i = 0; i < answer.items.size(); ++i) {
    CHECK(answer.items[i].score == scores[model.item_ids->find(answer.items[i].item)]);
    if (i > 0) CHECK(answer.items[i].score <= answer.items[i - 1].score);
  }
  for (const Recommendation& r : recommender.rank("u1", {"i1", "i2", "unknown"}).items) {
    CHECK(r.score == scores[model.item_ids->find(r.item)]);
  }
  for (const Answer& cold :
       {recommender.recommend({.user = "nobody", .k = 50}), recommender.recommend_history({"unknown"}, {.k = 50})}) {
    CHECK(cold.source == Source::popularity);
    CHECK(cold.items.size() == 50);
    for (const Recommendation& r : cold.items) CHECK(r.score == popularity[model.item_ids->find(r.item)]);
  }
}

TEST_CASE("Counts of every kind can be the term of a blend", "[serving][recommender]") {
  TrainedModel model = make_model({.counts = test::all_count_options()[GENERATE(0u, 1u, 2u, 3u, 4u, 5u)]});
  const Answer plain = Recommender::open(model).recommend({.user = "u1", .k = 50});
  model.blend_weight = 0.75;
  const Answer blend = Recommender::open(model).recommend({.user = "u1", .k = 50});
  CHECK(blend.score_kind == ScoreKind::blend);
  CHECK(blend.source == Source::model);
  REQUIRE(blend.items.size() == plain.items.size());
  std::vector<float> terms(50);
  model.counts->score_all(model.histories->of(1), terms);
  model.counts->to_terms(terms);
  for (const Recommendation& r : plain.items) {
    const auto same = std::ranges::find(blend.items, r.item, &Recommendation::item);
    REQUIRE(same != blend.items.end());
    const double expected = r.score / model.encoder->config().temperature + 0.75 * terms[model.item_ids->find(r.item)];
    CHECK(same->score == Approx(expected).epsilon(1e-4));
  }
}

TEST_CASE("An answer outlives its recommender", "[serving][recommender]") {
  Answer answer;
  {
    Recommender recommender = Recommender::open(make_model({.version = "a version longer than a small string"}));
    Recommender moved = std::move(recommender);
    moved.recommend({.user = "u1", .k = 5}, answer);
  }
  CHECK(answer.model_version == "a version longer than a small string");
  for (const Recommendation& r : answer.items) CHECK(r.item.text().substr(0, 1) == "i");
}

TEST_CASE("A cache budget of nothing changes no answer", "[serving][recommender]") {
  const TrainedModel model = make_model();
  const Recommender cached = Recommender::open(model);
  const Recommender uncached = Recommender::open(model, {.cache_budget_bytes = 0});
  for (std::size_t u = 0; u < 8; ++u) {
    const std::string user = test::user_name(u);
    CHECK(same_items(cached.recommend({.user = user}), uncached.recommend({.user = user})));
  }
  CHECK(cached.info().cache_bytes > 0);
  CHECK(uncached.info().cache_bytes == 0);
}

// The whole read path is const, so that per-request knobs can only be arguments (UR-45).
static_assert(requires(const Recommender& recommender, const Request& request, Answer& answer,
                       std::span<const Request> requests, std::span<const Id> ids) {
  recommender.recommend(request);
  recommender.recommend(request, answer);
  recommender.recommend_history(ids, request);
  recommender.recommend_batch(requests);
  recommender.rank("u", ids);
  recommender.similar_items("i", 1);
  recommender.info();
});
