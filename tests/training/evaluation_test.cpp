// SPDX-License-Identifier: Apache-2.0
#include "attune/training/evaluation.hpp"

#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "catch.hpp"

namespace attune {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A model that scores as a function says.
struct Scripted {
  std::size_t items;
  detail::ScoreAll score;
  std::size_t num_items() const { return items; }
  detail::ScoreAll session() const { return score; }
};

Scripted fixed_scores(std::vector<float> scores) {
  return {scores.size(), [scores](HistoryView, const Context&, std::span<float> out) {
            std::copy(scores.begin(), scores.end(), out.begin());
          }};
}

struct Case {
  std::vector<ItemHandle> history, targets;
};

// One user per case.
EvaluationQueries queries_of(const std::vector<Case>& cases) {
  auto histories = std::make_shared<Histories>();
  EvaluationQueries queries;
  for (const Case& c : cases) {
    histories->items.insert(histories->items.end(), c.history.begin(), c.history.end());
    histories->items.insert(histories->items.end(), c.targets.begin(), c.targets.end());
    queries.queries.push_back({static_cast<UserHandle>(histories->num_users()),
                               static_cast<std::uint32_t>(c.history.size()),
                               static_cast<std::uint32_t>(c.targets.size())});
    histories->offsets.push_back(histories->items.size());
  }
  queries.histories = histories;
  return queries;
}

Report run(const Scripted& model, const std::vector<Case>& cases, EvaluationOptions options = {},
           std::vector<std::uint64_t> training_counts = {}) {
  if (training_counts.empty()) training_counts.assign(model.items, 1);
  options.bootstrap = 0;
  return evaluate(model, training_counts, queries_of(cases), options);
}

// With cutoff 1000, mrr is one over the rank of the only target.
double rank_of_target(const Scripted& model, const Case& c, bool exclude_seen = true) {
  return 1.0 / run(model, {c}, {.cutoffs = {1000}, .exclude_seen = exclude_seen}).mrr_at(1000);
}

}  // namespace

TEST_CASE("Metrics of ready-made lists equal those of RecBole", "[training][evaluation][golden]") {
  const auto golden = nlohmann::json::parse(std::ifstream(std::string(ATTUNE_TEST_DIR) + "/golden/metrics.json"));
  const auto from_zero = [](const nlohmann::json& lists) {
    auto items = lists.get<std::vector<std::vector<std::uint32_t>>>();
    for (auto& list : items) {
      for (auto& item : list) --item;
    }
    return items;
  };
  RankedLists lists{from_zero(golden["recommended"]), from_zero(golden["relevant"]), {}};
  lists.training_counts.resize(golden["train_item_count"].size());
  for (const auto& [item, count] : golden["train_item_count"].items()) {
    lists.training_counts.at(std::stoul(item) - 1) = count;
  }
  const auto metrics = list_metrics(lists, golden["cutoffs"].get<std::vector<std::size_t>>());

  const std::map<std::string, std::string> ours{{"hit", "hr"},
                                                {"itemcoverage", "coverage"},
                                                {"averagepopularity", "average_popularity"},
                                                {"giniindex", "gini"},
                                                {"tailpercentage", "tail_percentage"}};
  std::size_t compared = 0;
  for (const char* part : {"expected", "expected_f1"}) {
    for (const auto& [name, value] : golden[part].items()) {
      const std::string metric = name.substr(0, name.find('@'));
      const std::string key = (ours.contains(metric) ? ours.at(metric) : metric) + name.substr(name.find('@'));
      INFO(key);
      CHECK(metrics.at(key) == Approx(value.get<double>()).margin(1e-9).epsilon(0));
      ++compared;
    }
  }
  for (const auto& [name, value] : metrics) compared += name.starts_with("serendipity@");  // not in RecBole
  CHECK(compared == metrics.size());
}

TEST_CASE("A second stage reorders the best of what is left, and their ranks follow", "[training][evaluation]") {
  const Scripted model = fixed_scores({6, 5, 4, 3, 2, 1});
  std::vector<ItemHandle> shown;
  const auto reversed = [&](const RankingQuery& query, std::span<const Candidate> best, std::span<float> scores) {
    shown.clear();
    CHECK(query.history.size() == 1);
    for (std::size_t i = 0; i < best.size(); ++i) {
      CHECK(best[i].rank == i);
      shown.push_back(best[i].handle);
      scores[i] = -best[i].score;
    }
  };
  const auto rank = [&](ItemHandle target, auto function) {
    const EvaluationOptions options{.cutoffs = {1000}, .ranker = make_ranker(function), .ranker_candidates = 3};
    return 1.0 / run(model, {{{1}, {target}}}, options).mrr_at(1000);
  };
  CHECK(rank(0, reversed) == Approx(3));
  CHECK(shown == std::vector<ItemHandle>{0, 2, 3});  // item 1 was seen
  CHECK(rank(2, reversed) == Approx(2));
  CHECK(rank(3, reversed) == Approx(1));
  CHECK(rank(4, reversed) == Approx(4));  // no candidate
  CHECK(rank(5, reversed) == Approx(5));
  const auto indifferent = [](const RankingQuery&, auto, std::span<float> scores) {
    std::fill(scores.begin(), scores.end(), 7.0f);
  };
  for (const ItemHandle target : {0u, 2u, 3u, 4u}) {
    CHECK(rank(target, indifferent) == Approx(target == 0 ? 1 : target));  // ties stay as they are
  }
}

TEST_CASE("A ranker that fails leaves the model's order, as where it is served, and is counted",
          "[training][evaluation]") {
  const Scripted model = fixed_scores({5, 4, 3, 2, 1});
  std::function<void(std::span<float>)> bad;
  SECTION("an exception") {
    bad = [](auto) { throw std::runtime_error("no more"); };
  }
  SECTION("a score that is not filled in") {
    bad = [](std::span<float> scores) { std::fill(scores.begin() + 1, scores.end(), 7.0f); };
  }
  SECTION("a score that is not finite") {
    bad = [](std::span<float> scores) {
      for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = static_cast<float>(i);
      scores[1] = kInfinity;
    };
  }
  const EvaluationOptions options{
      .cutoffs = {1000},
      .ranker = make_ranker([&](const RankingQuery&, auto, std::span<float> scores) { bad(scores); })};
  const Report report = run(model, {{{}, {0}}, {{}, {3}}}, options);
  CHECK(report.mrr_at(1000) == Approx((1.0 + 1.0 / 4) / 2));
  CHECK(report.ranker_failures == 2);
  CHECK(run(model, {{{}, {0}}}).ranker_failures == 0);
}

TEST_CASE("A ranker is not shown a target that a filtered history gives away", "[training][evaluation]") {
  const Scripted model = fixed_scores({6, 5, 4, 3, 2, 1});
  std::size_t asked = 0;
  const auto clairvoyant = make_ranker([&](const RankingQuery& query, std::span<const Candidate> best, auto scores) {
    ++asked;
    for (std::size_t i = 0; i < best.size(); ++i) {
      scores[i] = std::ranges::find(query.history.items, best[i].handle) != query.history.items.end() ? 1.0f : 0.0f;
    }
  });
  const auto mrr = [&](bool exclude_seen) {
    const EvaluationOptions options{.cutoffs = {1000}, .exclude_seen = exclude_seen, .ranker = clairvoyant};
    return run(model, {{{4, 1}, {4}}}, options).mrr_at(1000);
  };
  CHECK(mrr(true) == Approx(1.0 / 4));  // behind 0, 2 and 3
  CHECK(asked == 0);
  CHECK(mrr(false) == Approx(1.0 / 2));  // behind 1, which is seen too
  CHECK(asked == 1);
}

TEST_CASE("A ranker gets as many candidates as it says itself, unless the options say otherwise",
          "[training][evaluation]") {
  class Counting final : public Ranker {
   public:
    std::size_t candidates() const noexcept override { return 2; }
    void rank(const RankingQuery&, std::span<const Candidate> candidates, std::span<float> scores,
              Workspace&) const override {
      seen = candidates.size();
      std::ranges::fill(scores, 0.0f);
    }
    mutable std::size_t seen = 0;
  };
  const auto counting = std::make_shared<const Counting>();
  const Scripted model = fixed_scores({6, 5, 4, 3, 2, 1});
  run(model, {{{}, {0}}}, {.ranker = counting});
  CHECK(counting->seen == 2);
  run(model, {{{}, {0}}}, {.ranker = counting, .ranker_candidates = 5});
  CHECK(counting->seen == 5);
  counting->seen = 0;
  run(model, {{{}, {0}}}, {.ranker = counting, .ranker_candidates = 0});
  CHECK(counting->seen == 0);
}

TEST_CASE("What both stages score alike counts against the target, and outcomes keep the model's own scores",
          "[training][evaluation]") {
  const Scripted model = fixed_scores({2, 2, 2, 1, 0});
  const auto alike = make_ranker([](const RankingQuery&, std::span<const Candidate> best, std::span<float> scores) {
    for (std::size_t i = 0; i < best.size(); ++i) scores[i] = best[i].handle == 3 ? 9.0f : 1.0f;
  });
  const EvaluationOptions options{.cutoffs = {1, 4}, .outcomes = 2, .ranker = alike, .ranker_candidates = 4};
  const auto mrr = [&](ItemHandle target) { return run(model, {{{}, {target}}}, options).mrr_at(4); };
  CHECK(mrr(3) == 1.0);
  for (const ItemHandle target : {0u, 1u, 2u}) CHECK(mrr(target) == 0.25);
  const auto outcomes = run(model, {{{}, {3}}}, options).outcomes;
  REQUIRE(outcomes.size() == 2);
  CHECK(outcomes[0].score == 1.0f);
  CHECK(outcomes[0].happened);
  CHECK(outcomes[1].score == 2.0f);
  CHECK_FALSE(outcomes[1].happened);
}

TEST_CASE("Ranks and ready-made lists go through the same formulas", "[training][evaluation]") {
  const std::size_t items = 40;
  std::vector<Case> cases;
  RankedLists lists;
  for (std::uint64_t user = 0; user < 30; ++user) {
    Case c;
    for (std::uint64_t i = 0; i < 1 + user % 4; ++i) {
      c.targets.push_back(static_cast<ItemHandle>(detail::mix(user, i) % items));
    }
    c.history = {static_cast<ItemHandle>(detail::mix(user, 99) % items), c.targets[0]};
    lists.relevant.emplace_back(c.targets.begin(), c.targets.end());
    lists.history.emplace_back(c.history.begin(), c.history.end());
    cases.push_back(c);
  }
  constexpr const char* kNames[]{"", "a|b", "b|c", "a|c|d", "d"};
  lists.training_users.emplace(TrainingUsers{{}, 25});
  lists.categories.emplace();
  for (std::size_t i = 0; i < items; ++i) {
    lists.training_counts.push_back(1 + detail::mix(5, i) % 50);
    lists.training_users->of_item.push_back((lists.training_counts.back() + 1) / 2);
    lists.categories->add(kNames[i % 5]);
  }
  // Distinct scores that depend on the first item of the history.
  const Scripted model{items, [](HistoryView history, const Context&, std::span<float> out) {
                         for (std::size_t i = 0; i < out.size(); ++i) {
                           out[i] = static_cast<float>(detail::mix(history.items[0], i) >> 40);
                         }
                       }};
  for (const Case& c : cases) {
    std::vector<float> scores(items);
    model.score({c.history}, {}, scores);
    if (std::find(c.targets.begin(), c.targets.end(), c.history[0]) == c.targets.end()) scores[c.history[0]] = -1.0f;
    std::vector<std::uint32_t> order;
    for (std::uint32_t i = 0; i < items; ++i) order.push_back(i);
    std::sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
    if (scores[order.back()] < 0) order.pop_back();
    lists.recommended.push_back(order);
  }
  const std::vector<std::size_t> cutoffs{1, 3, 10};
  const auto expected = list_metrics(lists, cutoffs);
  const auto report = run(
      model, cases, {.cutoffs = cutoffs, .training_users = &*lists.training_users, .categories = &*lists.categories},
      lists.training_counts);
  REQUIRE(report.metrics.size() == expected.size() + 1);  // auc needs the whole catalogue
  REQUIRE(expected.contains("miscalibration@3"));
  for (const auto& [name, value] : expected) {
    INFO(name);
    CHECK(report.at(name) == Approx(value).epsilon(1e-12));
  }
}

TEST_CASE("Ties count against the target and NaN ranks last", "[training][evaluation]") {
  CHECK(rank_of_target(fixed_scores({5, 4, 3, 2, 1}), {{0}, {2}}, false) == Approx(3));
  CHECK(rank_of_target(fixed_scores({4, 4, 4, 4, 1}), {{}, {0}}) == Approx(4));
  CHECK(rank_of_target(fixed_scores({kNaN, 4, 3, 2, 1}), {{}, {0}}) == Approx(5));
  CHECK(rank_of_target(fixed_scores({kNaN, kNaN, 3, kNaN, 1}), {{}, {4}}) == Approx(2));
  CHECK(rank_of_target(fixed_scores({kNaN, kNaN, kNaN, kNaN, kNaN}), {{}, {4}}) == Approx(5));
  CHECK(rank_of_target(fixed_scores({-kInfinity, -1, kInfinity, -kInfinity, 0}), {{}, {3}}) == Approx(5));
}

TEST_CASE("All distinct items of the history are filtered, but never the target", "[training][evaluation]") {
  const auto model = fixed_scores({5, 4, 3, 2, 1});
  CHECK(rank_of_target(model, {{0, 1, 1, 0}, {2}}) == Approx(1));
  CHECK(rank_of_target(model, {{0, 1, 1, 0}, {2}}, false) == Approx(3));
  CHECK(rank_of_target(model, {{0, 3, 2}, {2}}) == Approx(2));
  CHECK(rank_of_target(fixed_scores({5, 4, kNaN, 2, 1}), {{0, 0, 77}, {2}}) == Approx(4));

  const auto report = run(model, {{{0, 3, 2}, {2}}, {{0}, {1}}, {{1}, {1}}, {{}, {4}}});
  CHECK(report.repeated_targets == Approx(0.5));
}

TEST_CASE("A constant scorer gets no more than chance (UR-30)", "[training][evaluation]") {
  const std::size_t items = 200;
  std::vector<Case> cases;
  for (std::uint64_t user = 0; user < 500; ++user) {
    cases.push_back({{}, {static_cast<ItemHandle>(detail::mix(3, user) % items)}});
  }
  const auto report = run(fixed_scores(std::vector<float>(items, 0.25f)), cases);
  CHECK(report.hit_rate_at(10) <= 10.0 / static_cast<double>(items));
  CHECK(report.ndcg_at(10) <= 10.0 / static_cast<double>(items));
}

TEST_CASE("A target without a training event is a miss whatever its score", "[training][evaluation]") {
  const auto report = run(fixed_scores({5, 4, 3}), {{{}, {0}}, {{}, {1}}, {{}, {9}}}, {}, {0, 7, 2});
  CHECK(report.unseen_targets == 2);
  CHECK(report.hit_rate_at(200) == Approx(1.0 / 3));
}

TEST_CASE("Several relevant items of one query", "[training][evaluation]") {
  const auto model = fixed_scores({9, 8, 7, 6, 5, 4});
  SECTION("count at their own ranks, repeats once") {
    const auto report = run(model, {{{}, {1, 3, 1}}}, {.cutoffs = {1, 2, 4}});
    CHECK(report.at("recall@2") == Approx(0.5));
    CHECK(report.at("precision@4") == Approx(0.5));
    CHECK(report.mrr_at(4) == Approx(0.5));
    CHECK(report.at("map@4") == Approx((1.0 / 2 + 2.0 / 4) / 2));
    CHECK(report.ndcg_at(4) == Approx((1 / std::log2(3.0) + 1 / std::log2(5.0)) / (1 + 1 / std::log2(3.0))));
  }
  SECTION("do not stand in each other's way when they tie") {
    const auto report = run(fixed_scores({1, 1, 1, 0}), {{{}, {0, 1}}}, {.cutoffs = {2, 3}});
    CHECK(report.at("recall@2") == Approx(0.5));
    CHECK(report.at("recall@3") == Approx(1.0));
  }
}

TEST_CASE("Lists of what is shown hold no item without a score", "[training][evaluation]") {
  const auto report =
      run(fixed_scores({1, kNaN, -kInfinity, 3, 3}), {{{0}, {4}}}, {.cutoffs = {1, 5}}, {1, 1, 1, 8, 2});
  CHECK(report.at("coverage@1") == Approx(1.0 / 5));
  CHECK(report.at("average_popularity@1") == Approx(8));
  CHECK(report.at("coverage@5") == Approx(2.0 / 5));
  CHECK(report.at("average_popularity@5") == Approx(5));
  CHECK(report.at("gini@5") == Approx(0.6));
  CHECK(report.at("tail_percentage@5") == 0);
}

TEST_CASE("The model sees the time of the target only when it is asked for", "[training][evaluation]") {
  auto queries = queries_of({{{0, 1}, {2}}});
  auto histories = std::make_shared<Histories>(*queries.histories);
  histories->times = {10, 20, 30};
  queries.histories = histories;
  std::vector<Timestamp> told;
  const Scripted model{3, [&](HistoryView, const Context& context, std::span<float>) { told.push_back(context.now); }};
  const std::vector<std::uint64_t> counts(3, 1);
  evaluate(model, counts, queries, {.request_time = false});
  evaluate(model, counts, queries, {.request_time = true});
  CHECK(told == std::vector<Timestamp>{kNoTime, 30});
}

TEST_CASE("The model is told whose query it is where users have ids", "[training][evaluation]") {
  const Scripted by_user{2, [](HistoryView, const Context& context, std::span<float> out) {
                           out[0] = context.user == Id("first") ? 1.0f : 0.0f;
                           out[1] = context.user == Id("second") ? 1.0f : 0.0f;
                         }};
  const std::vector<Case> cases{{{}, {0}}, {{}, {1}}};
  EvaluationQueries queries = queries_of(cases);
  CHECK(evaluate(by_user, std::vector<std::uint64_t>{1, 1}, queries, {.cutoffs = {1}}).hit_rate_at(1) == 0.0);
  auto named = std::make_shared<Histories>(*queries.histories);
  auto ids = std::make_shared<IdMap>();
  for (const char* id : {"first", "second"}) ids->insert(id);
  named->user_ids = ids;
  queries.histories = named;
  CHECK(evaluate(by_user, std::vector<std::uint64_t>{1, 1}, queries, {.cutoffs = {1}}).hit_rate_at(1) == 1.0);
}

TEST_CASE("Reports are the same for any number of threads", "[training][evaluation]") {
  std::vector<Case> cases;
  for (std::uint64_t user = 0; user < 60; ++user) {
    cases.push_back({{static_cast<ItemHandle>(user % 7)}, {static_cast<ItemHandle>(detail::mix(8, user) % 50)}});
  }
  const Scripted model{50, [](HistoryView history, const Context&, std::span<float> out) {
                         for (std::size_t i = 0; i < out.size(); ++i) {
                           out[i] = static_cast<float>(detail::mix(history.items[0], i) % 30);
                         }
                       }};
  const std::vector<std::uint64_t> counts(50, 3);
  const auto with = [&](Executor* executor) {
    return evaluate(model, counts, queries_of(cases), {.bootstrap = 200, .executor = executor});
  };
  const auto alone = with(nullptr);
  for (const std::size_t threads : {2u, 8u}) {
    ThreadPool pool(threads);
    const auto report = with(&pool);
    CHECK(report.metrics == alone.metrics);
    CHECK(report.confidence == alone.confidence);
  }
}

TEST_CASE("Intervals hold the mean and narrow with the number of users", "[training][evaluation]") {
  const auto width = [](std::uint64_t users) {
    std::vector<Case> cases;
    for (std::uint64_t user = 0; user < users; ++user) cases.push_back({{}, {static_cast<ItemHandle>(user % 4)}});
    const auto report =
        evaluate(fixed_scores({4, 3, 2, 1}), std::vector<std::uint64_t>(4, 1), queries_of(cases), {.cutoffs = {2}});
    const auto [low, high] = report.confidence.at("hr@2");
    CHECK(low <= report.hit_rate_at(2));
    CHECK(high >= report.hit_rate_at(2));
    return high - low;
  };
  // 95 % of a binomial share of one half: plus and minus 1.96 sqrt(0.25 / n).
  CHECK(width(100) == Approx(0.196).margin(0.03));
  CHECK(width(1600) == Approx(0.049).margin(0.008));
}

TEST_CASE("Intervals weigh a drawn user by his number of queries", "[training][evaluation]") {
  // User u has one query more than user u - 1; those of every third user hit.
  constexpr std::size_t kUsers = 12, kResamples = 200;
  constexpr std::uint64_t kSeed = 5;
  auto histories = std::make_shared<Histories>();
  EvaluationQueries queries;
  std::vector<double> hits(kUsers), counts(kUsers);
  for (std::size_t user = 0; user < kUsers; ++user) {
    const ItemHandle target = user % 3 == 0 ? 0 : 3;
    for (std::uint32_t q = 0; q <= user; ++q) {
      histories->items.push_back(target);
      queries.queries.push_back({static_cast<UserHandle>(user), q, 1});
      hits[user] += target == 0;
      ++counts[user];
    }
    histories->offsets.push_back(histories->items.size());
  }
  queries.histories = histories;
  const auto report = evaluate(fixed_scores({4, 3, 2, 1}), std::vector<std::uint64_t>(4, 1), queries,
                               {.cutoffs = {1}, .exclude_seen = false, .bootstrap = kResamples, .seed = kSeed});

  std::vector<double> means;
  for (std::uint64_t resample = 0; resample < kResamples; ++resample) {
    const std::uint64_t stream = detail::stream_of(kSeed, detail::Purpose::bootstrap, resample);
    double hit = 0, all = 0;
    for (std::uint64_t draw = 0; draw < kUsers; ++draw) {
      const std::size_t user = detail::mix(stream, draw) % kUsers;
      hit += hits[user];
      all += counts[user];
    }
    means.push_back(hit / all);
  }
  std::sort(means.begin(), means.end());
  const auto [low, high] = report.confidence.at("hr@1");
  CHECK(low == Approx(means[kResamples / 40]));
  CHECK(high == Approx(means[kResamples - 1 - kResamples / 40]));
  CHECK(low <= report.hit_rate_at(1));
  CHECK(high >= report.hit_rate_at(1));
}

TEST_CASE("AUC is the share of other candidates below the target, where ties count half", "[training][evaluation]") {
  const auto auc = [](std::vector<float> scores, const Case& c, std::vector<std::uint64_t> counts = {}) {
    return run(fixed_scores(std::move(scores)), {c}, {}, std::move(counts)).at("auc");
  };
  CHECK(auc({5, 4, 3, 2, 1}, {{}, {1}}) == Approx(3.0 / 4));
  CHECK(auc({5, 4, 3, 2, 1}, {{0}, {1}}) == Approx(1));
  CHECK(auc({5, 4, 4, 4, 1}, {{}, {1}}) == Approx(2.0 / 4));
  CHECK(auc({7, 7, 7, 7, 7}, {{}, {1}}) == Approx(0.5));
  CHECK(auc({kNaN, 4, 3}, {{}, {1}}) == Approx(1));
  CHECK(auc({kNaN, 4, 3}, {{}, {0}}) == 0);
  CHECK(auc({5, 4, 3, 2, 1}, {{}, {0, 3}}) == Approx((1 + 1.0 / 3) / 2));
  CHECK(auc({5, 4}, {{0}, {1}}) == 1);
  CHECK(auc({5, 4, 3}, {{}, {0, 1}}, {1, 0, 1}) == Approx(0.5));
}

TEST_CASE("Serendipity and novelty are those of RecTools", "[training][evaluation]") {
  // The examples in the documentation of RecTools 0.9.
  const auto serendipity = [](std::size_t k, std::vector<std::uint32_t> list, std::vector<std::uint32_t> relevant) {
    const RankedLists lists{{std::move(list)}, {std::move(relevant)}, {3, 2, 0, 0}};
    return list_metrics(lists, std::vector{k}).at("serendipity@" + std::to_string(k));
  };
  CHECK(serendipity(1, {0, 1}, {0, 1}) == 0);
  CHECK(serendipity(1, {1, 2}, {1, 2}) == Approx(0.25));
  CHECK(serendipity(2, {1, 2}, {1, 2}) == Approx(0.5));
  CHECK(serendipity(2, {2}, {1}) == 0);
  CHECK(serendipity(2, {1, 2}, {1}) == Approx(0.125));

  const auto novelty = [](std::size_t k, std::vector<std::uint32_t> list) {
    const RankedLists lists{{std::move(list)}, {{0}}, {3, 1, 0}, TrainingUsers{{3, 1, 0}, 3}};
    return list_metrics(lists, std::vector{k}).at("novelty@" + std::to_string(k));
  };
  CHECK(novelty(1, {2}) == Approx(std::log2(3)));
  CHECK(novelty(3, {1, 2}) == Approx(std::log2(3)));
  CHECK(novelty(1, {0, 1}) == 0);
  CHECK(novelty(3, {0, 1}) == Approx(std::log2(3) / 2));
  CHECK(novelty(3, {}) == 0);
}

TEST_CASE("Equally popular items share a rank in serendipity", "[training][evaluation]") {
  const RankedLists lists{{{2}, {3}}, {{2}, {3}}, {9, 4, 4, 1}};
  CHECK(list_metrics(lists, std::vector<std::size_t>{1}).at("serendipity@1") ==
        Approx((1 - 3.0 / 4 + 1 - 2.0 / 4) / 2));
}

TEST_CASE("Diversity is the mean distance of the categories of two items", "[training][evaluation]") {
  const auto diversity = [](std::size_t k, std::vector<std::uint32_t> list) {
    RankedLists lists{{std::move(list)}, {{0}}, {1, 1, 1, 1, 1}};
    lists.categories.emplace();
    for (const char* names : {"a|b", "b|a", "b|c|d", "", ""}) lists.categories->add(names);
    return list_metrics(lists, std::vector{k}).at("diversity@" + std::to_string(k));
  };
  CHECK(diversity(2, {0, 1}) == 0);
  CHECK(diversity(2, {0, 2, 3}) == Approx(3.0 / 4));
  CHECK(diversity(9, {0, 1, 2}) == Approx((0 + 3.0 / 4 + 3.0 / 4) / 3));
  CHECK(diversity(2, {3, 4}) == 1);
  CHECK(diversity(3, {}) == 0);
  CHECK(diversity(2, {0}) == 0);
}

TEST_CASE("Diversity has no cutoff of 1, and moves none of its neighbours there", "[training][evaluation]") {
  RankedLists lists{{{0, 1, 2}}, {{2}}, {1, 1, 1}, TrainingUsers{{1, 2, 4}, 4}};
  lists.categories.emplace();
  for (const char* names : {"a", "a|b", "c"}) lists.categories->add(names);
  lists.history = {{2}};
  const auto metrics = list_metrics(lists, std::vector<std::size_t>{1, 3});
  CHECK(!metrics.contains("diversity@1"));
  CHECK(metrics.at("diversity@3") == Approx((0.5 + 1 + 1) / 3));
  CHECK(metrics.at("novelty@1") == Approx(2));
  CHECK(metrics.at("novelty@3") == Approx(1));
  CHECK(metrics.at("miscalibration@1") == Approx(std::log(100)));
  CHECK(metrics.at("miscalibration@3") == Approx(-std::log(0.99 / 3 + 0.01)));
  const auto report = run(fixed_scores({3, 2, 1}), {{{}, {2}}}, {.cutoffs = {1, 3}, .categories = &*lists.categories});
  CHECK(!report.metrics.contains("diversity@1"));
  CHECK(report.at("diversity@3") == metrics.at("diversity@3"));
  CHECK(report.at("auc") == 0);
}

TEST_CASE("Miscalibration is the divergence of the list's categories from those of the history",
          "[training][evaluation]") {
  const auto miscalibration = [](std::vector<std::uint32_t> history, std::vector<std::uint32_t> list) {
    RankedLists lists{{std::move(list)}, {{0}}, {1, 1, 1, 1}, {}, {}, {std::move(history)}};
    lists.categories.emplace();
    for (const char* names : {"a", "b", "a|b", ""}) lists.categories->add(names);
    return list_metrics(lists, std::vector<std::size_t>{2}).at("miscalibration@2");
  };
  CHECK(miscalibration({0, 1}, {2, 2}) == Approx(0).margin(1e-12));
  CHECK(miscalibration({0, 0, 3}, {0, 3}) == Approx(0).margin(1e-12));
  // History: a 3/4, b 1/4. List: only b.
  const double expected = 0.75 * std::log(0.75 / (0.01 * 0.75)) + 0.25 * std::log(0.25 / (0.99 * 1 + 0.01 * 0.25));
  CHECK(miscalibration({0, 2}, {1}) == Approx(expected));
  CHECK(miscalibration({0}, {3}) == Approx(std::log(100)));
  CHECK(miscalibration({0}, {}) == Approx(std::log(100)));
  CHECK(miscalibration({3}, {0}) == 0);
  CHECK(miscalibration({77}, {0}) == 0);
}

TEST_CASE("Sampled metrics rank among items that are neither relevant nor seen", "[training][evaluation][sampled]") {
  // Seen and relevant items score above the target, and must not stand in its way.
  const auto model = fixed_scores({9, 8, 7, 6, 5, 4, 3, kNaN});
  for (const bool exclude_seen : {true, false}) {
    const auto report =
        run(model, {{{0, 1, 1, 77}, {2, 5}}}, {.cutoffs = {1, 3, 4, 5}, .exclude_seen = exclude_seen, .sampled = 4});
    // Left: 3, 4, 6 and 7, all of them drawn. Item 2 ranks first, item 5 behind it, 3 and 4.
    CHECK(report.at("hr@1/sampled4") == 1);
    CHECK(report.at("mrr@4/sampled4") == 1);
    CHECK(report.at("ndcg@3/sampled4") == Approx(1 / (1 + 1 / std::log2(3))));
    CHECK(report.at("ndcg@4/sampled4") == Approx((1 + 1 / std::log2(5)) / (1 + 1 / std::log2(3))));
    CHECK(!report.metrics.contains("hr@5/sampled4"));
  }
  // Fewer are left than asked for; ties and NaN count against the target.
  const auto few = run(fixed_scores({2, 2, 2, kNaN}), {{{0}, {1}}, {{0}, {3}}}, {.cutoffs = {1, 2, 3}, .sampled = 9});
  CHECK(few.at("hr@1/sampled9") == 0);
  CHECK(few.at("hr@2/sampled9") == Approx(0.5));
  CHECK(few.at("hr@3/sampled9") == 1);
  // A target without a training event is a miss.
  CHECK(run(fixed_scores({2, 1}), {{{}, {0}}}, {.cutoffs = {1}, .sampled = 1}, {0, 1}).at("hr@1/sampled1") == 0);
}

TEST_CASE("Samples are drawn without replacement, each item as often, by seed and query alone",
          "[training][evaluation][sampled]") {
  // The target ranks behind n of the 20 others: its rank among 5 of them is hypergeometric.
  constexpr std::size_t kItems = 21, kUsers = 4000, kSampled = 5;
  std::vector<float> scores(kItems);
  for (std::size_t i = 0; i < kItems; ++i) scores[i] = static_cast<float>(i);
  constexpr ItemHandle kTarget = 12;  // behind 8
  const std::vector<Case> cases(kUsers, {{}, {kTarget}});
  const EvaluationOptions options{.cutoffs = {1, 2, 5}, .sampled = kSampled};
  const auto report = run(fixed_scores(scores), cases, options);
  // No one of the 8 drawn: C(12, 5) / C(20, 5); exactly one: 8 C(12, 4) / C(20, 5).
  const double none = 792.0 / 15504, one = 8 * 495.0 / 15504;
  CHECK(report.at("hr@1/sampled5") == Approx(none).margin(4 * std::sqrt(none / kUsers)));
  CHECK(report.at("hr@2/sampled5") == Approx(none + one).margin(4 * std::sqrt((none + one) / kUsers)));

  ThreadPool pool(4);
  auto threaded = options;
  threaded.executor = &pool;
  CHECK(run(fixed_scores(scores), cases, threaded).metrics == report.metrics);
  auto reseeded = options;
  reseeded.seed = 2;
  CHECK(run(fixed_scores(scores), cases, reseeded).at("hr@1/sampled5") != report.at("hr@1/sampled5"));
  auto plain = options;
  plain.sampled = 0;
  const auto without = run(fixed_scores(scores), cases, plain);
  for (const auto& [name, value] : without.metrics) CHECK(report.at(name) == value);
  CHECK(report.metrics.size() == without.metrics.size() + 9);
}

TEST_CASE("Samples are the same items and users whatever their handles", "[training][evaluation][sampled]") {
  // The second model names every item and user in the opposite order.
  constexpr std::uint32_t kItems = 40, kUsers = 30;
  const auto metrics_of = [&](bool turned, bool with_ids) {
    const auto handle = [&](std::uint32_t place, std::uint32_t count) { return turned ? count - 1 - place : place; };
    auto histories = std::make_shared<Histories>();
    EvaluationQueries queries;
    auto items = std::make_shared<IdMap>(), users = std::make_shared<IdMap>(IdKind::int64);
    std::vector<float> scores;
    for (std::uint32_t i = 0; i < kItems; ++i) {
      items->insert(std::string(1, static_cast<char>('0' + handle(i, kItems))));
      scores.push_back(static_cast<float>(handle(i, kItems)));
    }
    for (std::uint32_t u = 0; u < kUsers; ++u) {
      const std::uint32_t place = handle(u, kUsers);
      users->insert(place);
      histories->items.push_back(handle(place, kItems));
      histories->items.push_back(handle((7 * place + 3) % kItems, kItems));
      histories->offsets.push_back(histories->items.size());
      queries.queries.push_back({u, 1, 1});
    }
    if (with_ids) {
      histories->item_ids = items;
      histories->user_ids = users;
    }
    queries.histories = histories;
    return evaluate(fixed_scores(scores), std::vector<std::uint64_t>(kItems, 1), queries,
                    {.cutoffs = {1, 3, 5}, .bootstrap = 0, .sampled = 6})
        .metrics;
  };
  const auto straight = metrics_of(false, true), turned = metrics_of(true, true);
  for (const auto& [name, value] : straight) {
    if (!name.ends_with("/sampled6")) continue;
    INFO(name);
    CHECK(turned.at(name) == Approx(value).margin(1e-12));
  }
  CHECK(metrics_of(false, false).at("mrr@5/sampled6") != Approx(metrics_of(true, false).at("mrr@5/sampled6")));
}

TEST_CASE("Paired resamples draw the same users for both models", "[training][evaluation][paired]") {
  // Users with one to four queries; the first model finds target 0, the second target 1.
  constexpr std::size_t kUsers = 15, kResamples = 200;
  constexpr std::uint64_t kSeed = 7;
  auto histories = std::make_shared<Histories>();
  EvaluationQueries queries;
  std::vector<double> gains(kUsers), counts(kUsers);
  for (std::uint32_t user = 0; user < kUsers; ++user) {
    for (std::uint32_t q = 0; q <= user % 4; ++q) {
      const auto target = static_cast<ItemHandle>(detail::mix(user, q) % 3);
      histories->items.push_back(target);
      queries.queries.push_back({user, q, 1});
      gains[user] += target == 0 ? 1.0 : target == 1 ? -1.0 : 0.0;
      ++counts[user];
    }
    histories->offsets.push_back(histories->items.size());
  }
  queries.histories = histories;
  const std::vector<std::uint64_t> trained(3, 1);
  const EvaluationOptions options{.cutoffs = {1}, .exclude_seen = false, .bootstrap = 0, .keep_user_sums = true};
  const auto first = evaluate(fixed_scores({3, 2, 1}), trained, queries, options);
  const auto second = evaluate(fixed_scores({2, 3, 1}), trained, queries, options);
  const auto paired = paired_bootstrap(first.user_sums, second.user_sums,
                                       {.metrics = {"hr@1", "auc"}, .resamples = kResamples, .seed = kSeed});

  std::vector<double> means;
  for (std::uint64_t resample = 0; resample < kResamples; ++resample) {
    const std::uint64_t stream = detail::stream_of(kSeed, detail::Purpose::bootstrap, resample);
    double gain = 0, all = 0;
    for (std::uint64_t draw = 0; draw < kUsers; ++draw) {
      const std::size_t user = detail::mix(stream, draw) % kUsers;
      gain += gains[user];
      all += counts[user];
    }
    means.push_back(gain / all);
  }
  std::sort(means.begin(), means.end());
  const auto above = means.end() - std::upper_bound(means.begin(), means.end(), 0.0);
  const PairedDifference& hits = paired.at("hr@1");
  CHECK(hits.difference == Approx(first.hit_rate_at(1) - second.hit_rate_at(1)));
  CHECK(hits.interval[0] == Approx(means[kResamples / 40]));
  CHECK(hits.interval[1] == Approx(means[kResamples - 1 - kResamples / 40]));
  CHECK(hits.above_zero == Approx(static_cast<double>(above) / kResamples));
  CHECK(paired.at("auc").difference == Approx(first.at("auc") - second.at("auc")));

  const auto turned = paired_bootstrap(second.user_sums, first.user_sums, {.metrics = {"hr@1"}});
  CHECK(turned.at("hr@1").difference == Approx(-hits.difference));
  const auto itself = paired_bootstrap(first.user_sums, first.user_sums, {.metrics = {"hr@1"}}).at("hr@1");
  CHECK(itself.interval == std::array<double, 2>{0, 0});
  CHECK(itself.above_zero == 0);
  ThreadPool pool(3);
  const auto threads =
      paired_bootstrap(first.user_sums, second.user_sums,
                       {.metrics = {"hr@1"}, .resamples = kResamples, .seed = kSeed, .executor = &pool});
  CHECK(threads.at("hr@1").interval == hits.interval);
}

TEST_CASE("Evaluations of other queries cannot be paired", "[training][evaluation][paired]") {
  const auto model = fixed_scores({4, 3, 2, 1});
  const auto sums = [&](const EvaluationQueries& queries, EvaluationOptions options = {}) {
    options.keep_user_sums = true;
    options.bootstrap = 0;
    return evaluate(model, std::vector<std::uint64_t>(4, 1), queries, options).user_sums;
  };
  const auto complaint = [](const UserSums& first, const UserSums& second) -> std::string {
    try {
      paired_bootstrap(first, second);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const EvaluationQueries queries = queries_of({{{0}, {1}}, {{2}, {3}}});
  const UserSums base = sums(queries);
  CHECK(complaint(base, sums(queries)).empty());
  CHECK(complaint(base, sums(queries_of({{{0}, {1}}}))).find("found 2 and 1 users") != std::string::npos);
  CHECK(complaint(base, sums(queries_of({{{0}, {1}}, {{2, 1}, {3}}}))).find("same queries") != std::string::npos);
  CHECK(complaint(base, sums(queries_of({{{0}, {1}}, {{2}, {3, 1}}}))).find("same queries") != std::string::npos);
  CHECK(complaint(base, sums(queries, {.exclude_seen = false})).find("seen items") != std::string::npos);
  CHECK(complaint(base, sums(queries, {.request_time = true})).find("request times") != std::string::npos);
  const UserSums sampled = sums(queries, {.sampled = 10});
  CHECK(complaint(base, sampled).find("samples") != std::string::npos);
  CHECK(complaint(sampled, sums(queries, {.seed = 2, .sampled = 10})).find("samples") != std::string::npos);
  CHECK(complaint(sampled, sums(queries, {.sampled = 10})).empty());
  CHECK(complaint(base, sums(queries, {.seed = 2})).empty());
  EvaluationQueries other = queries;
  auto histories = std::make_shared<Histories>(*queries.histories);
  histories->times = {1, 2, 3, 4};
  other.histories = histories;
  CHECK(complaint(base, sums(other)).find("same queries") != std::string::npos);
  histories->times.clear();
  auto ids = std::make_shared<IdMap>();
  for (const char* id : {"first", "second"}) ids->insert(id);
  histories->user_ids = ids;
  CHECK(complaint(base, sums(other)).find("other users") != std::string::npos);
  CHECK(complaint(base, sums(queries, {.cutoffs = {5}})).find("expected evaluations with hr@10") != std::string::npos);
  CHECK(complaint(base, {}).find("kept no sums") != std::string::npos);
  CHECK(complaint(sums(queries_of({})), sums(queries_of({}))).find("found none") != std::string::npos);
}

TEST_CASE("Segments are means over their own queries", "[training][evaluation][segments]") {
  // Ten items, two of them the head; the model ranks item 1 first, then 0, then 2 and so on.
  const auto model = fixed_scores({9, 10, 8, 7, 6, 5, 4, 3, 2, 1});
  const std::vector<std::uint64_t> counts{50, 9, 1, 1, 1, 1, 1, 1, 1, 60};
  auto queries = queries_of({{{5, 6}, {1}}, {{5, 6, 7}, {2}}, {{5}, {0}}, {{5, 6, 7, 8}, {9}}});
  Categories ages;
  for (const char* age : {"young", "old", "", "young|old"}) ages.add(age);
  const EvaluationOptions options{
      .cutoffs = {1, 3}, .bootstrap = 40, .segments = true, .cold_below = 3, .user_groups = {{"age", &ages}}};
  const auto report = evaluate(model, counts, queries, options);

  std::map<std::string, const Segment*> found;
  for (const Segment& segment : report.segments) found[segment.grouping + ' ' + segment.group] = &segment;
  REQUIRE(found.size() == 6);
  const auto check = [&](const std::string& name, std::size_t expected_queries, double hit_1, double hit_3) {
    INFO(name);
    const Segment& segment = *found.at(name);
    CHECK(segment.queries == expected_queries);
    CHECK(segment.users == expected_queries);
    CHECK(segment.metrics.at("hr@1") == Approx(hit_1));
    CHECK(segment.metrics.at("hr@3") == Approx(hit_3));
    CHECK(!segment.metrics.contains("coverage@1"));
    const auto [low, high] = segment.confidence.at("hr@3");
    CHECK(low <= hit_3);
    CHECK(high >= hit_3);
  };
  check("history cold", 2, 0.5, 1);
  check("history warm", 2, 0, 0.5);
  check("target head", 2, 0, 0.5);
  check("target tail", 2, 0.5, 1);
  check("age young", 2, 0.5, 0.5);
  check("age old", 2, 0, 0.5);
  CHECK(report.fairness_gap("age", "hr@1") == Approx(0.5));
  CHECK(report.fairness_gap("age", "hr@3") == Approx(0));
  CHECK_THROWS_AS(report.fairness_gap("age", "hr@2"), Error);
  CHECK_THROWS_AS(report.fairness_gap("sex", "hr@1"), Error);

  // Segments change nothing else.
  const auto plain = evaluate(model, counts, queries, {.cutoffs = {1, 3}, .bootstrap = 40});
  CHECK(plain.metrics == report.metrics);
  CHECK(plain.confidence == report.confidence);
  CHECK(plain.segments.empty());
}

TEST_CASE("A segment that holds every query is the whole", "[training][evaluation][segments]") {
  // Users with several queries.
  auto histories = std::make_shared<Histories>();
  EvaluationQueries queries;
  Categories everybody;
  for (std::uint32_t user = 0; user < 9; ++user) {
    for (std::uint32_t q = 0; q <= user % 4; ++q) {
      histories->items.push_back(static_cast<ItemHandle>(detail::mix(user, q) % 6));
      queries.queries.push_back({user, q, 1});
    }
    histories->offsets.push_back(histories->items.size());
    everybody.add("all");
  }
  queries.histories = histories;
  ThreadPool pool(3);
  const auto report = evaluate(fixed_scores({6, 5, 4, 3, 2, 1}), std::vector<std::uint64_t>(6, 1), queries,
                               {.cutoffs = {2}, .bootstrap = 50, .executor = &pool, .user_groups = {{"", &everybody}}});
  REQUIRE(report.segments.size() == 1);
  const Segment& all = report.segments.front();
  CHECK(all.queries == report.queries);
  CHECK(all.users == report.users);
  CHECK(all.confidence == report.confidence);
  for (const auto& [name, value] : all.metrics) CHECK(value == report.at(name));
}

TEST_CASE("Exposure is the rank-discounted share of what is shown", "[training][evaluation][segments]") {
  Categories providers;
  for (const char* names : {"a", "b", "a|b", ""}) providers.add(names);
  const auto report = run(fixed_scores({4, 3, 2, 1}), {{{}, {0}}, {{0}, {1}}},
                          {.cutoffs = {1}, .providers = &providers, .exposure_cutoff = 3});
  // Shown: 0 1 2 and 1 2 3.
  const double first = 1, second = 1 / std::log2(3), third = 1 / std::log2(4);
  const double a = first + third / 2 + second / 2, b = second + third / 2 + first + second / 2;
  REQUIRE(report.exposure.size() == 2);
  CHECK(report.exposure[0].provider == "a");
  CHECK(report.exposure[0].exposure == Approx(a / (a + b)));
  CHECK(report.exposure[1].exposure == Approx(b / (a + b)));
  CHECK(report.exposure[0].catalogue == Approx(0.5));
  CHECK(report.exposure[1].catalogue == Approx(0.5));
}

TEST_CASE("Training users are distinct users with an event", "[training][evaluation]") {
  Histories train;
  auto ids = std::make_shared<IdMap>();
  for (const char* id : {"a", "b", "c"}) ids->insert(id);
  train.item_ids = ids;
  train.items = {0, 0, 1, 0};
  train.offsets = {0, 3, 3, 4};
  const auto users = TrainingUsers::count(train);
  CHECK(users.of_item == std::vector<std::uint64_t>{2, 1, 0});
  CHECK(users.total == 2);
}

TEST_CASE("Outcomes are the best items of each list and whether they were relevant", "[training][evaluation]") {
  const Scripted model = fixed_scores({0.1f, 0.9f, 0.5f, 0.7f, kNaN});
  const auto outcomes = [&](std::size_t most) {
    return run(model, {{{3}, {2}}, {{1}, {0, 3}}}, {.cutoffs = {1}, .outcomes = most}).outcomes;
  };
  CHECK(outcomes(0).empty());
  const auto two = outcomes(2);
  REQUIRE(two.size() == 4);
  CHECK((two[0].score == 0.9f && !two[0].happened));
  CHECK((two[1].score == 0.5f && two[1].happened));
  CHECK((two[2].score == 0.7f && two[2].happened));
  CHECK((two[3].score == 0.5f && !two[3].happened));
  CHECK(outcomes(100).size() == 6);  // neither what was seen nor what has no score
}

TEST_CASE("The hardest queries come with the lowest rank first, for any number of threads", "[training][evaluation]") {
  const Scripted model = fixed_scores({6, 5, 4, 3, 2, 1});
  const std::vector<Case> cases{{{1}, {5}}, {{0}, {1}}, {{}, {4, 2}}, {{0}, {5}}, {{}, {3}}, {{2}, {5, 4}}};
  const auto hardest = [&](std::size_t most, Executor* executor) {
    EvaluationOptions options{.cutoffs = {1}, .executor = executor, .hardest = most};
    return run(model, cases, options, {1, 1, 1, 1, 1, 1}).hardest;
  };
  CHECK(hardest(0, nullptr).empty());
  ThreadPool pool(3);
  for (Executor* const executor : {static_cast<Executor*>(nullptr), static_cast<Executor*>(&pool)}) {
    const auto found = hardest(4, executor);
    REQUIRE(found.size() == 4);
    const std::vector<std::size_t> queries{0, 3, 4, 5}, ranks{5, 5, 4, 4};
    const std::vector<ItemHandle> targets{5, 5, 3, 4};
    for (std::size_t i = 0; i < found.size(); ++i) {
      CHECK(found[i].query == queries[i]);
      CHECK(found[i].rank == ranks[i]);
      CHECK(found[i].target == targets[i]);
    }
    CHECK(found[0].answered == std::vector<ItemHandle>{0, 2, 3, 4, 5});  // without what was seen
    CHECK(hardest(100, executor).size() == 6);
  }
  const auto unseen = run(model, cases, {.cutoffs = {1}, .hardest = 9}, {1, 1, 1, 1, 1, 0}).hardest;
  REQUIRE(unseen.size() == 4);  // those of item 5 alone have no rank
  CHECK(unseen[0].query == 4);
}

TEST_CASE("What cannot be evaluated is refused or empty", "[training][evaluation]") {
  const TrainingUsers users{{1, 1, 1}, 1};
  const Categories none;
  CHECK_THROWS_AS(run(fixed_scores({1, 2}), {{{}, {0}}}, {.training_users = &users}), Error);
  CHECK_THROWS_AS(run(fixed_scores({1, 2}), {{{}, {0}}}, {.categories = &none}), Error);
  CHECK_THROWS_AS(run(fixed_scores({1, 2}), {{{}, {0}}}, {.providers = &none}), Error);
  CHECK_THROWS_AS(run(fixed_scores({1, 2}), {{{}, {0}}}, {.user_groups = {{"age", &none}}}), Error);
  Categories ages;
  ages.add("young");
  CHECK_NOTHROW(run(fixed_scores({1, 2}), {{{}, {0}}}, {.user_groups = {{"target", &ages}, {"age", &ages}}}));
  CHECK_THROWS_AS(run(fixed_scores({1, 2}), {{{}, {0}}}, {.user_groups = {{"age", &ages}, {"age", &ages}}}), Error);
  CHECK_THROWS_AS(run(fixed_scores({1, 2}), {{{}, {0}}}, {.segments = true, .user_groups = {{"target", &ages}}}),
                  Error);
  CHECK_THROWS_AS(list_metrics({{{0}}, {{0}}, {1}, {}, {}, {{}, {}}}, std::vector<std::size_t>{1}), Error);
  const auto model = fixed_scores({1, 2});
  CHECK_THROWS_AS(run(model, {{{}, {0}}}, {.cutoffs = {}}), Error);
  CHECK_THROWS_AS(run(model, {{{}, {0}}}, {.cutoffs = {10, 0}}), Error);
  CHECK_THROWS_AS(run(model, {{{}, {0}}}, {}, {1, 2, 3}), Error);
  CHECK_THROWS_AS(list_metrics({{{5}}, {{0}}, {1, 1}}, std::vector<std::size_t>{1}), Error);
  CHECK_THROWS_AS(list_metrics({{{0}}, {}, {1, 1}}, std::vector<std::size_t>{1}), Error);
  const auto nothing = run(model, {});
  CHECK(nothing.queries == 0);
  CHECK_THROWS_AS(nothing.hit_rate_at(10), Error);
}

}  // namespace attune
