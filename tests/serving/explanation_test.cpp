// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/explanation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "attune/error.hpp"
#include "attune/serving/cold_start.hpp"
#include "attune/serving/cosine_scorer.hpp"
#include "attune/serving/make_recommender.hpp"
#include "attune/serving/shared_encoder.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/host_parts.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using test::make_model;

namespace {

// A history as a host would write it, without some of its events.
struct Typed {
  std::vector<Id> items;
  std::vector<Timestamp> times;

  Typed without(const std::set<std::size_t>& events) const {
    Typed fewer;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (events.contains(i)) continue;
      fewer.items.push_back(items[i]);
      fewer.times.push_back(times[i]);
    }
    return fewer;
  }
};

Typed typed(const TrainedModel& model, std::size_t user) {
  const HistoryView history = model.histories->of(user);
  Typed typed;
  for (const ItemHandle item : history.items) typed.items.push_back(model.item_ids->id(item));
  typed.times.assign(history.times.begin(), history.times.end());
  return typed;
}

// Of an item, by a list of all; `now` is that of the whole history, and so is what is seen.
struct Standing {
  float score, margin;
};
Standing standing_of(const Recommender& recommender, const Typed& history, const Typed& whole, const Id& item,
                     Timestamp now) {
  const Request request{.k = 1000, .now = now, .exclude_seen = false};
  const Answer all = recommender.recommend_history(history.items, request, history.times);
  const auto found = std::ranges::find(all.items, item, &Recommendation::item);
  REQUIRE(found != all.items.end());
  float sum = 0;
  std::size_t count = 0;
  for (const Recommendation& one : all.items) {
    if (count == 10 || one.item == item || std::ranges::find(whole.items, one.item) != whole.items.end()) continue;
    sum += one.score;
    ++count;
  }
  return {found->score, found->score - sum / static_cast<float>(count)};
}

// Weights are differences of scores and margins, to 1e-5 of the size of the scores.
void check_weights(const Recommender& recommender, const Explanation& explanation, const Typed& history, const Id& item,
                   Timestamp now) {
  const Standing whole = standing_of(recommender, history, history, item, now);
  const float tolerance = 1e-5f * std::max(1.0f, std::abs(whole.score));
  CHECK(std::abs(explanation.score - whole.score) < tolerance);
  CHECK(std::abs(explanation.margin - whole.margin) < tolerance);
  float last = std::numeric_limits<float>::infinity();
  std::set<std::size_t> events;
  for (const Contribution& one : explanation.contributions) {
    REQUIRE(one.event < history.items.size());
    CHECK(events.insert(one.event).second);
    CHECK(one.item == history.items[one.event]);
    CHECK(one.time == history.times[one.event]);
    CHECK(one.margin <= last);
    last = one.margin;
    const Standing without = standing_of(recommender, history.without({one.event}), history, item, now);
    REQUIRE(std::abs(one.weight - (whole.score - without.score)) < tolerance);
    REQUIRE(std::abs(one.margin - (whole.margin - without.margin)) < tolerance);
  }
}

std::set<std::size_t> events_of(const std::vector<Contribution>& contributions) {
  std::set<std::size_t> events;
  for (const Contribution& one : contributions) events.insert(one.event);
  return events;
}

bool among_best(const Recommender& recommender, const Typed& history, const Typed& whole, const Id& item,
                std::size_t k) {
  std::vector<Id> seen = whole.items;
  std::erase(seen, item);
  const Request request{.k = k, .now = whole.times.back(), .exclude_seen = false, .deny = seen};
  const Answer best = recommender.recommend_history(history.items, request, history.times);
  return std::ranges::find(best.items, item, &Recommendation::item) != best.items.end();
}

}  // namespace

TEST_CASE("What an event adds is the score, and the margin, less that without the event", "[serving][explanation]") {
  const auto model = GENERATE(values<test::SmallModel>(
      {{.events = 9},
       {.events = 27},
       {.events = 27, .score = ScoreKind::dot},
       {.events = 27, .timed = true},
       {.events = 27, .timed = true, .request_time = false},
       {.events = 27, .blend_weight = 0.7},
       {.events = 27, .blend_weight = 0.7, .counts = ItemKnnOptions{}},
       {.events = 27, .score = ScoreKind::dot, .blend_weight = 0.2},
       {.events = 27, .encoder = false},
       {.events = 27, .encoder = false, .counts = ItemKnnOptions{}},
       {.events = 9, .encoder = false, .counts = IalsOptions{.embedding_dim = 16, .epochs = 2}}}));
  const TrainedModel trained = make_model(model);
  const Recommender recommender = Recommender::open(trained);
  const Typed history = typed(trained, 3);
  const std::string user = test::user_name(3);
  for (const std::string item : {"i7", "i31", "i48"}) {
    const Explanation full = recommender.explain(user, item, {.full = true});
    CHECK(full.complete);
    CHECK(full.contributions.size() == history.items.size());
    CHECK(full.source == (model.encoder ? Source::model : Source::counts));
    CHECK(full.model_version == "small");
    check_weights(recommender, full, history, item, history.times.back());

    const Explanation some = recommender.explain(user, item);
    CHECK(some.contributions.size() == std::min<std::size_t>(13, history.items.size()));
    CHECK(some.complete == (history.items.size() <= 13));
    check_weights(recommender, some, history, item, history.times.back());

    const Explanation bare = recommender.explain_history(history.items, item, {.full = true}, history.times);
    REQUIRE(bare.contributions.size() == full.contributions.size());
    for (std::size_t i = 0; i < bare.contributions.size(); ++i) {
      CHECK(bare.contributions[i].event == full.contributions[i].event);
      CHECK(bare.contributions[i].weight == full.contributions[i].weight);
    }
    const Timestamp later = history.times.back() + 5'000'000;
    check_weights(recommender, recommender.explain(user, item, {.now = later, .events = 4}), history, item, later);
  }
}

TEST_CASE("What counts alone say is chosen by the share of each event", "[serving][explanation]") {
  const TrainedModel model = make_model({.events = 27, .encoder = false, .counts = ItemKnnOptions{}});
  const Recommender recommender = Recommender::open(model);
  for (const std::string item : {"i7", "i31", "i48"}) {
    const Explanation full = recommender.explain("u3", item, {.full = true});
    const Explanation some = recommender.explain("u3", item, {.events = 9});
    std::vector<float> largest, found;
    for (const Contribution& one : full.contributions) largest.push_back(std::abs(one.margin));
    for (const Contribution& one : some.contributions) found.push_back(std::abs(one.margin));
    std::ranges::sort(largest, std::greater());
    std::ranges::sort(found, std::greater());
    REQUIRE(found.size() == 9);
    // The rivals that a choice goes by are those of the whole history.
    for (std::size_t i = 0; i < 3; ++i) CHECK(found[i] == Approx(largest[i]).margin(1e-5));
  }
}

TEST_CASE("Events are tried for what a gradient says of the margin, a third for being the newest",
          "[serving][explanation]") {
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const TrainedModel model = make_model({.users = 30, .events = 20, .window = 40, .hop = 40, .score = kind});
  const Recommender recommender = Recommender::open(model);
  const CosineScorer<float> scorer(ScorerRows<float>(model.encoder->items(), kind));
  Workspace workspace;
  std::vector<float> vector(model.encoder->dim()), of_score(vector.size()), attributions(20);
  for (std::size_t u = 0; u < 30; ++u) {
    const HistoryView history = model.histories->of(u);
    const std::string user = test::user_name(u);
    const Context context{.now = history.times.back()};
    model.encoder->encode(vector, history, context, workspace);
    std::vector<float> direction(vector.size());
    const auto add = [&](const Id& item, float share) {
      scorer.gradient(of_score, vector, model.item_ids->find(item));
      for (std::size_t d = 0; d < direction.size(); ++d) direction[d] += share * of_score[d];
    };
    add("i7", 1.0f);
    const std::vector<Id> denied{"i7"};
    for (const Recommendation& rival : recommender.recommend({.user = user, .k = 10, .deny = denied}).items) {
      add(rival.item, -0.1f);
    }
    model.encoder->attributions(attributions, history, context, direction, workspace);
    std::vector<std::size_t> order(18);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, std::greater(), [&](std::size_t i) { return std::abs(attributions[i]); });
    std::set<std::size_t> expected(order.begin(), order.begin() + 4);
    expected.insert({18, 19});
    CHECK(events_of(recommender.explain(user, "i7", {.events = 6}).contributions) == expected);
  }
}

TEST_CASE("Without the counterfactual the item is not among the best, and no event of it is too much",
          "[serving][explanation]") {
  const auto options =
      GENERATE(values<test::SmallModel>({{.events = 15},
                                         {.events = 27, .blend_weight = 0.5},
                                         {.events = 15, .encoder = false, .counts = ItemKnnOptions{}}}));
  const TrainedModel model = make_model(options);
  const Recommender recommender = Recommender::open(model);
  std::size_t found = 0, several = 0;
  for (std::size_t u = 0; u < 8; ++u) {
    const Typed history = typed(model, u);
    const std::string user = test::user_name(u);
    const Answer best = recommender.recommend({.user = user, .k = 5});
    for (const Recommendation& item : best.items) {
      const Explanation explanation = recommender.explain(user, item.item, {.k = 5});
      CHECK(explanation.counterfactual.among_best);
      const std::set<std::size_t> events = events_of(explanation.counterfactual.events);
      CHECK(events.size() <= 4);
      if (events.empty()) continue;
      ++found;
      several += events.size() > 1;
      CHECK(!among_best(recommender, history.without(events), history, item.item, 5));
      for (const std::size_t event : events) {
        std::set<std::size_t> fewer = events;
        fewer.erase(event);
        CHECK(among_best(recommender, history.without(fewer), history, item.item, 5));
      }
    }
    const Answer all = recommender.recommend({.user = user, .k = 50});
    const Explanation far = recommender.explain(user, all.items.back().item, {.k = 5});
    CHECK(!far.counterfactual.among_best);
    CHECK(far.counterfactual.events.empty());
    CHECK(recommender.explain(user, best.items[0].item).counterfactual.events.empty());
  }
  INFO(found << " found, " << several << " of them with several events");
  CHECK(found > 20);
}

TEST_CASE("An item that was seen is explained as if it could be shown again", "[serving][explanation]") {
  const TrainedModel model = make_model({.events = 9});
  const Recommender recommender = Recommender::open(model);
  const Id seen = model.item_ids->id(model.histories->of(2).items.back());
  const Explanation explanation = recommender.explain("u2", seen, {.k = 50});
  CHECK(explanation.counterfactual.among_best);
  CHECK(explanation.contributions.size() == 9);
}

TEST_CASE("Each repetition of an item is an event of its own", "[serving][explanation]") {
  const TrainedModel model = make_model();
  const Recommender recommender = Recommender::open(model);
  const Typed history{{"i3", "i9", "i3", "i3"}, {1000, 2000, 3000, 4000}};
  const Explanation explanation = recommender.explain_history(history.items, "i7", {}, history.times);
  REQUIRE(explanation.contributions.size() == 4);
  check_weights(recommender, explanation, history, "i7", 4000);
  std::vector<Id> reasons = explanation.reasons(10);
  for (const Id& id : reasons) CHECK(std::ranges::count(reasons, id) == 1);
}

TEST_CASE("What nobody knows weighs nothing", "[serving][explanation]") {
  Recommender recommender = Recommender::open(make_model());
  recommender.observe({.user = "u1", .item = "new", .timestamp = 20'000'000});
  const Explanation explanation = recommender.explain("u1", "i7");
  const auto of_new = std::ranges::find(explanation.contributions, Id("new"), &Contribution::item);
  REQUIRE(of_new != explanation.contributions.end());
  CHECK(of_new->weight == 0);
  CHECK(of_new->margin == 0);
  CHECK(of_new->event == 12);
  // Outside the catalogue there is nothing to list.
  const Explanation bare = recommender.explain_history(std::vector<Id>{"i1", "never heard of", "i2"}, "i7", {});
  CHECK(bare.contributions.size() == 2);
  CHECK(bare.complete);
  for (const Contribution& one : bare.contributions) CHECK(one.event != 1);
}

TEST_CASE("An event without which another source would answer has the whole score", "[serving][explanation]") {
  const Recommender recommender = Recommender::open(make_model());
  const Explanation explanation = recommender.explain_history(std::vector<Id>{"i1"}, "i7", {});
  REQUIRE(explanation.contributions.size() == 1);
  CHECK(explanation.contributions[0].weight == explanation.score);
  CHECK(explanation.contributions[0].margin == explanation.margin);
  CHECK(explanation.source == Source::model);
}

TEST_CASE("Unknown users and items have empty explanations", "[serving][explanation]") {
  Recommender recommender = Recommender::open(make_model());
  const Explanation nobody = recommender.explain("nobody", "i7", {.k = 5});
  CHECK(nobody.contributions.empty());
  CHECK(nobody.source == Source::popularity);
  CHECK(nobody.score_kind == ScoreKind::count);
  CHECK(std::isfinite(nobody.score));
  CHECK(nobody.complete);
  CHECK(nobody.reasons().empty());

  recommender.upsert_item({.id = "listed"});
  for (const Id item : {Id("never heard of"), Id("listed"), Id(), Id(7)}) {
    const Explanation unknown = recommender.explain("u1", item, {.full = true, .k = 5});
    CHECK(std::isnan(unknown.score));
    CHECK(std::isnan(unknown.margin));
    CHECK(unknown.contributions.empty());
    CHECK(unknown.source == Source::model);
    CHECK(!unknown.counterfactual.among_best);
  }
  CHECK(recommender.explain("u1", "i7", {.events = 0}).contributions.empty());
  CHECK(recommender.explain_history({}, "i7", {}).contributions.empty());
  CHECK(recommender.explain("u1", "i7", {.k = 5, .most_removed = 0}).counterfactual.events.empty());
}

TEST_CASE("A host's engine is explained by the newest events, or all", "[serving][explanation]") {
  IdMap ids;
  for (std::size_t i = 0; i < 10; ++i) ids.insert(test::item_name(i));
  Recommender recommender =
      make_recommender(Engine(test::LastItem{}, test::Nearest{10}, test::InOrder{}), {.item_ids = std::move(ids)});
  for (Timestamp t = 0; t < 6; ++t) {
    recommender.observe({.user = "u", .item = test::item_name(static_cast<std::size_t>(t)), .timestamp = t});
  }
  const Explanation newest = recommender.explain("u", "i7", {.events = 2});
  REQUIRE(newest.contributions.size() == 2);
  CHECK(events_of(newest.contributions) == std::set<std::size_t>{4, 5});
  CHECK(newest.contributions[0].weight == 1.0f);  // i4 is farther from i7 than i5
  CHECK(newest.contributions[1].weight == 0.0f);
  const Explanation full = recommender.explain("u", "i7", {.full = true, .k = 3});
  CHECK(full.contributions.size() == 6);
  CHECK(full.counterfactual.among_best);
}

TEST_CASE("A sentence has the form for its number of titles", "[serving][explanation]") {
  const Because because;
  using Titles = std::vector<std::string_view>;
  CHECK(because(Titles{}).empty());
  CHECK(because(Titles{"Alien"}) == "Because you watched Alien");
  CHECK(because(Titles{"Alien", "{item}"}) == "Because you watched Alien and {item}");
  CHECK(because(Titles{"Alien", "Heat", "Up"}) == "Because you watched Alien, Heat and 1 more");
  CHECK(because(Titles{"Alien", "Heat", "Up", "Ran"}) == "Because you watched Alien, Heat and 2 more");
  const Because german({.one = "{{Weil}} Sie {item} sahen", .two = "Wegen {item}", .many = "{more} Gr\xC3\xBCnde"});
  CHECK(german(Titles{"Heat"}) == "{Weil} Sie Heat sahen");
  CHECK(german(Titles{"Heat", "Up"}) == "Wegen Heat");
  CHECK(german(Titles{"Heat", "Up", "Ran"}) == "3 Gr\xC3\xBCnde");
}

TEST_CASE("A template that is malformed is refused by name", "[serving][explanation]") {
  const auto refused = [](const BecauseForms& forms, const std::string& name) {
    try {
      const Because because(forms);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_argument);
      INFO(error.what());
      CHECK(std::string(error.what()).find("BecauseForms::" + name + ":") == 0);
      return true;
    }
    return false;
  };
  CHECK(refused({.one = "{item} and {item}"}, "one"));
  CHECK(refused({.one = "{item"}, "one"));
  CHECK(refused({.two = "{titel}"}, "two"));
  CHECK(refused({.two = "}"}, "two"));
  CHECK(refused({.many = "{item} {item} {item} {item}"}, "many"));
  CHECK(refused({.many = "because {"}, "many"));
  CHECK(!refused({.one = "", .two = "", .many = ""}, ""));
}
