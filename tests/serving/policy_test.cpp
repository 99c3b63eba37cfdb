// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/policy.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "attune/model/ranker.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/make_recommender.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/host_parts.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using test::item_ids;
using test::item_name;
using test::make_model;
using test::same_items;

namespace {

const std::vector<ItemField> kFields{{"genre", FieldType::category}, {"price", FieldType::number}};
constexpr float kNoMinimum = -std::numeric_limits<float>::infinity();

// What a host knows of an item, and what the rules below say of it, written down independently.
struct Facts {
  std::set<std::string> genres;
  std::optional<int> price;
  bool removed = false;
  Timestamp from = kNoTime;
  std::optional<Timestamp> until;

  bool available(Timestamp at) const { return !removed && from <= at && (!until || at < *until); }
};

bool drama_or_cheap(const Facts& item) { return item.genres.contains("Drama") || (item.price && *item.price < 3); }
float boost(const Facts& item) {
  float sum = 0;
  if (item.genres.contains("New")) sum += 0.25f;
  if (item.price && *item.price >= 7) sum += -0.5f;
  return sum;
}
const PolicyRules kFilter{.filter = "genre = 'Drama' or price < 3"};
const PolicyRules kBoosts{.boosts = {{"genre = \"New\"", 0.25f}, {"price >= 7", -0.5f}}};
const PolicyRules kBoth{.filter = kFilter.filter, .boosts = kBoosts.boosts};

struct Shop {
  Shop(const TrainedModel& model, std::size_t num_items, RecommenderOptions options, std::uint64_t seed)
      : plain(Recommender::open(model, {.scorer_storage = ScorerStorage::float32})),
        recommender([&] {
          options.item_fields = kFields;
          return Recommender::open(model, options);
        }()),
        facts(num_items),
        random(seed) {
    for (std::size_t i = 0; i < num_items; ++i) {
      ids.push_back(item_name(i));
      if (random() % 5 != 0) describe(i);
    }
  }

  void describe(std::size_t i) {
    Facts& item = facts[i];
    item = {};
    for (const char* genre : {"Drama", "New", "War"}) {
      if (random() % 3 == 0) item.genres.insert(genre);
    }
    if (random() % 4 != 0) item.price = static_cast<int>(random() % 10);
    if (random() % 3 == 0) item.from = static_cast<Timestamp>(random() % 20) * 1'000'000;
    if (random() % 3 == 0) item.until = static_cast<Timestamp>(random() % 20) * 1'000'000;
    item.removed = random() % 10 == 0;
    std::string genres;
    for (const std::string& genre : item.genres) genres += '|' + genre;
    recommender.upsert_item(
        {.id = ids[i],
         .fields = {{"genre", genres}, {"price", item.price ? *item.price : std::numeric_limits<double>::quiet_NaN()}},
         .available_from = item.from,
         .available_until = item.until.value_or(kNoTime)});
    if (item.removed) CHECK(recommender.remove_item(ids[i]));
  }

  Recommender plain;  // without rules
  Recommender recommender;
  std::vector<std::string> ids;
  std::vector<Facts> facts;
  std::mt19937_64 random;
};

// A request, and what its answer must be.
struct Case {
  Request request;
  const PolicyRules* rules = nullptr;
  std::vector<Id> allowed, denied;
};

struct Expected {
  std::vector<ScoredHandle> items;
  Shortfall shortfall;
};

// `seen` are the items of the history that are left out; `base` is what every item scores.
Expected expected_of(const Shop& shop, const Case& one, const std::set<std::string>& seen, Timestamp at,
                     const Answer& base) {
  std::map<std::string, float> scores;
  for (const Recommendation& r : base.items) scores[to_string(r.item)] = r.score;
  Expected expected;
  expected.shortfall.seen = seen.size();
  for (std::size_t i = 0; i < shop.facts.size(); ++i) {
    const Facts& facts = shop.facts[i];
    const std::string& id = shop.ids[i];
    const auto names = [&](const std::vector<Id>& list) { return std::ranges::find(list, Id(id)) != list.end(); };
    const bool filtered = (one.rules && !one.rules->filter.empty() && !drama_or_cheap(facts)) ||
                          (one.request.allow && !names(one.allowed)) || names(one.denied);
    if (seen.contains(id)) continue;
    if (!facts.available(at) || !scores.contains(id)) {
      ++expected.shortfall.unavailable;
    } else if (filtered) {
      ++expected.shortfall.filtered;
    } else {
      const float added = one.rules && !one.rules->boosts.empty() ? boost(facts) : 0.0f;
      const ScoredHandle item{static_cast<ItemHandle>(i), added == 0 ? scores[id] : scores[id] + added};
      item.score < one.request.min_score ? ++expected.shortfall.below_min_score : (expected.items.push_back(item), 0);
    }
  }
  std::ranges::sort(expected.items, ranks_before);
  if (expected.items.size() >= one.request.k) {
    expected.items.resize(one.request.k);
    expected.shortfall.below_min_score = 0;
  }
  return expected;
}

void check_answer(const Answer& answer, const Expected& expected, const Shop& shop, bool exact) {
  REQUIRE(answer.items.size() == expected.items.size());
  for (std::size_t rank = 0; rank < expected.items.size(); ++rank) {
    const ScoredHandle& item = expected.items[rank];
    if (exact) {
      REQUIRE(answer.items[rank].item == Id(shop.ids[item.item]));
      REQUIRE(answer.items[rank].score == item.score);
    } else {
      REQUIRE(std::abs(answer.items[rank].score - item.score) < 1e-4);
    }
  }
  CHECK(answer.shortfall.seen == expected.shortfall.seen);
  CHECK(answer.shortfall.unavailable == expected.shortfall.unavailable);
  CHECK(answer.shortfall.filtered == expected.shortfall.filtered);
  if (exact) CHECK(answer.shortfall.below_min_score == expected.shortfall.below_min_score);
}

Case random_case(Shop& shop, const std::map<const PolicyRules*, Policy>& policies) {
  std::mt19937_64& random = shop.random;
  const auto pick = [&](auto... values) {
    const std::common_type_t<decltype(values)...> all[] = {values...};
    return all[random() % sizeof...(values)];
  };
  Case one;
  const std::size_t n = shop.ids.size();
  one.request.k = pick(std::size_t{0}, std::size_t{1}, std::size_t{10}, n, n + 1, 10 * n);
  one.request.now = pick(kNoTime, Timestamp{8'000'000}, Timestamp{9'000'000}, Timestamp{12'500'000});
  one.request.exclude_seen = random() % 4 != 0;
  one.request.cool_down = pick(0, 0, 1, 3'500'000, 1'000'000'000);
  one.rules = pick(static_cast<const PolicyRules*>(nullptr), &kFilter, &kBoosts, &kBoth);
  if (one.rules) one.request.policy = &policies.at(one.rules);
  one.request.min_score = pick(kNoMinimum, kNoMinimum, 0.1f, 100.0f);
  const std::size_t keep = pick(std::size_t{2}, std::size_t{100});
  for (const std::string& id : shop.ids) {
    if (random() % keep == 0) one.allowed.push_back(id);
    if (random() % keep == 0) one.denied.push_back(id);
  }
  if (random() % 10 == 0) one.allowed.clear();
  one.allowed.push_back("never heard of");
  one.denied.push_back("never heard of");
  if (random() % 2 == 0) one.denied.clear();
  if (random() % 2 == 0) one.request.allow.emplace(one.allowed);
  one.request.deny = one.denied;
  return one;
}

// A user's items that a request leaves out as seen.
std::set<std::string> seen_by(const TrainedModel& model, std::size_t user, const Request& request, Timestamp at) {
  std::set<std::string> seen;
  if (!request.exclude_seen || user >= model.histories->num_users()) return seen;
  const HistoryView history = model.histories->of(user);
  for (std::size_t i = 0; i < history.size(); ++i) {
    const bool recent = request.cool_down == 0 || history.times[i] >= at || at - history.times[i] < request.cool_down;
    if (recent) seen.insert(item_name(history.items[i]));
  }
  return seen;
}

}  // namespace

TEST_CASE("Answers under every mixture of rules are those of brute force, in every storage (UR-13, UR-14, UR-15)",
          "[serving][policy][UR-13][UR-14][UR-15]") {
  const std::size_t items = 700;
  const double blend = GENERATE(0.0, 0.5);
  const auto score = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const TrainedModel model = make_model({.items = items, .item_groups = 40, .score = score, .blend_weight = blend});
  RecommenderOptions options;
  SECTION("float32") { options.scorer_storage = ScorerStorage::float32; }
  SECTION("int8") { options.scorer_storage = ScorerStorage::int8; }
  SECTION("int4") { options.scorer_storage = ScorerStorage::int4; }
  SECTION("int4 in lists") {
    options.scorer_storage = ScorerStorage::int4;
    options.search = SearchKind::exact;
  }
  Shop shop(model, items, options, 5);
  std::map<const PolicyRules*, Policy> policies;
  for (const PolicyRules* rules : {&kFilter, &kBoosts, &kBoth}) policies[rules] = shop.recommender.compile(*rules);
  for (int round = 0; round < 150; ++round) {
    Case one = random_case(shop, policies);
    const std::size_t user = shop.random() % 9;  // the last one is nobody
    const std::string name = test::user_name(user);
    one.request.user = name;
    const Timestamp at = one.request.now != kNoTime ? one.request.now : user < 8 ? Timestamp{12'000'000} : kNoTime;
    const Answer base = shop.plain.recommend({.user = name, .k = items, .now = one.request.now, .exclude_seen = false});
    const Answer answer = shop.recommender.recommend(one.request);
    check_answer(answer, expected_of(shop, one, seen_by(model, user, one.request, at), at, base), shop,
                 blend == 0.0 || user == 8);
    CHECK(answer.source == base.source);
    for (const Recommendation& r : answer.items) {
      if (one.rules && !one.rules->boosts.empty()) break;
      REQUIRE(shop.plain.rank(name, {r.item}, one.request.now).items[0].score == r.score);
      REQUIRE(shop.recommender.rank(name, {r.item}, one.request.now).items[0].score == r.score);
    }
    shop.describe(shop.random() % items);
  }
}

TEST_CASE("A batch under rules gives the answers of single requests", "[serving][policy]") {
  const std::size_t items = 10'000;  // so many share a scan
  const TrainedModel model = make_model({.items = items, .dim = 8});
  Shop shop(model, items, {.scorer_storage = ScorerStorage::int8}, 6);
  std::map<const PolicyRules*, Policy> policies;
  for (const PolicyRules* rules : {&kFilter, &kBoosts, &kBoth}) policies[rules] = shop.recommender.compile(*rules);
  std::vector<Case> cases;
  std::vector<std::string> names;
  for (std::size_t u = 0; u < 9; ++u) names.push_back(test::user_name(u));
  for (int i = 0; i < 60; ++i) {
    cases.push_back(random_case(shop, policies));
    Request& request = cases.back().request;
    request.user = names[shop.random() % names.size()];
    request.k = std::min<std::size_t>(request.k, 20);
    if (i % 3 == 0) continue;
    request.policy = nullptr;
    request.allow.reset();
    request.deny = {};
  }
  std::vector<Request> requests;
  for (const Case& one : cases) {
    requests.push_back(one.request);
    requests.back().deny = one.request.deny.empty() ? std::span<const Id>{} : std::span<const Id>(one.denied);
    if (one.request.allow) requests.back().allow.emplace(one.allowed);
  }
  const std::vector<Answer> answers = shop.recommender.recommend_batch(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const Answer single = shop.recommender.recommend(requests[i]);
    CHECK(same_items(answers[i], single));
    CHECK(answers[i].shortfall.seen == single.shortfall.seen);
    CHECK(answers[i].shortfall.filtered == single.shortfall.filtered);
    CHECK(answers[i].shortfall.unavailable == single.shortfall.unavailable);
    CHECK(answers[i].shortfall.below_min_score == single.shortfall.below_min_score);
  }
}

TEST_CASE("An empty answer says why (UR-22)", "[serving][policy][UR-22]") {
  Recommender recommender = Recommender::open(make_model({.items = 50}), {.item_fields = kFields});
  const Policy none = recommender.compile({.filter = "genre = 'War'"});
  const Answer filtered = recommender.recommend({.user = "u1", .policy = &none});
  CHECK(filtered.items.empty());
  CHECK(filtered.shortfall.seen + filtered.shortfall.filtered == 50);
  CHECK(filtered.shortfall.unavailable == 0);
  const Answer allowed = recommender.recommend({.user = "u1", .exclude_seen = false, .allow = std::span<const Id>{}});
  CHECK(allowed.items.empty());
  CHECK(allowed.shortfall.filtered == 50);
  const Answer below = recommender.recommend({.user = "u1", .exclude_seen = false, .min_score = 2.0f});
  CHECK(below.items.empty());
  CHECK(below.shortfall.below_min_score == 50);
  const std::vector<Id> nobody{"none"};  // a deny list that names nothing known leaves nothing out
  CHECK(same_items(recommender.recommend({.user = "u1", .deny = nobody}), recommender.recommend({.user = "u1"})));
  for (std::size_t i = 0; i < 50; ++i) recommender.remove_item(item_name(i));
  const Answer removed = recommender.recommend({.user = "u1", .exclude_seen = false, .policy = &none});
  CHECK(removed.items.empty());
  CHECK(removed.shortfall.unavailable == 50);
  CHECK(removed.shortfall.filtered == 0);
}

TEST_CASE("Whoever has seen or may not see what is nearest gets what is next (UR-23)", "[serving][policy][UR-23]") {
  const std::size_t items = 6'000;
  const TrainedModel model = make_model({.items = items, .item_groups = 50});
  const auto storage = GENERATE(ScorerStorage::float32, ScorerStorage::int8, ScorerStorage::int4);
  const auto search = GENERATE(SearchKind::scan, SearchKind::exact, SearchKind::approximate);
  const Recommender recommender = Recommender::open(model, {.scorer_storage = storage, .search = search});
  const Answer all = recommender.recommend({.user = "u1", .k = items, .exclude_seen = false});
  REQUIRE(all.items.size() == items);
  std::vector<Id> nearest;
  for (const Recommendation& r : all.items) nearest.push_back(r.item);
  const std::span<const Id> best = std::span(nearest).first(5'000);
  const Answer denied = recommender.recommend({.user = "u1", .k = 20, .exclude_seen = false, .deny = best});
  REQUIRE(denied.items.size() == 20);
  if (search != SearchKind::approximate) {
    for (std::size_t i = 0; i < 20; ++i) CHECK(denied.items[i].item == nearest[5'000 + i]);
  }
  const Answer unseen = recommender.recommend_history(best, {.k = 2'000});
  CHECK(unseen.items.size() == 1'000);
  CHECK(unseen.shortfall.seen == 5'000);
  const std::span<const Id> last = std::span(nearest).subspan(items - 6);  // 99.9 % are denied
  CHECK(recommender.recommend({.user = "u1", .k = 20, .exclude_seen = false, .allow = last}).items.size() == 6);
}

TEST_CASE("What was seen is left out for as long as a request says (UR-17)", "[serving][policy][UR-17]") {
  Recommender recommender = Recommender::open(make_model({.items = 50, .users = 0}));
  recommender.observe({.user = "a", .item = "i1", .timestamp = 1'000});
  recommender.observe({.user = "a", .item = "i2", .timestamp = 5'000});
  recommender.observe({.user = "a", .item = "i1", .timestamp = 6'000});
  recommender.observe({.user = "a", .item = "i3", .timestamp = 9'000});
  const auto seen = [&](std::int64_t cool_down, Timestamp now) {
    const Request request{.user = "a", .k = 50, .now = now, .cool_down = cool_down};
    const Answer answer = recommender.recommend(request);
    std::string left_out;
    for (const char* id : {"i1", "i2", "i3", "i4"}) {
      if (!std::ranges::count(item_ids(answer), id)) left_out += id[1];
    }
    CHECK(answer.shortfall.seen == left_out.size());
    const Answer bare = recommender.recommend_history(std::vector<Id>{"i1", "i2", "i1", "i3"}, request,
                                                      std::vector<Timestamp>{1'000, 5'000, 6'000, 9'000});
    CHECK(same_items(bare, answer));
    return left_out;
  };
  CHECK(seen(0, kNoTime) == "123");
  CHECK(seen(1, kNoTime) == "3");
  CHECK(seen(3'000, 9'000) == "3");  // i1 three seconds ago: no longer
  CHECK(seen(3'001, 9'000) == "13");
  CHECK(seen(4'001, 9'000) == "123");
  CHECK(seen(1, 20'000) == "");
  CHECK(seen(1, 5'500) == "13");  // what is later than the request counts as just now
  CHECK(seen(std::numeric_limits<std::int64_t>::max(), std::numeric_limits<Timestamp>::max()) == "123");
  CHECK(seen(-5, 20'000) == "123");  // none at all
  const Answer timeless = recommender.recommend_history({"i1", "i2"}, {.k = 50, .now = 9'000, .cool_down = 1});
  CHECK(timeless.shortfall.seen == 2);  // events without times count as recent
}

TEST_CASE("Boosts move items of every source, and scores say so", "[serving][policy]") {
  Recommender recommender = Recommender::open(make_model({.items = 50}), {.item_fields = kFields});
  recommender.upsert_item({.id = "i7", .fields = {{"genre", "New"}}});
  const Policy up = recommender.compile({.boosts = {{"genre = 'New'", 10.0f}}});
  const Policy down = recommender.compile({.boosts = {{"not has(genre)", 10.0f}}});
  for (const char* user : {"u1", "nobody"}) {
    const Request plain{.user = user, .k = 50, .exclude_seen = false};
    Request boosted = plain;
    boosted.policy = &up;
    const Answer before = recommender.recommend(plain), after = recommender.recommend(boosted);
    CHECK(after.items.front().item == Id("i7"));
    const auto of = [](const Answer& answer) {
      return *std::ranges::find(answer.items, Id("i7"), &Recommendation::item);
    };
    CHECK(of(after).score == of(before).score + 10.0f);
    boosted.policy = &down;
    CHECK(recommender.recommend(boosted).items.back().item == Id("i7"));
  }
}

TEST_CASE("Boosts reach a host's cold start that takes no terms", "[serving][policy]") {
  IdMap ids;
  for (std::size_t i = 0; i < 70; ++i) ids.insert(item_name(i));
  Recommender recommender = make_recommender(Engine(test::LastItem{}, test::Nearest{70}, test::InOrder{}),
                                             {.item_ids = ids}, {.item_fields = kFields});
  recommender.upsert_item({.id = "i65", .fields = {{"genre", "New"}}});
  const Policy policy = recommender.compile({.boosts = {{"genre = 'New'", 1.0f}}});
  const Answer answer = recommender.recommend({.user = "nobody", .k = 3, .policy = &policy});
  CHECK(answer.source == Source::content);
  CHECK(item_ids(answer) == std::vector<std::string>{"i65", "i0", "i1"});
  CHECK(answer.items[0].score == 1.0f);
}

TEST_CASE("A probability is of the score without boosts", "[serving][policy]") {
  TrainedModel model = make_model({.items = 50});
  model.calibration = {{-1.0f, 1.0f}, {0.0f, 1.0f}};
  Recommender recommender = Recommender::open(model, {.item_fields = kFields});
  const Policy policy = recommender.compile({.boosts = {{"not has(genre)", 0.5f}}});
  const Answer plain = recommender.recommend({.user = "u1"});
  const Answer boosted = recommender.recommend({.user = "u1", .policy = &policy});
  REQUIRE(item_ids(plain) == item_ids(boosted));
  for (std::size_t i = 0; i < plain.items.size(); ++i) {
    CHECK(boosted.items[i].probability == Approx(plain.items[i].probability));
    CHECK(boosted.items[i].score > plain.items[i].score);
  }
}

TEST_CASE("Features of a request reach the host's ranker, alone and in a batch", "[serving][policy]") {
  const TrainedModel model = make_model({.items = GENERATE(50u, 10'000u), .dim = 8});
  const auto by_feature = [](const RankingQuery& query, std::span<const Candidate> candidates,
                             std::span<float> scores) {
    const float sign = query.context.features.empty() ? 1.0f : query.context.features[0];
    for (std::size_t i = 0; i < candidates.size(); ++i) scores[i] = sign * candidates[i].score;
  };
  const Recommender recommender =
      Recommender::open(model, {.ranker = make_ranker(by_feature), .scorer_storage = ScorerStorage::int8});
  const std::vector<float> reversed{-1.0f};
  const Request plain{.user = "u1", .k = 100}, features{.user = "u1", .k = 100, .features = reversed};
  std::vector<std::string> expected = item_ids(recommender.recommend(plain));
  std::ranges::reverse(expected);
  CHECK(item_ids(recommender.recommend(features)) == expected);
  const std::vector<Request> batch(5, features);
  for (const Answer& answer : recommender.recommend_batch(batch)) CHECK(item_ids(answer) == expected);
}

TEST_CASE("A policy follows the catalogue and reloads, and outlives its recommender", "[serving][policy]") {
  std::optional<Recommender> recommender(Recommender::open(make_model({.items = 50}), {.item_fields = kFields}));
  const Policy policy = recommender->compile({.filter = "genre = 'a'"});
  const auto found = [&] {
    std::vector<std::string> ids =
        item_ids(recommender->recommend({.user = "u1", .k = 100, .exclude_seen = false, .policy = &policy}));
    std::ranges::sort(ids);
    return ids;
  };
  CHECK(found().empty());
  recommender->upsert_item({.id = "i3", .fields = {{"genre", "b|a"}}});
  recommender->upsert_item({.id = "i70", .fields = {{"genre", "a"}}});  // of no model yet
  CHECK(found() == std::vector<std::string>{"i3"});
  recommender->reload(make_model({.items = 80}));
  CHECK(found() == std::vector<std::string>{"i3", "i70"});
  recommender->upsert_item({.id = "i3", .fields = {{"genre", "b"}}});
  CHECK(found() == std::vector<std::string>{"i70"});

  Recommender other = Recommender::open(make_model({.items = 50}), {.item_fields = kFields});
  other.upsert_item({.id = "i3", .fields = {{"genre", "a"}}});
  const Answer foreign = other.recommend({.user = "u1", .exclude_seen = false, .policy = &policy});
  CHECK(foreign.items.empty());
  CHECK(foreign.shortfall.filtered == 50);
  CHECK(other.recommend({.user = "u1"}).items.size() == 10);
  recommender.reset();
  CHECK(other.recommend({.user = "u1", .policy = &policy}).items.empty());
  const Policy rules_nothing;
  CHECK(same_items(other.recommend({.user = "u1", .policy = &rules_nothing}), other.recommend({.user = "u1"})));
}

TEST_CASE("Rules that are none are refused by name", "[serving][policy]") {
  const Recommender recommender = Recommender::open(make_model(), {.item_fields = kFields});
  const auto message_of = [&](const PolicyRules& rules) -> std::string {
    try {
      recommender.compile(rules);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_argument);
      return error.what();
    }
    return "no error";
  };
  using Catch::Contains;
  CHECK_THAT(message_of({.filter = "colour = 'red'"}),
             Contains("PolicyRules::filter, column 1") && Contains("genre, price"));
  CHECK_THAT(message_of({.boosts = {{"price > 1", 1}, {"price >", 1}}}),
             Contains("PolicyRules::boosts[1].filter, column 8"));
  CHECK_THAT(message_of({.boosts = {{"", 1}}}), Contains("PolicyRules::boosts[0].filter, column 1"));
  for (const float amount : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                             std::numeric_limits<float>::max(), -1.1e30f}) {
    CHECK_THAT(message_of({.boosts = {{"price > 1", amount}}}), Contains("PolicyRules::boosts[0].amount"));
  }
  CHECK(message_of({}) == "no error");
}

TEST_CASE("Similar items obey lists, filters and a minimum", "[serving][policy]") {
  Recommender recommender = Recommender::open(make_model({.items = 50}), {.item_fields = kFields});
  const Answer all = recommender.similar_items("i7", 100);
  REQUIRE(all.items.size() == 49);
  const Id nearest = all.items[0].item;
  const std::vector<Id> denied{nearest};
  CHECK(recommender.similar_items("i7", {.k = 1, .deny = denied}).items[0].item == all.items[1].item);
  const Answer enough = recommender.similar_items("i7", {.k = 100, .min_score = all.items[4].score});
  CHECK(enough.items.size() == 5);
  CHECK(enough.shortfall.below_min_score == 44);
  recommender.upsert_item({.id = all.items[9].item, .fields = {{"price", 1}}});
  const Policy policy = recommender.compile({.filter = "price = 1", .boosts = {{"price = 1", 5.0f}}});
  const Answer priced = recommender.similar_items("i7", {.policy = &policy});
  REQUIRE(priced.items.size() == 1);
  CHECK(priced.items[0].score == all.items[9].score);
  CHECK(priced.shortfall.filtered == 48);
  CHECK(priced.shortfall.seen == 0);
  recommender.remove_item(nearest);
  CHECK(recommender.similar_items("i7", 1).items[0].item == all.items[1].item);
  recommender.remove_item("i7");
  CHECK(recommender.similar_items("i7", 1).items[0].item == all.items[1].item);
  CHECK(recommender.similar_items("not known", {.policy = &policy}).shortfall.unavailable == 50);
}
