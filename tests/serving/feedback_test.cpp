// SPDX-License-Identifier: Apache-2.0

// What kinds of events mean to answers.

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "attune/error.hpp"
#include "attune/model/ranker.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/cold_start.hpp"
#include "attune/serving/cosine_scorer.hpp"
#include "attune/serving/cursor.hpp"
#include "attune/serving/make_recommender.hpp"
#include "attune/serving/telemetry.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/host_parts.hpp"
#include "serving/small_model.hpp"
#include "serving/stored_events.hpp"

using namespace attune;
using test::item_ids;
using test::make_model;
using test::MemoryStore;
using test::same_items;

namespace {

const std::vector<EventKind> kKinds{{"purchase", 3}, {"like", 1}, {"impression", 0}, {"dislike", -1}, {"hate", -2}};

RecommenderOptions with_kinds(RecommenderOptions options = {}) {
  options.event_kinds = kKinds;
  return options;
}

bool has(const Answer& answer, const std::string& item) {
  return std::ranges::find(answer.items, Id(item), &Recommendation::item) != answer.items.end();
}

// Scores by the formula: cosine, or dot product, with the user vector moved away from the disliked items.
std::vector<double> moved_scores(const TrainedModel& model, HistoryView history, const std::vector<Dislike>& disliked) {
  const SequenceEncoder<float>& encoder = *model.encoder;
  const std::size_t dim = encoder.dim();
  Workspace workspace;
  std::vector<float> encoded(dim);
  encoder.encode(encoded, history, {}, workspace);
  const auto dot = [](const auto& x, const auto& y) {
    double sum = 0;
    for (std::size_t d = 0; d < x.size(); ++d) sum += static_cast<double>(x[d]) * static_cast<double>(y[d]);
    return sum;
  };
  std::vector<double> user(encoded.begin(), encoded.end());
  const double length = std::sqrt(dot(user, user));
  for (const Dislike& one : disliked) {
    const auto row = encoder.items().row(one.item);
    const double amount = length * 0.25 * double{one.weight} / static_cast<double>(disliked.size());
    for (std::size_t d = 0; d < dim; ++d) user[d] -= amount * double{row[d]} / std::sqrt(dot(row, row));
  }
  std::vector<double> scores(model.num_items());
  for (ItemHandle i = 0; i < scores.size(); ++i) {
    const auto row = encoder.items().row(i);
    scores[i] = dot(user, row);
    if (encoder.config().score == ScoreKind::cosine) scores[i] /= std::sqrt(dot(user, user) * dot(row, row));
  }
  return scores;
}

// How many items of other groups than its own score more.
std::size_t others_before(const std::vector<double>& scores, ItemHandle item, std::size_t groups) {
  std::size_t others = 0;
  for (ItemHandle i = 0; i < scores.size(); ++i) others += i % groups != item % groups && scores[i] > scores[item];
  return others;
}

// An encoder that answers with the vector of the last item.
struct LastVector {
  std::shared_ptr<const EmbeddingTable<float>> rows;
  std::size_t dim() const { return rows->dim(); }
  bool knows(ItemHandle item) const { return item < rows->rows(); }
  void encode(std::span<float> user_vector, HistoryView history, const Context&, Workspace&) const {
    std::ranges::copy(rows->row(history.items.back()), user_vector.begin());
  }
};

}  // namespace

TEST_CASE("A disliked item is in no answer until it is liked, and then answers are those of one who only liked it",
          "[serving][feedback][UR-10]") {
  const TrainedModel model = make_model({.items = 60, .blend_weight = GENERATE(0.0, 0.5)});
  Recommender recommender = Recommender::open(model, with_kinds());
  const char* const user = GENERATE("u1", "a stranger");
  const Answer before = recommender.recommend({.user = user, .k = 5});
  const std::string item = item_ids(before).front();
  const Interaction dislike{.user = user, .item = item, .timestamp = 20'000'000, .event = "dislike"};
  CHECK(recommender.observe(dislike) == Observed::recorded);

  const Answer after = recommender.recommend({.user = user, .k = 60});
  CHECK_FALSE(has(after, item));
  CHECK_FALSE(has(recommender.recommend({.user = user, .k = 60, .exclude_seen = false}), item));
  CHECK_FALSE(has(recommender.recommend({.user = user, .k = 60, .cool_down = 1}), item));
  CHECK_FALSE(has(recommender.recommend({.user = user, .k = 60, .diversity = 0.5f}), item));
  const PinnedItem pin{item, 0};
  CHECK_FALSE(has(recommender.recommend({.user = user, .pinned = {&pin, 1}}), item));
  const Id allowed[] = {item, "i7"};
  CHECK_FALSE(has(recommender.recommend({.user = user, .exclude_seen = false, .allow = allowed}), item));
  const Request requests[] = {{.user = user, .k = 60}, {.user = "u2"}};
  CHECK(same_items(recommender.recommend_batch(requests).front(), after));
  const Answer ranked = recommender.rank(user, {item, "i7", "i8", "unknown"});
  CHECK_FALSE(has(ranked, item));
  CHECK(ranked.shortfall.seen == 1);
  CHECK(ranked.shortfall.unavailable == 1);
  CHECK(has(recommender.recommend({.user = "u2", .k = 60, .exclude_seen = false}), item));  // others see it
  CHECK(after.items.size() + after.shortfall.seen == 60);

  // A purchase that comes late was before the dislike; the like is after it.
  const Interaction late{.user = user, .item = item, .timestamp = 5, .event = "purchase"};
  const Interaction like{.user = user, .item = item, .timestamp = 20'000'000, .event = "like"};
  recommender.observe(late);
  CHECK_FALSE(has(recommender.recommend({.user = user, .k = 60, .exclude_seen = false}), item));
  recommender.observe(like);
  Recommender other = Recommender::open(model, with_kinds());
  other.observe(late);
  other.observe(like);
  for (const bool exclude_seen : {true, false}) {
    const Request request{.user = user, .k = 60, .exclude_seen = exclude_seen};
    CHECK(same_items(recommender.recommend(request), other.recommend(request)));
  }
  CHECK(has(recommender.recommend({.user = user, .k = 60, .exclude_seen = false}), item));
}

TEST_CASE("Items like a disliked one are lowered at once, by Rocchio's formula", "[serving][feedback]") {
  const auto score = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const auto storage = GENERATE(ScorerStorage::float32, ScorerStorage::int8, ScorerStorage::int4);
  const TrainedModel model = make_model({.items = 120, .item_groups = 12, .score = score});
  Recommender recommender = Recommender::open(model, with_kinds({.scorer_storage = storage}));
  const HistoryView history = model.histories->of(1);
  const std::vector<double> before = moved_scores(model, history, {});
  const auto best = static_cast<ItemHandle>(std::ranges::max_element(before) - before.begin());
  const std::vector<Dislike> disliked = GENERATE_COPY(std::vector<Dislike>{{best, 1}}, std::vector<Dislike>{{best, 6}},
                                                      std::vector<Dislike>{{3, 1}, {17, 2}, {best, 1}});
  for (const Dislike& one : disliked) {
    const std::string item = test::item_name(one.item);
    const bool hate = one.weight == 2;
    recommender.observe(
        {.user = "u1", .item = item, .event = hate ? "hate" : "dislike", .value = hate ? 1 : one.weight});
  }
  const std::vector<double> after = moved_scores(model, history, disliked);
  const Answer answer = recommender.recommend({.user = "u1", .k = 120, .exclude_seen = false});
  REQUIRE(answer.items.size() == 120 - disliked.size());
  CHECK(answer.score_kind == score);
  const double tolerance = score == ScoreKind::cosine ? 1e-5 : 1e-4;
  double last = std::numeric_limits<double>::infinity();
  for (const Recommendation& r : answer.items) {
    const double expected = after[model.item_ids->find(r.item)];
    REQUIRE(std::abs(double{r.score} - expected) < tolerance);
    REQUIRE(expected < last + tolerance);
    last = expected;
  }
  const Answer ranked = recommender.rank("u1", {"i40", "i41"});
  for (const Recommendation& r : ranked.items) {
    CHECK(std::abs(double{r.score} - after[model.item_ids->find(r.item)]) < tolerance);
  }
  if (disliked.size() != 1) return;
  for (ItemHandle alike = best % 12; alike < 120; alike += 12) {
    if (alike == best) continue;
    CHECK(after[alike] < before[alike]);
    const std::size_t others = others_before(before, alike, 12);
    CHECK(others_before(after, alike, 12) >= others);
    if (disliked.front().weight == 6) CHECK(others_before(after, alike, 12) > others + 50);
  }
}

TEST_CASE("An impression is neither history nor seen, and without named kinds every event counts",
          "[serving][feedback]") {
  const TrainedModel model = make_model();
  Recommender plain = Recommender::open(model), named = Recommender::open(model, with_kinds());
  for (const char* item : {"i3", "i9", "i3"}) {
    named.observe({.user = "u1", .item = item, .event = "impression"});
    CHECK(named.observe({.user = "new", .item = item, .event = "impression"}) == Observed::recorded);
  }
  for (const char* user : {"u1", "new"}) {
    CHECK(same_items(plain.recommend({.user = user}), named.recommend({.user = user})));
    plain.observe({.user = user, .item = "i8", .timestamp = 20'000'000, .event = "like"});
    named.observe({.user = user, .item = "i8", .timestamp = 20'000'000, .event = "like"});
    named.observe({.user = user, .item = "i7", .timestamp = 30'000'000, .event = "impression"});
    CHECK(same_items(plain.recommend({.user = user}), named.recommend({.user = user})));
  }
  plain.observe({.user = "u1", .item = "i4", .event = "dislike", .value = -1});
  CHECK(same_items(plain.recommend({.user = "u1"}), [&] {
    Recommender again = Recommender::open(model);
    again.observe({.user = "u1", .item = "i8", .timestamp = 20'000'000});
    again.observe({.user = "u1", .item = "i4"});
    return again.recommend({.user = "u1"});
  }()));
}

TEST_CASE("A history's weights are those of its kinds times the values", "[serving][feedback]") {
  const TrainedModel model = make_model();
  std::vector<float> weights;
  std::vector<Dislike> disliked;
  const auto ranker = make_ranker([&](const RankingQuery& query, std::span<const Candidate>, std::span<float> scores) {
    weights.assign(query.history.weights.begin(), query.history.weights.end());
    disliked.assign(query.context.disliked.begin(), query.context.disliked.end());
    std::ranges::fill(scores, 0.0f);
  });
  Recommender recommender = Recommender::open(model, with_kinds({.ranker = ranker}));
  recommender.observe({.user = "new", .item = "i1", .event = "purchase", .value = 2});
  recommender.observe({.user = "new", .item = "i2", .event = "hate", .value = 1.5f});
  recommender.observe({.user = "new", .item = "i3"});
  recommender.observe({.user = "new", .item = "i4", .event = "of no name", .value = 0.5f});
  recommender.recommend({.user = "new"});
  CHECK(weights == std::vector<float>{6, 1, 0.5f});
  CHECK(disliked == std::vector<Dislike>{{2, 3}});
}

TEST_CASE("What a store replays is what was live, through merging and forgetting too", "[serving][feedback]") {
  const TrainedModel model = make_model({.items = 20});
  const auto store = std::make_shared<MemoryStore>();
  const char* const users[] = {"u1", "u2", "x", "y"};
  Recommender live = Recommender::open(model, with_kinds({.event_store = store}));
  std::mt19937 random(GENERATE(range(1u, 12u)));
  const auto observe_some = [&] {
    for (int i = 0; i < 120; ++i) {
      const std::size_t number = random() % 20;
      const std::string item = test::item_name(number), id = test::user_name(random() % 60);
      const char* const kinds[] = {"like", "purchase", "impression", "dislike", "hate"};
      live.observe({.user = users[random() % 4],
                    .item = item,
                    .timestamp = random() % 3 == 0 ? kNoTime : static_cast<Timestamp>(random() % 20'000'000),
                    .event = kinds[random() % 5],
                    .value = static_cast<float>(1 + number % 3),
                    .event_id = random() % 2 == 0 ? std::string_view() : id});
    }
  };
  const auto check_replay = [&] {
    const Recommender replayed = Recommender::open(model, with_kinds({.event_store = store}));
    for (const char* user : users) {
      CHECK(replayed.export_user(user) == live.export_user(user));
      for (const bool exclude_seen : {true, false}) {
        const Request request{.user = user, .k = 20, .exclude_seen = exclude_seen};
        CHECK(same_items(replayed.recommend(request), live.recommend(request)));
      }
    }
  };
  observe_some();
  check_replay();
  live.merge_users("x", "u2");
  check_replay();
  CHECK(live.export_user("x").empty());
  observe_some();
  live.forget_user("y");
  check_replay();
  CHECK(live.export_user("y").empty());
  CHECK(same_items(live.recommend({.user = "y", .k = 20}), live.recommend({.user = "nobody", .k = 20})));
}

TEST_CASE("Kinds of a model's histories mean what they mean of events", "[serving][feedback]") {
  TrainedModel model = make_model({.items = 60});
  auto histories = std::make_shared<Histories>(*model.histories);
  histories->event_kinds = {"", "dislike"};
  const std::size_t last = histories->offsets[2] - 1;  // of u1
  const std::string item = test::item_name(histories->items[last]);
  histories->kinds[last] = 1;
  model.histories = histories;
  const Recommender recommender = Recommender::open(model, with_kinds());
  CHECK_FALSE(has(recommender.recommend({.user = "u1", .k = 60, .exclude_seen = false}), item));
  CHECK(has(Recommender::open(model).recommend({.user = "u1", .k = 60, .exclude_seen = false}), item));
  CHECK(recommender.export_user("u1").find("\"dislike\"") != std::string::npos);
}

TEST_CASE("A list in pages never shows what was disliked in between", "[serving][feedback]") {
  const TrainedModel model = make_model({.items = 60});
  Recommender recommender = Recommender::open(model, with_kinds());
  Cursor cursor;
  const Answer first = recommender.recommend({.user = "u1", .k = 5, .cursor = &cursor});
  const std::string next = item_ids(recommender.recommend({.user = "u1", .k = 6}))[5];
  recommender.observe({.user = "u1", .item = next, .event = "hate"});
  for (int page = 0; page < 12; ++page) {
    CHECK_FALSE(has(recommender.recommend({.user = "u1", .k = 5, .cursor = &cursor}), next));
  }
  CHECK(first.items.size() == 5);
}

TEST_CASE("A scorer that cannot subtract leaves disliked items out, and no more", "[serving][feedback]") {
  IdMap ids;
  for (std::size_t i = 0; i < 20; ++i) ids.insert(test::item_name(i));
  Recommender recommender =
      make_recommender(Engine(test::LastItem{}, test::Nearest{20}, test::InOrder{}), {.item_ids = ids}, with_kinds());
  recommender.observe({.user = "a", .item = "i10"});
  recommender.observe({.user = "a", .item = "i11", .event = "dislike"});
  CHECK(item_ids(recommender.recommend({.user = "a", .k = 3})) == std::vector<std::string>{"i9", "i8", "i12"});
}

TEST_CASE("Where a dislike leaves nothing of a user vector the cold start answers", "[serving][feedback]") {
  const TrainedModel model = make_model({.items = 20});
  const std::shared_ptr<const EmbeddingTable<float>> rows(model.encoder, &model.encoder->items());
  CosineScorer<float> scorer(ScorerRows<float>(*rows, ScoreKind::cosine));
  Recommender recommender =
      make_recommender(Engine(LastVector{rows}, std::move(scorer), CountsColdStart(model.popularity, model.counts)),
                       {.item_ids = *model.item_ids}, with_kinds());
  recommender.observe({.user = "a", .item = "i3"});
  CHECK(recommender.recommend({.user = "a"}).source == Source::model);
  recommender.observe({.user = "a", .item = "i3", .event = "dislike", .value = 2});
  CHECK(recommender.recommend({.user = "a"}).source == Source::model);
  recommender.observe({.user = "a", .item = "i3", .event = "dislike", .value = 4});
  const Answer answer = recommender.recommend({.user = "a", .k = 20});
  CHECK(answer.source != Source::model);
  CHECK(answer.items.size() == 19);
  recommender.observe({.user = "a", .item = "i3", .event = "dislike", .value = std::numeric_limits<float>::max()});
  for (const Recommendation& r : recommender.recommend({.user = "a"}).items) CHECK(std::isfinite(r.score));
}

TEST_CASE("Kinds that mean nothing are errors when a recommender opens", "[serving][feedback]") {
  using Kinds = std::vector<EventKind>;
  const TrainedModel model = make_model();
  const auto message = [&](const Kinds& kinds) {
    try {
      Recommender::open(model, {.event_kinds = kinds});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  CHECK(message({{"a", 1}, {"b", std::nanf("")}}).find("event_kinds[1] \"b\": expected a finite weight, found nan") !=
        std::string::npos);
  CHECK(message({{"a", -kInfinity}}).find("found -inf") != std::string::npos);
  CHECK(message({{"a", 1}, {"", 1}}).find("event_kinds[1]: expected a name") != std::string::npos);
  CHECK(
      message({{"a", 1}, {"b", 1}, {"a", 2}}).find("event_kinds[2]: expected kinds of different names, found \"a\"") !=
      std::string::npos);
  Kinds many;
  for (std::size_t i = 0; i < 128; ++i) many.push_back({test::item_name(i), 1});
  CHECK(message(many).empty());
  many.push_back({"one too many", 1});
  CHECK(message(many).find("expected at most 128, found 129") != std::string::npos);
}

TEST_CASE("Events of kinds without a name count or are rejected, as it was asked", "[serving][feedback]") {
  const TrainedModel model = make_model();
  const auto store = std::make_shared<MemoryStore>();
  const std::vector<Interaction> events{{.user = "a", .item = "i1", .event = "of no name"},
                                        {.user = "a", .item = "i2"},
                                        {.user = "a", .item = "i3", .event = "like"}};
  {
    Recommender accepts = Recommender::open(model, with_kinds({.event_store = store}));
    CHECK(accepts.observe_batch(events) == std::vector(3, Observed::recorded));
  }
  RecommenderOptions options = with_kinds({.event_store = store});
  options.unknown_event_kinds = UnknownEventKinds::reject;
  Recommender rejects = Recommender::open(model, options);
  const std::string replayed = rejects.export_user("a");  // what was acknowledged counts
  CHECK(std::ranges::count(replayed, '\n') == 3);
  CHECK(rejects.observe_batch(events) == std::vector{Observed::rejected, Observed::recorded, Observed::recorded});
  CHECK(rejects.stats().events[static_cast<std::size_t>(Observed::rejected)] == 1);
  CHECK(store->events.size() == 5);
}
