// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include "attune/model/ranker.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/cursor.hpp"
#include "attune/serving/make_recommender.hpp"
#include "attune/serving/policy.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/host_parts.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using test::item_ids;
using test::make_model;
using test::same_items;

namespace {

using Ids = std::vector<std::string>;

constexpr DiversityMethod kMethods[] = {DiversityMethod::mmr, DiversityMethod::dpp};

RecommenderOptions shop_options() {
  return {
      .item_fields = {{"creator", FieldType::category}, {"genre", FieldType::category}, {"price", FieldType::number}}};
}

// Item i is by creator i % 5, every third one by two; items from 40 on have no genre.
Recommender open_shop(const TrainedModel& model, RecommenderOptions options = shop_options()) {
  Recommender recommender = Recommender::open(model, std::move(options));
  for (std::size_t i = 0; i < model.num_items(); ++i) {
    const std::string id = test::item_name(i);
    std::string creators = test::user_name(i % 5);
    if (i % 3 == 0) creators.append("|").append(test::user_name(i % 4));
    std::vector<FieldValue> fields{{"creator", creators}};
    if (i < 40) fields.push_back({"genre", i % 2 == 0 ? "even" : "odd"});
    recommender.upsert_item({.id = id, .fields = fields});
  }
  return recommender;
}

// Names of its creators, once each.
std::set<std::size_t> creators_of(const std::string& id) {
  const std::size_t i = std::stoul(id.substr(1));
  return i % 3 == 0 ? std::set{i % 5, i % 4} : std::set{i % 5};
}

double alike(const TrainedModel& model, const Answer& answer) {
  double sum = 0, pairs = 0;
  for (const Recommendation& a : answer.items) {
    for (const Recommendation& b : answer.items) {
      if (&a >= &b) continue;
      const auto x = model.encoder->items().row(model.item_ids->find(a.item));
      const auto y = model.encoder->items().row(model.item_ids->find(b.item));
      double xy = 0, xx = 0, yy = 0;
      for (std::size_t d = 0; d < x.size(); ++d) {
        xy += double{x[d]} * double{y[d]};
        xx += double{x[d]} * double{x[d]};
        yy += double{y[d]} * double{y[d]};
      }
      sum += xy / std::sqrt(xx * yy);
      ++pairs;
    }
  }
  return pairs == 0 ? 0 : sum / pairs;
}

}  // namespace

TEST_CASE("Without diversity an answer is the plain one, bit for bit, whatever the method",
          "[serving][recommender][UR-66]") {
  const TrainedModel model = make_model({.items = 300, .blend_weight = GENERATE(0.0, 0.5)});
  const Recommender recommender = Recommender::open(model);
  for (const std::size_t k : {0u, 1u, 10u, 300u, 1000u}) {
    const Answer plain = recommender.recommend({.user = "u1", .k = k});
    for (const float none : {0.0f, -0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN()}) {
      const Answer answer = recommender.recommend(
          {.user = "u1", .k = k, .diversity = none, .diversity_method = DiversityMethod::dpp, .diversity_pool = 7});
      CHECK(same_items(answer, plain));
      CHECK(answer.shortfall.unavailable == plain.shortfall.unavailable);
    }
    Cursor cursor;  // the whole way of a selection, and nothing to select by
    const Answer page = recommender.recommend({.user = "u1", .k = k, .cursor = &cursor});
    CHECK(same_items(page, plain));
    CHECK(page.shortfall.seen == plain.shortfall.seen);
    CHECK(page.shortfall.unavailable == plain.shortfall.unavailable);
  }
}

TEST_CASE("The dial spreads an answer over what a user likes", "[serving][recommender][UR-66]") {
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const TrainedModel model = make_model({.items = 300, .item_groups = 12, .score = kind});
  const Recommender recommender = Recommender::open(model);
  for (const DiversityMethod method : kMethods) {
    for (std::size_t u = 0; u < 8; ++u) {
      const std::string user = test::user_name(u);
      const Answer plain = recommender.recommend({.user = user, .k = 10});
      double before = alike(model, plain);
      for (const float dial : {0.2f, 0.6f, 1.0f}) {
        const Answer answer =
            recommender.recommend({.user = user, .k = 10, .diversity = dial, .diversity_method = method});
        REQUIRE(answer.items.size() == 10);
        CHECK(answer.source == Source::model);
        const Ids ids = item_ids(answer);
        CHECK(std::set(ids.begin(), ids.end()).size() == 10);
        CHECK(alike(model, answer) <= before + 0.02);
        before = alike(model, answer);
        const Answer ranked = recommender.rank(user, {answer.items[3].item});
        CHECK(ranked.items[0].score == answer.items[3].score);
        CHECK(same_items(
            answer, recommender.recommend(
                        {.user = user, .k = 10, .diversity = dial == 1.0f ? 7.0f : dial, .diversity_method = method})));
      }
      CHECK(before < 0.5 * alike(model, plain));
    }
  }
}

TEST_CASE("A cap holds in every answer, and the pool widens to the end for it", "[serving][recommender][UR-66]") {
  const TrainedModel model = make_model({.items = 300});
  const Recommender recommender = open_shop(model);
  const std::size_t most = GENERATE(1u, 2u, 40u);
  const Policy policy = recommender.compile({.caps = {{"creator", most}}});
  for (const float dial : {0.0f, 0.5f}) {
    for (const std::size_t k : {1u, 5u, 60u, 300u, 1000u}) {
      const Request request{.user = "u2", .k = k, .policy = &policy, .diversity = dial};
      const Answer answer = recommender.recommend(request);
      std::map<std::size_t, std::size_t> counts;
      for (const std::string& id : item_ids(answer)) {
        for (const std::size_t creator : creators_of(id)) ++counts[creator];
      }
      for (const auto& [creator, count] : counts) CHECK(count <= most);
      const Answer all = recommender.recommend({.user = "u2", .k = 300});
      if (answer.items.size() < k) {
        CHECK(answer.items.size() + answer.shortfall.capped == all.items.size());
        CHECK(answer.items.size() + answer.shortfall.capped + answer.shortfall.seen == 300);
      }
      if (dial > 0) continue;
      Ids expected;
      counts.clear();
      for (const std::string& id : item_ids(all)) {
        const auto creators = creators_of(id);
        if (expected.size() == k || std::ranges::any_of(creators, [&](std::size_t c) { return counts[c] == most; })) {
          continue;
        }
        for (const std::size_t creator : creators) ++counts[creator];
        expected.push_back(id);
      }
      CHECK(item_ids(answer) == expected);
    }
  }
}

TEST_CASE("Items without a value are not capped, and values that change count at once", "[serving][recommender]") {
  const TrainedModel model = make_model();
  Recommender recommender = open_shop(model);
  const Policy policy = recommender.compile({.caps = {{"genre", 1}}});
  const Request request{.user = "nobody", .k = 50, .policy = &policy};
  CHECK(recommender.recommend(request).items.size() == 12);  // ten without a genre, one even, one odd
  CHECK(recommender.recommend(request).shortfall.capped == 38);
  for (std::size_t i = 0; i < 40; ++i) {
    const std::string id = test::item_name(i), genre = test::user_name(i);
    recommender.upsert_item({.id = id, .fields = {{"genre", genre}}});
  }
  CHECK(recommender.recommend(request).items.size() == 50);
}

TEST_CASE("Caps that cannot be are refused when they are compiled", "[serving][recommender]") {
  const Recommender recommender = open_shop(make_model());
  const auto compile = [&](Cap cap) { return recommender.compile({.caps = {{"genre", 1}, cap}}); };
  CHECK_THROWS_WITH(compile({"author", 2}),
                    Catch::Contains("caps[1].field") && Catch::Contains("creator") && Catch::Contains("\"author\""));
  CHECK_THROWS_WITH(compile({"price", 2}), Catch::Contains("expected a category") && Catch::Contains("number price"));
  CHECK_THROWS_WITH(compile({"", 2}), Catch::Contains("found \"\""));
  CHECK_THROWS_WITH(compile({"creator", 0}), Catch::Contains("caps[1].most: expected at least 1, found 0"));
}

TEST_CASE("A pinned item stands at its place whatever its score and the rules say", "[serving][recommender]") {
  const TrainedModel model = make_model();
  Recommender recommender = open_shop(model);
  recommender.observe({.user = "fan", .item = "i7"});
  recommender.observe({.user = "fan", .item = "i8"});
  const Policy policy = recommender.compile({.filter = "genre = 'odd'"});
  const Answer plain = recommender.recommend({.user = "fan", .k = 10, .policy = &policy});
  for (std::size_t position = 0; position < 10; ++position) {
    for (const char* item : {"i7", "i8", "i44"}) {  // seen, seen and filtered, filtered
      const std::vector<PinnedItem> pins{{item, position}, {item, 3}};
      const Answer answer = recommender.recommend({.user = "fan", .k = 10, .policy = &policy, .pinned = pins});
      Ids expected = item_ids(plain);
      expected.insert(expected.begin() + static_cast<std::ptrdiff_t>(position), item);
      expected.resize(10);
      CHECK(item_ids(answer) == expected);
      for (std::size_t i = 0; i < 10; ++i) CHECK(answer.items[i].pinned == (i == position));
      CHECK(answer.items[position].score == recommender.rank("fan", {item}).items[0].score);
      CHECK(answer.shortfall.filtered == plain.shortfall.filtered);
    }
  }
  const std::vector<PinnedItem> best{{plain.items[0].item, 4}};
  CHECK(to_string(recommender.recommend({.user = "fan", .k = 5, .policy = &policy, .pinned = best}).items[4].item) ==
        to_string(plain.items[0].item));
}

TEST_CASE("A boost is in the score of a pinned item, found or not", "[serving][recommender]") {
  const Recommender recommender = open_shop(make_model());
  const Policy policy = recommender.compile({.filter = "genre = 'odd'", .boosts = {{"has(creator)", 0.5f}}});
  const std::vector<PinnedItem> pins{{"i4", 0}, {"i5", 1}};
  const Answer answer = recommender.recommend({.user = "nobody", .k = 50, .policy = &policy, .pinned = pins});
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(answer.items[i].pinned);
    CHECK(answer.items[i].score == recommender.rank("nobody", {pins[i].item}).items[0].score + 0.5f);
  }
}

TEST_CASE("What is removed, outside its time, denied or unknown cannot be pinned, what no model knows can",
          "[serving][recommender]") {
  TrainedModel model = make_model();
  model.calibration = {{-1.0f, 1.0f}, {0.0f, 0.5f}};
  Recommender recommender = open_shop(model);
  recommender.remove_item("i1");
  recommender.upsert_item({.id = "i2", .available_from = 2000});
  recommender.upsert_item({.id = "i3", .available_until = 1000});
  recommender.upsert_item({.id = "coupon"});
  const std::vector<Id> deny{"i4"};
  const std::vector<PinnedItem> pins{{"i1", 0}, {"i2", 0}, {"i3", 0},
                                     {"i4", 0}, {"xy", 0}, {"coupon", 99},
                                     {"", 0},   {5, 0},    {"i5", std::size_t{1} << 63}};
  const Answer answer = recommender.recommend({.user = "u1", .k = 10, .now = 1500, .deny = deny, .pinned = pins});
  CHECK(answer.items.size() == 10);
  CHECK(std::ranges::none_of(answer.items, &Recommendation::pinned));
  const Answer all = recommender.recommend({.user = "u1", .k = 100, .now = 1500, .deny = deny, .pinned = pins});
  const Ids ids = item_ids(all);
  for (const char* item : {"i1", "i2", "i3", "i4"}) CHECK(std::ranges::count(ids, item) == 0);
  CHECK(ids.back() == "coupon");  // behind the last of fewer than 99
  CHECK(all.items.back().pinned);
  CHECK(all.items.back().score == 0.0f);
  CHECK(std::isnan(all.items.back().probability));
  CHECK_FALSE(std::isnan(all.items.front().probability));
  CHECK(std::ranges::count(ids, "i5") == 0);  // it waits for its place
  CHECK(recommender.recommend({.user = "u1", .k = 10, .now = 2500, .pinned = pins}).items[0].pinned);
}

TEST_CASE("Pages are one large answer while nothing changes", "[serving][recommender][UR-19]") {
  const TrainedModel model = make_model({.items = 300, .item_groups = 20});
  const bool with_ranker = GENERATE(false, true);
  RecommenderOptions options = shop_options();
  if (with_ranker) {
    options.ranker =
        make_ranker([](const RankingQuery&, std::span<const Candidate> candidates, std::span<float> scores) {
          for (std::size_t i = 0; i < scores.size(); ++i)
            scores[i] = static_cast<float>(candidates[i].handle * 37 % 101);
        });
    options.ranker_candidates = 30;
  }
  const Recommender recommender = open_shop(model, options);
  const Policy capped = recommender.compile({.caps = {{"creator", 9}}});
  const std::vector<PinnedItem> pins{{"i9", 0}, {"i17", 9}, {"i5", 9}, {"i200", 25}};
  for (const Policy* policy : {static_cast<const Policy*>(nullptr), &capped}) {
    for (const float dial : {0.0f, 0.4f}) {
      for (const DiversityMethod method : kMethods) {
        for (const std::string user : {"u3", "nobody"}) {
          Request request{
              .user = user, .k = 45, .policy = policy, .diversity = dial, .diversity_method = method, .pinned = pins};
          const Answer whole = recommender.recommend(request);
          for (const std::size_t size : {1u, 10u, 32u}) {
            std::string token;
            Ids pages;
            for (std::size_t first = 0; first < 45; first += size) {
              Cursor cursor = Cursor::from_token(token);
              request.k = std::min<std::size_t>(size, 45 - first);
              request.cursor = &cursor;
              for (const std::string& id : item_ids(recommender.recommend(request))) pages.push_back(id);
              token = cursor.token();
            }
            CHECK(pages == item_ids(whole));
          }
        }
      }
    }
  }
}

TEST_CASE("Pages never repeat an item while feedback and the catalogue change", "[serving][recommender][UR-19]") {
  const TrainedModel model = make_model({.items = 300});
  Recommender recommender = open_shop(model);
  const Policy policy = recommender.compile({.caps = {{"creator", 30}}});
  const std::vector<PinnedItem> pins{{"i9", 3}, {"i250", 25}, {"i3", 26}};
  std::mt19937_64 random(1);
  for (const float dial : {0.0f, 0.5f}) {
    Cursor cursor;
    std::set<std::string> shown;
    std::size_t total = 0;
    for (std::size_t page = 0; page < 40; ++page) {
      const bool keep = page % 2 == 0;
      const Answer answer = recommender.recommend({.user = "u1",
                                                   .k = 7,
                                                   .exclude_seen = keep,
                                                   .policy = page % 3 == 0 ? &policy : nullptr,
                                                   .diversity = dial,
                                                   .pinned = page == 5 ? std::span<const PinnedItem>{} : pins,
                                                   .cursor = &cursor});
      for (const std::string& id : item_ids(answer)) {
        shown.insert(id);
        ++total;
      }
      CHECK(shown.size() == total);
      CHECK(cursor.position() == 7 * (page + 1));
      CHECK(cursor.num_shown() == total);
      const std::string clicked = test::item_name(random() % 300), gone = test::item_name(random() % 300);
      recommender.observe({.user = "u1", .item = clicked});
      if (page % 4 == 0) recommender.remove_item(gone);
      if (page % 4 == 2) recommender.upsert_item({.id = gone});
      if (page == 20) recommender.reload(make_model({.seed = 2, .items = 280}));
    }
    CHECK(total > 150);
  }
}

TEST_CASE("A cursor of another catalogue, or one that ended, gives a defined page", "[serving][recommender][UR-19]") {
  const Recommender recommender = Recommender::open(make_model());
  Cursor foreign;
  foreign.advance(10);
  for (const Id& id : {Id(5), Id("of nobody"), Id("i3"), Id("i3")}) foreign.add(id);
  const Answer page = recommender.recommend({.user = "nobody", .k = 100, .cursor = &foreign});
  CHECK(page.items.size() == 49);
  Cursor ended;
  while (!ended.ended()) ended.add("x");
  CHECK(recommender.recommend({.user = "u1", .cursor = &ended}).items.empty());
  CHECK(ended.ended());
  CHECK(ended.num_shown() == 0);
}

TEST_CASE("Rules of a list have answers where nothing is eligible, asked for, or there", "[serving][recommender]") {
  const TrainedModel model = make_model();
  Recommender recommender = open_shop(model);
  const Policy capped = recommender.compile({.filter = "genre = 'none of it'", .caps = {{"creator", 1}}});
  for (const float dial : {0.0f, 0.5f, 1.0f}) {
    for (const DiversityMethod method : kMethods) {
      const Answer none =
          recommender.recommend({.user = "u1", .policy = &capped, .diversity = dial, .diversity_method = method});
      CHECK(none.items.empty());
      CHECK(none.shortfall.capped == 0);
      CHECK(none.shortfall.filtered + none.shortfall.seen == 50);
      const std::vector<PinnedItem> pins{{"i3", 5}};
      const Answer pinned = recommender.recommend(
          {.user = "u1", .policy = &capped, .diversity = dial, .diversity_method = method, .pinned = pins});
      CHECK(item_ids(pinned) == Ids{"i3"});
      CHECK(recommender.recommend({.user = "u1", .k = 0, .diversity = dial, .pinned = pins}).items.empty());
      const Answer all = recommender.recommend({.user = "nobody",
                                                .k = std::numeric_limits<std::size_t>::max(),
                                                .diversity = dial,
                                                .diversity_method = method,
                                                .diversity_pool = 0});
      CHECK(all.items.size() == 50);
    }
  }
  Recommender empty =
      make_recommender(Engine(test::LastItem{}, test::Nearest{0}, test::InOrder{}), EngineNames{.item_ids = IdMap()});
  Cursor cursor;
  CHECK(empty.recommend({.user = "u", .diversity = 0.5f, .cursor = &cursor}).items.empty());
  empty.upsert_item({.id = "coupon"});
  const std::vector<PinnedItem> pins{{"coupon", 0}};
  CHECK(empty.recommend({.user = "u", .pinned = pins, .cursor = &cursor}).items.empty());  // it was for the first page
  CHECK(item_ids(empty.recommend({.user = "u", .diversity = 0.5f, .pinned = pins})) == Ids{"coupon"});
}

TEST_CASE("A little diversity leaves the order of a ranker, and all that it ordered is in the pool",
          "[serving][recommender]") {
  const TrainedModel model = make_model({.items = 300});
  std::size_t asked = 0;
  const auto ranker =
      make_ranker([&](const RankingQuery&, std::span<const Candidate> candidates, std::span<float> scores) {
        asked = candidates.size();
        for (std::size_t i = 0; i < scores.size(); ++i)
          scores[i] = static_cast<float>(i);  // the engine's last comes first
      });
  const Recommender recommender = Recommender::open(model, {.ranker = ranker, .ranker_candidates = 150});
  const Answer plain = recommender.recommend({.user = "u1", .k = 10});
  const Answer diverse = recommender.recommend({.user = "u1", .k = 10, .diversity = 1e-5f});
  CHECK(same_items(diverse, plain));
  CHECK(diverse.reranked == 150);
  CHECK(asked == 150);
  const auto spread = [&](std::size_t pool) {
    return recommender.recommend({.user = "u1", .k = 10, .diversity = 0.5f, .diversity_pool = pool});
  };
  CHECK(same_items(spread(1), spread(150)));
  CHECK_FALSE(same_items(spread(1), spread(290)));
}

TEST_CASE("A list under a policy of another recommender holds nothing but its pins", "[serving][recommender]") {
  const TrainedModel model = make_model();
  const Recommender recommender = Recommender::open(model), shop = open_shop(model);
  const Policy foreign = shop.compile({.caps = {{"genre", 1}, {"creator", 1}}});
  const std::vector<PinnedItem> pins{{"i3", 1}};
  const Answer answer = recommender.recommend({.user = "u1", .policy = &foreign, .diversity = 0.5f, .pinned = pins});
  CHECK(item_ids(answer) == Ids{"i3"});
  CHECK(answer.shortfall.filtered + answer.shortfall.seen == 50);
  CHECK(answer.shortfall.capped == 0);
  const Policy none;
  CHECK(same_items(recommender.recommend({.user = "u1", .policy = &none}), recommender.recommend({.user = "u1"})));
}

TEST_CASE("A scorer that compares no items leaves lists as they are ranked", "[serving][recommender]") {
  EngineNames names{.item_ids = IdMap(), .version = "mine"};
  for (const char* id : {"a", "b", "c", "d", "e"}) names.item_ids.insert(id);
  Recommender recommender = make_recommender(Engine(test::LastItem{}, test::Nearest{5}, test::InOrder{}), names);
  recommender.observe({.user = "u", .item = "e"});
  for (const float dial : {0.3f, 1.0f}) {
    CHECK(item_ids(recommender.recommend({.user = "u", .k = 3, .diversity = dial})) == Ids{"d", "c", "b"});
  }
}

TEST_CASE("A score that is too low keeps an item out of a list, and is counted", "[serving][recommender]") {
  const TrainedModel model = make_model();
  const Recommender recommender = Recommender::open(model);
  const Answer plain = recommender.recommend({.user = "u1", .k = 50});
  const float least = plain.items[9].score;
  const Answer answer = recommender.recommend({.user = "u1", .k = 20, .min_score = least, .diversity = 0.5f});
  CHECK(answer.items.size() == 10);
  CHECK(answer.shortfall.below_min_score == plain.items.size() - 10);
  CHECK(
      recommender.recommend({.user = "u1", .k = 5, .min_score = least, .diversity = 0.5f}).shortfall.below_min_score ==
      0);
}

TEST_CASE("Requests with rules of a list are answered in batches and for bare histories alike",
          "[serving][recommender]") {
  const std::size_t items = GENERATE(50u, 12'000u);  // from 10,000 on requests share a scan
  const TrainedModel model = make_model({.items = items});
  Recommender recommender = open_shop(model, [] {
    RecommenderOptions options = shop_options();
    options.scorer_storage = ScorerStorage::int8;
    return options;
  }());
  const Policy policy = recommender.compile({.caps = {{"creator", 2}}});
  const std::vector<PinnedItem> pins{{"i11", 2}};
  std::vector<Request> requests;
  for (const char* user : {"u1", "u2", "nobody", "u3"}) {
    requests.push_back({.user = user, .k = 8});
    requests.push_back({.user = user, .k = 8, .diversity = 0.4f});
    requests.push_back({.user = user, .k = 8, .policy = &policy, .pinned = pins});
  }
  const std::vector<Answer> answers = recommender.recommend_batch(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    CHECK(same_items(answers[i], recommender.recommend(requests[i])));
  }
  std::vector<Id> history;
  const HistoryView of = model.histories->of(1);
  for (const ItemHandle item : of.items) history.push_back(model.item_ids->id(item));
  CHECK(same_items(recommender.recommend_history(history, requests[1], of.times), answers[1]));
  CHECK(same_items(recommender.recommend_history(history, requests[2], of.times), answers[2]));
}
