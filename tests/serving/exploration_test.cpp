// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/exploration.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "attune/recommender.hpp"
#include "attune/serving/cursor.hpp"
#include "attune/serving/make_recommender.hpp"
#include "attune/serving/policy.hpp"
#include "attune/training/off_policy.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/explorer.hpp"
#include "serving/host_parts.hpp"
#include "serving/small_model.hpp"
#include "serving/stored_events.hpp"

using namespace attune;
using test::item_ids;
using test::make_model;
using test::same_items;

namespace {

constexpr ExplorationMethod kMethods[] = {ExplorationMethod::uniform, ExplorationMethod::thompson,
                                          ExplorationMethod::linucb};

RecommenderOptions with_kinds(RecommenderOptions options = {}) {
  options.event_kinds = {{"shown", 0}, {"click", 1}, {"dislike", -1}};
  return options;
}

// An engine in which the items follow each other by number, best first, for users whose history is item 0.
Recommender in_order(std::size_t items, RecommenderOptions options = with_kinds()) {
  IdMap ids;
  for (std::size_t i = 0; i < items; ++i) ids.insert(test::item_name(i));
  return make_recommender(Engine(test::LastItem{}, test::Nearest{items}, test::InOrder{}), {.item_ids = ids},
                          std::move(options));
}

std::size_t number_of(const Id& item) { return std::stoul(to_string(item).substr(1)); }

struct NoBounds final : UpperBounds {
  double of(ItemHandle) override { return 0; }
};

bool same_propensities(const Answer& a, const Answer& b) {
  return std::ranges::equal(a.items, b.items, {}, &Recommendation::propensity, &Recommendation::propensity);
}

}  // namespace

TEST_CASE("Thompson's chances are those of the posteriors, and a choice has the chance it is said to have",
          "[serving][exploration]") {
  ItemExposure exposure;
  NoBounds bounds;
  for (const ItemHandle item : {0u, 1u, 2u}) exposure.make_room(item);
  exposure.add(0, 1, 1);  // Beta(2, 1) against the uniform Beta(1, 1) of item 5: larger with probability 2/3
  Explorer explorer;
  const ItemHandle pair[] = {5, 0};
  double chance = 0, chosen = 0;
  constexpr int kRequests = 2000;
  for (int request = 0; request < kRequests; ++request) {
    const ExplorationOptions options{.share = 1, .draws = 16, .request = static_cast<std::uint64_t>(request)};
    explorer.start(&options, "u", exposure, bounds);
    const Explorer::Choice choice = explorer.choose(3, pair);
    REQUIRE(std::abs(choice.chances[0] + choice.chances[1] - 1) < 1e-12);
    REQUIRE(choice.chances[choice.place] > 0);
    chance += choice.chances[1] / kRequests;
    chosen += (choice.place == 1 ? 1.0 : 0.0) / kRequests;
  }
  CHECK(std::abs(chance - 2.0 / 3) < 0.01);  // three standard errors: 0.008
  CHECK(std::abs(chosen - chance) < 0.035);

  // Much is known of three items: the best of them has it all, and small priors do not break the draws.
  exposure.add(0, 99999, 999);
  exposure.add(1, 100000, 2000);
  exposure.add(2, 100000, 50);
  const ItemHandle three[] = {0, 1, 2, 2};
  const ExplorationOptions options{.share = 1, .prior_rewards = -1, .prior_misses = std::nan("")};
  explorer.start(&options, 7, exposure, bounds);
  const Explorer::Choice choice = explorer.choose(0, std::span(three).first(3));
  CHECK(choice.place == 1);
  CHECK(choice.chances[1] == 1);
}

TEST_CASE("New items come in an order that is as random for each", "[serving][exploration]") {
  ItemExposure exposure;
  NoBounds bounds;
  exposure.make_room(70);
  exposure.add(70, 5, 0);
  exposure.add(3, 4, 0);
  const std::vector<std::uint64_t> eligible{0xff, 0xff}, possible{0xfe, ~std::uint64_t{0}};  // without item 0
  const std::vector<ItemHandle> given{2, 65};
  std::map<ItemHandle, int> first;
  Explorer explorer;
  for (std::uint64_t request = 0; request < 3000; ++request) {
    const ExplorationOptions options{.new_item_quota = 0.5, .new_item_impressions = 5, .request = request};
    explorer.start(&options, "u", exposure, bounds);
    const auto some = explorer.find_new(eligible, possible, given, 4);
    REQUIRE(explorer.num_new() == 12);  // of 16, without 0, 2, 65 and 70
    REQUIRE(some.size() == 4);
    ++first[some.front()];
    const std::vector<ItemHandle> four(some.begin(), some.end());
    explorer.start(&options, "u", exposure, bounds);
    const auto all = explorer.find_new(eligible, possible, given, 100);
    REQUIRE(all.size() == 12);
    REQUIRE(std::equal(four.begin(), four.end(), all.begin()));
    for (const ItemHandle item : all) REQUIRE(explorer.is_new(item));
  }
  CHECK_FALSE(explorer.is_new(70));
  CHECK_FALSE(explorer.is_new(2));
  CHECK_FALSE(explorer.is_new(9999));
  CHECK(first.size() == 12);
  for (const auto& [item, count] : first) CHECK(std::abs(count - 250) < 5 * std::sqrt(250.0));
}

TEST_CASE("Without a share an answer is the plain one, bit for bit", "[serving][exploration]") {
  const TrainedModel model = make_model();
  const Recommender recommender = Recommender::open(model, with_kinds());
  const Answer plain = recommender.recommend({.user = "u1"});
  for (const Recommendation& item : plain.items) CHECK(item.propensity == 1);
  for (const double none : {0.0, -1.0, std::nan("")}) {
    const ExplorationOptions options{.share = none, .new_item_quota = none};
    const Answer answer = recommender.recommend({.user = "u1", .exploration = &options});
    CHECK(same_items(answer, plain));
    CHECK(same_propensities(answer, plain));
  }
}

TEST_CASE("A seed, a user and a request's number give one answer, each other one another", "[serving][exploration]") {
  const Recommender recommender = Recommender::open(make_model({.items = 200}), with_kinds());
  const auto ask = [&](const char* user, std::uint64_t seed, std::uint64_t request, ExplorationMethod method) {
    const ExplorationOptions options{
        .share = 0.5, .method = method, .new_item_quota = 0.2, .seed = seed, .request = request};
    return recommender.recommend({.user = user, .exploration = &options});
  };
  for (const ExplorationMethod method : kMethods) {
    const Answer answer = ask("nobody", 1, 2, method);
    CHECK(same_items(answer, ask("nobody", 1, 2, method)));
    CHECK(same_propensities(answer, ask("nobody", 1, 2, method)));
    CHECK_FALSE(same_items(answer, ask("no one", 1, 2, method)));
    CHECK_FALSE(same_items(answer, ask("nobody", 2, 2, method)));
    CHECK_FALSE(same_items(answer, ask("nobody", 1, 3, method)));
  }
}

TEST_CASE("Propensities are the chances of what is shown", "[serving][exploration]") {
  // One over the propensity of what was drawn has the number of items that could be drawn as its mean.
  const double quota = GENERATE(0.0, 0.3), share = GENERATE(0.0, 0.4, 1.0);
  if (quota + share == 0) return;
  Recommender recommender = in_order(40);
  recommender.observe({.user = "u", .item = "i0", .event = "click"});
  for (std::size_t i = 1; i < 30; ++i) {
    const std::string item = test::item_name(i);
    recommender.observe({.user = "another", .item = item, .event = "shown"});
  }
  constexpr std::size_t kPool = 8, kRequests = 4000;
  double sums[3] = {}, firsts[40] = {}, expected[40] = {};
  for (std::size_t request = 0; request < kRequests; ++request) {
    const ExplorationOptions options{.share = share,
                                     .method = ExplorationMethod::uniform,
                                     .pool = kPool,
                                     .new_item_quota = quota,
                                     .new_item_impressions = 1,
                                     .request = request};
    const Answer answer = recommender.recommend({.user = "u", .k = 3, .exploration = &options});
    REQUIRE(answer.items.size() == 3);
    for (std::size_t slot = 0; slot < 3; ++slot) sums[slot] += 1 / double{answer.items[slot].propensity} / kRequests;
    ++firsts[number_of(answer.items[0].item)];
  }
  for (std::size_t i = 1; i < 40; ++i) {
    const double of_share = std::min(share, 1 - quota);
    if (i >= 30) expected[i] += quota / 10;
    if (i <= kPool) expected[i] += of_share / kPool;
    if (i == 1) expected[i] += 1 - quota - of_share;
    const double error = 5 * std::sqrt(kRequests * expected[i] * (1 - expected[i]));
    CHECK(std::abs(firsts[i] - expected[i] * kRequests) <= error + 1e-6);
  }
  const double first_support = (share > 0 ? 8 : 1) + (quota > 0 ? 10 : 0);
  CHECK(std::abs(sums[0] / first_support - 1) < 0.1);
  // Later places: new items that are gone are fewer by those taken.
  if (quota == 0) CHECK(std::abs(sums[2] / first_support - 1) < 0.1);
}

TEST_CASE("Explored places obey filters, caps, pins, denials, what is seen and disliked, and pages are one list",
          "[serving][exploration]") {
  const TrainedModel model = make_model({.items = 90});
  RecommenderOptions options = with_kinds();
  options.item_fields = {{"creator", FieldType::category}};
  Recommender recommender = Recommender::open(model, options);
  for (std::size_t i = 0; i < 90; ++i) {
    const std::string item = test::item_name(i), creator = test::user_name(i % 12);
    recommender.upsert_item({.id = item, .fields = {{"creator", creator}}});
    if (i % 3 == 0) recommender.observe({.user = "another", .item = item, .event = "shown"});
  }
  recommender.remove_item("i50");
  const Policy policy = recommender.compile({.filter = "creator != 'u3'", .caps = {{"creator", 2}}});
  std::mt19937 random(GENERATE(range(1u, 30u)));
  const char* const user = random() % 4 == 0 ? "nobody" : "u1";
  recommender.observe({.user = user, .item = "i4", .event = "dislike"});
  const std::vector<Id> denied{"i7", "i8", "i9"};
  const PinnedItem pins[] = {{"i15", 2}, {"i16", 7}};
  const ExplorationOptions exploration{.share = 0.5,
                                       .method = kMethods[random() % 3],
                                       .pool = 1 + random() % 30,
                                       .draws = 8,
                                       .new_item_quota = random() % 2 == 0 ? 0.0 : 0.4,
                                       .new_item_impressions = 1,
                                       .request = random()};
  Request request{.user = user, .k = 12, .exploration = &exploration};
  if (random() % 2 == 0) request.policy = &policy;
  if (random() % 2 == 0) request.pinned = pins;
  if (random() % 2 == 0) request.diversity = 0.3f;
  request.deny = denied;
  const Answer whole = recommender.recommend(request);
  REQUIRE(whole.items.size() == 12);
  std::set<std::string> seen, shown;
  for (const ItemHandle item : model.histories->of(1).items) seen.insert(test::item_name(item));
  std::map<std::size_t, int> creators;
  for (const Recommendation& item : whole.items) {
    const std::string id = to_string(item.item);
    REQUIRE(shown.insert(id).second);
    REQUIRE(item.propensity > 0);
    REQUIRE(item.propensity <= 1.00001f);
    REQUIRE(std::isfinite(item.score));
    if (item.pinned) {
      CHECK(item.propensity == 1);
    } else {
      CHECK((user[0] == 'n' || !seen.contains(id)));
      CHECK((request.policy == nullptr || number_of(item.item) % 12 != 3));
    }
    CHECK((id != "i4" && id != "i50" && id != "i7" && id != "i8" && id != "i9"));
    ++creators[number_of(item.item) % 12];
  }
  if (!request.pinned.empty()) CHECK(whole.items[2].item == Id("i15"));
  for (const auto& [creator, count] : creators) CHECK((request.policy == nullptr || count <= 2));

  Answer pages;
  Cursor cursor;
  for (const std::size_t k : {5u, 1u, 6u}) {
    request.k = k;
    request.cursor = &cursor;
    const Answer page = recommender.recommend(request);
    pages.items.insert(pages.items.end(), page.items.begin(), page.items.end());
  }
  CHECK(same_items(pages, whole));
  CHECK(same_propensities(pages, whole));
}

TEST_CASE("New items get the share of places that they are to have, and each is shown",
          "[serving][exploration][UR-06]") {
  constexpr std::size_t kItems = 900, kOld = 200, kRequests = 10'000, kImpressions = 20;
  Recommender recommender = in_order(kItems);
  std::vector<std::string> users, items;
  for (std::size_t u = 0; u < 100; ++u) users.push_back(test::user_name(u));
  for (std::size_t i = 0; i < kItems; ++i) items.push_back(test::item_name(i));
  for (const std::string& user : users) recommender.observe({.user = user, .item = "i0", .event = "click"});
  for (std::size_t i = 0; i < kOld * kImpressions; ++i) {
    recommender.observe({.user = users[i % 100], .item = items[i % kOld], .event = "shown"});
  }
  std::vector<std::size_t> impressions(kItems, 0);
  std::size_t new_places = 0, places = 0;
  Answer answer;
  for (std::size_t request = 0; request < kRequests; ++request) {
    const ExplorationOptions options{.share = 0.1,
                                     .draws = 4,
                                     .new_item_quota = 0.1,
                                     .new_item_impressions = kImpressions,
                                     .seed = 5,
                                     .request = request};
    const std::string& user = users[request % 100];
    recommender.recommend({.user = user, .exploration = &options}, answer);
    for (const Recommendation& item : answer.items) {
      const std::size_t number = number_of(item.item);
      new_places += number >= kOld && impressions[number] < kImpressions;
      ++places;
      ++impressions[number];
      recommender.observe({.user = user, .item = item.item, .event = "shown"});
    }
  }
  CHECK(places == 10 * kRequests);
  CHECK(std::abs(static_cast<double>(new_places) / static_cast<double>(places) - 0.1) < 0.01);
  CHECK(std::count(impressions.begin() + kOld, impressions.end(), std::size_t{0}) == 0);
}

TEST_CASE("LinUCB finds what earns rewards among many items, and items like them, where chance does not",
          "[serving][exploration]") {
  constexpr std::size_t kItems = 300;
  const TrainedModel model = make_model({.items = kItems});
  const Recommender judge = Recommender::open(model);
  std::set<std::string> liked;  // a tenth of the items, near each other
  for (const Recommendation& item : judge.similar_items("i7", kItems / 10).items) liked.insert(to_string(item.item));
  const auto rewards_of = [&](ExplorationMethod method) {
    Recommender recommender = Recommender::open(model, with_kinds());
    int rewards = 0;
    for (std::uint64_t request = 0; request < 600; ++request) {
      const ExplorationOptions options{.share = 1, .method = method, .pool = kItems, .request = request};
      const Answer answer = recommender.recommend({.user = "nobody", .k = 1, .exploration = &options});
      CHECK(answer.items[0].propensity > 0);
      const std::string viewer = test::user_name(1000 + request);
      recommender.observe({.user = viewer, .item = answer.items[0].item, .event = "shown"});
      if (!liked.contains(to_string(answer.items[0].item))) continue;
      recommender.observe({.user = viewer, .item = answer.items[0].item, .event = "click"});
      ++rewards;
    }
    return rewards;
  };
  CHECK(rewards_of(ExplorationMethod::uniform) < 100);
  CHECK(rewards_of(ExplorationMethod::linucb) > 400);
}

TEST_CASE("Logged propensities value another policy within the interval", "[serving][exploration]") {
  // Thompson and new items log; the policy to be valued takes one of the first three at random.
  Recommender recommender = in_order(30);
  recommender.observe({.user = "u", .item = "i0", .event = "click"});
  const auto chance_of = [](std::size_t item) { return item % 3 == 0 ? 0.6 : 0.2; };
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> uniform;
  std::vector<LoggedDecision> log;
  for (std::size_t request = 0; request < 6000; ++request) {
    const ExplorationOptions options{
        .share = 0.5, .pool = 6, .draws = 32, .new_item_quota = 0.3, .new_item_impressions = 1'000, .request = request};
    const Answer answer = recommender.recommend({.user = "u", .k = 1, .exploration = &options});
    const std::size_t item = number_of(answer.items[0].item);
    const std::string viewer = test::user_name(request);
    const bool clicked = uniform(random) < chance_of(item);
    recommender.observe({.user = viewer, .item = answer.items[0].item, .event = "shown"});
    if (clicked) recommender.observe({.user = viewer, .item = answer.items[0].item, .event = "click"});
    log.push_back({answer.items[0].propensity, clicked ? 1.0 : 0.0, item >= 1 && item <= 3 ? 1.0 / 3 : 0.0});
  }
  const OffPolicyReport report = off_policy(log);
  const double truth = (0.2 + 0.2 + 0.6) / 3;
  CHECK(report.ips_interval[0] <= truth);
  CHECK(truth <= report.ips_interval[1]);
  CHECK(report.snips_interval[0] <= truth);
  CHECK(truth <= report.snips_interval[1]);
  CHECK(report.ips_interval[1] - report.ips_interval[0] < 0.12);
  CHECK(std::abs(report.mean_weight - 1) < 0.1);
}

TEST_CASE("What exploration learned is replayed, forgotten and merged with its events", "[serving][exploration]") {
  const TrainedModel model = make_model({.items = 40});
  const auto store = std::make_shared<test::MemoryStore>();
  Recommender live = Recommender::open(model, with_kinds({.event_store = store}));
  std::mt19937 random(4);
  const char* const users[] = {"a", "b", "c", "u1"};
  for (int i = 0; i < 2000; ++i) {
    const std::string item = test::item_name(random() % 40);
    live.observe({.user = users[random() % 4],
                  .item = item,
                  .timestamp = 100'000'000 + static_cast<Timestamp>(random() % 2000),
                  .event = random() % 4 == 0 ? "click" : "shown"});
  }
  const auto check_replay = [&] {
    const Recommender replayed = Recommender::open(model, with_kinds({.event_store = store}));
    for (std::uint64_t request = 0; request < 20; ++request) {
      const ExplorationOptions options{
          .share = 0.5, .new_item_quota = 0.3, .new_item_impressions = 30, .request = request};
      const Answer answer = live.recommend({.user = "u2", .exploration = &options});
      CHECK(same_items(replayed.recommend({.user = "u2", .exploration = &options}), answer));
      CHECK(same_propensities(replayed.recommend({.user = "u2", .exploration = &options}), answer));
    }
  };
  check_replay();
  live.forget_user("a");
  check_replay();
  live.merge_users("b", "c");
  check_replay();
}

TEST_CASE("Whatever exploration is asked for has a defined answer", "[serving][exploration]") {
  const Recommender recommender = Recommender::open(make_model({.items = 30}), with_kinds());
  constexpr std::size_t kLargest = std::numeric_limits<std::size_t>::max();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const ExplorationMethod method : kMethods) {
    for (const double number : {1.0, 5.0, kInfinity}) {
      for (const std::size_t count : {std::size_t{0}, std::size_t{1}, kLargest}) {
        const ExplorationOptions options{.share = number,
                                         .method = method,
                                         .pool = count,
                                         .prior_rewards = number,
                                         .prior_misses = -number,
                                         .draws = count == kLargest ? 2000 : count,
                                         .new_item_quota = count == 1 ? number : 0.5,
                                         .new_item_impressions = count};
        for (const char* user : {"u1", "nobody"}) {
          const std::size_t all = recommender.recommend({.user = user, .k = 30}).items.size();
          CHECK(recommender.recommend({.user = user, .k = 0, .exploration = &options}).items.empty());
          CHECK(recommender.recommend({.user = user, .k = 30, .exploration = &options}).items.size() == all);
          CHECK(recommender.recommend({.user = user, .k = kLargest, .exploration = &options}).items.size() == all);
          const Request none{.user = user, .allow = std::span<const Id>{}, .exploration = &options};
          CHECK(recommender.recommend(none).items.empty());
        }
        CHECK(recommender.recommend_history({"i1"}, {.k = 5, .exploration = &options}).items.size() == 5);
        const Request requests[] = {{.user = "u1", .exploration = &options}, {.user = "u1"}};
        const auto answers = recommender.recommend_batch(requests);
        CHECK(same_items(answers[0], recommender.recommend(requests[0])));
        CHECK(same_items(answers[1], recommender.recommend({.user = "u1"})));
      }
    }
  }
}

TEST_CASE("Threads explore while others say what was shown", "[serving][exploration]") {
  Recommender recommender = in_order(9000);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const std::string user = test::user_name(t);
      recommender.observe({.user = user, .item = "i0", .event = "click"});
      for (std::size_t i = 0; i < 60; ++i) {
        const std::string item = test::item_name((i * 4099 + t) % 9000);
        recommender.observe({.user = user, .item = item, .event = "shown"});
        const ExplorationOptions options{
            .share = 0.5, .draws = 4, .new_item_quota = 0.2, .new_item_impressions = 2, .request = i};
        const Answer answer = recommender.recommend({.user = user, .exploration = &options});
        recommender.observe({.user = user, .item = answer.items.front().item, .event = "click"});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const ExplorationOptions options{.share = 1};
  CHECK(recommender.recommend({.user = "u0", .exploration = &options}).items.size() == 10);
}
