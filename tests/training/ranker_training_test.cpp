// SPDX-License-Identifier: Apache-2.0
#include "attune/training/ranker_training.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <utility>

#include "attune/recommender.hpp"
#include "catch.hpp"
#include "model/candidate_features.hpp"
#include "serving/small_model.hpp"
#include "training/small_training.hpp"

using namespace attune;
using namespace attune::test;

namespace {

// People who come back: every user has four items of his own and takes them in turn, with something else in between.
Histories regulars(std::size_t users) {
  return histories_of(users, 24, 60, [](std::size_t u, std::size_t i) {
    return i % 3 == 0 ? detail::mix(u, i) % 60 : detail::mix(u, i % 4 + 100) % 60;
  });
}

TrainerConfig counting_on_repeats() {
  TrainerConfig config = small_config();
  config.epochs = 1;
  config.exclude_seen = false;
  return config;
}

struct Scene {
  explicit Scene(std::size_t users = 150) : parts(leave_one_out(regulars(users))) {
    model = Trainer(counting_on_repeats()).fit(parts.train, parts.validation);
    model.histories = nullptr;
  }
  Split parts;
  TrainedModel model;
};

const RankerOptions kKeepSeen{.candidates = 40, .exclude_seen = false};

}  // namespace

TEST_CASE("Where people come back for the same items a ranker learns to say so, on lists it did not see too",
          "[training][ranker_training]") {
  const Scene scene;
  const FittedRanker fitted = fit_ranker(scene.model, scene.parts.validation, kKeepSeen);
  CHECK(fitted.report.kept);
  CHECK(fitted.report.lists == scene.parts.validation.size());
  CHECK(fitted.report.ndcg_10 > fitted.report.engine_ndcg_10 + 0.1);
  CHECK(fitted.report.ndcg_10 - fitted.report.engine_ndcg_10 > fitted.report.standard_error);
  REQUIRE_FALSE(fitted.ranker.empty());
  CHECK(fitted.ranker.candidates == 40);
  CHECK_NOTHROW(fitted.ranker.validate());

  TrainedModel ranked = scene.model;
  ranked.ranker = fitted.ranker;
  const EvaluationOptions options{.exclude_seen = false};
  const Report before = evaluate(scene.model, scene.parts.test, options);
  const Report after = evaluate(ranked, scene.parts.test, options);
  CHECK(after.ndcg_at(10) > before.ndcg_at(10) + 0.1);
  CHECK(before.ndcg_at(10) > 0);
  CHECK(evaluate(scene.model, scene.parts.validation, options).ndcg_at(10) ==
        Approx(fitted.report.engine_ndcg_10).margin(1e-12));
}

TEST_CASE("Each half of the users is ranked by what the other half taught", "[training][ranker_training]") {
  // Even users come back for what they had, odd ones never do: what one half learns misleads the other.
  const Split parts = leave_one_out(histories_of(120, 14, 60, [](std::size_t u, std::size_t i) {
    return u % 2 == 0 ? detail::mix(u, i % 3) % 60 : (detail::mix(u) + 17 * i) % 60;
  }));
  const TrainedModel model = Trainer(counting_on_repeats()).fit(parts.train, parts.validation);
  const FittedRanker fitted = fit_ranker(model, parts.validation, kKeepSeen);
  CHECK(fitted.report.ndcg_10 < fitted.report.engine_ndcg_10);
  CHECK_FALSE(fitted.report.kept);
}

TEST_CASE("No other weights have a lower cross-entropy", "[training][ranker_training]") {
  const Scene scene;
  const LearnedRanker ranker = fit_ranker(scene.model, scene.parts.validation, kKeepSeen).ranker;
  REQUIRE_FALSE(ranker.empty());
  // The lists, as evaluation shows them to a second stage: one query after the other.
  using Features = std::array<float, LearnedRanker::kNumFeatures>;
  struct List {
    std::vector<Features> candidates;
    std::size_t target;
  };
  std::vector<List> lists;
  const EvaluationQueries& queries = scene.parts.validation;
  const detail::CandidateFeatures reader(scene.model.counts, scene.model.popularity->counts(), false);
  std::size_t asked = 0;
  EvaluationOptions options{.exclude_seen = false, .bootstrap = 0, .ranker_candidates = 40};
  options.ranker = make_ranker([&](const RankingQuery& query, std::span<const Candidate> best, std::span<float>) {
    Workspace workspace;
    const ItemHandle target = queries.targets(queries.queries[asked++]).front();
    List list{std::vector<Features>(best.size()), best.size()};
    for (std::size_t i = 0; i < best.size(); ++i) {
      reader.read(list.candidates[i], query.history, kNoTime, best.subspan(i, 1), workspace);
      if (best[i].handle == target) list.target = i;
    }
    if (list.target < best.size()) lists.push_back(list);
  });
  evaluate(scene.model, queries, options);
  REQUIRE(lists.size() > 50);
  const auto loss = [&](const LearnedRanker& with) {
    double sum = 0;
    for (const List& list : lists) {
      double total = 0;
      const auto of = [&](std::size_t i) { return static_cast<double>(with(list.candidates[i])); };
      for (std::size_t i = 0; i < list.candidates.size(); ++i) total += std::exp(of(i));
      sum += std::log(total) - of(list.target);
    }
    return sum / static_cast<double>(lists.size());
  };
  const double best = loss(ranker);
  constexpr double kWorthOfDecay = 1e-6;  // the fit holds weights back a little, and most those that change least
  CHECK(best < loss({40, std::vector<float>(LearnedRanker::kNumFeatures, 0.0f)}) - 0.5);
  for (std::size_t f = 0; f < ranker.weights.size(); ++f) {
    for (const float step : {-0.1f, 0.1f}) {
      LearnedRanker other = ranker;
      other.weights[f] += step * std::max(1.0f, std::abs(ranker.weights[f]));
      INFO(LearnedRanker::feature_names()[f]);
      CHECK(loss(other) >= best - kWorthOfDecay);
    }
  }
}

TEST_CASE("The same ranker is fitted by any number of threads", "[training][ranker_training]") {
  const Scene scene;
  ThreadPool pool(3);
  RankerOptions threaded = kKeepSeen;
  threaded.executor = &pool;
  const FittedRanker one = fit_ranker(scene.model, scene.parts.validation, kKeepSeen);
  const FittedRanker three = fit_ranker(scene.model, scene.parts.validation, threaded);
  CHECK(one.ranker.weights == three.ranker.weights);
  CHECK(one.report.ndcg_10 == three.report.ndcg_10);
}

TEST_CASE("A ranker that does not help is not kept", "[training][ranker_training]") {
  const Split parts = leave_one_out(cycle(60, 12, 20));
  TrainerConfig config = small_config();
  config.epochs = 20;
  const TrainedModel model = Trainer(config).fit(parts.train, parts.validation);
  const FittedRanker fitted = fit_ranker(model, parts.validation);
  CHECK(fitted.report.engine_ndcg_10 > 0.99);  // nothing is left to gain
  CHECK_FALSE(fitted.report.kept);
  CHECK(fitted.ranker.empty());
}

TEST_CASE("What the history says of a repeated target is no help where seen items are filtered",
          "[training][ranker_training]") {
  const Scene scene;
  const FittedRanker fitted = fit_ranker(scene.model, scene.parts.validation, {.candidates = 40});
  for (std::size_t f = 3; f < fitted.ranker.weights.size(); ++f) CHECK(fitted.ranker.weights[f] == 0.0f);
  TrainedModel ranked = scene.model;
  ranked.ranker = {40, std::vector<float>(LearnedRanker::kNumFeatures, 0.0f)};
  ranked.ranker.weights[0] = 1;
  ranked.ranker.weights[3] = 100;  // as one that was fitted on lists with seen items
  const Report filtered = evaluate(ranked, scene.parts.test);
  CHECK(filtered.ndcg_at(10) == evaluate(scene.model, scene.parts.test).ndcg_at(10));
  CHECK(filtered.repeated_targets > 0.5);
}

TEST_CASE("What is evaluated is what the facade answers", "[training][ranker_training]") {
  Scene scene;
  scene.model.ranker = fit_ranker(scene.model, scene.parts.validation, kKeepSeen).ranker;
  REQUIRE_FALSE(scene.model.ranker.empty());
  const Recommender recommender = Recommender::open(scene.model);
  const IdMap& ids = *scene.model.item_ids;
  const EvaluationQueries& test = scene.parts.test;
  double hits = 0, reordered = 0;
  for (const auto& query : test.queries) {
    std::vector<Id> items;
    for (const ItemHandle item : test.history(query).items) items.push_back(ids.id(item));
    const Answer answer = recommender.recommend_history(items, {.k = 10, .exclude_seen = false});
    reordered += answer.reranked == 40;
    for (const Recommendation& item : answer.items) hits += item.item == ids.id(test.targets(query).front());
  }
  CHECK(reordered == static_cast<double>(test.size()));
  const Report report = evaluate(scene.model, test, {.exclude_seen = false});
  CHECK(report.hit_rate_at(10) == Approx(hits / static_cast<double>(test.size())).margin(1e-12));
}

TEST_CASE("What is evaluated is what the facade answers, by times, counts and more than a hundred candidates",
          "[training][ranker_training]") {
  const bool exclude_seen = GENERATE(false, true);
  TrainedModel model = make_model({.items = 160, .blend_weight = 0.5, .timed = true});
  model.ranker = {140, {-1.0f, 0.2f, -0.2f, 1.0f, 0.5f, 1.0f, -2.0f, 0.3f, 0.7f}};
  Recommender recommender = Recommender::open(make_model({.seed = 2, .items = 60, .first_item = 130}));
  recommender.reload(model);  // the catalogue has the items in another order
  EvaluationQueries queries{model.histories, {}};
  double expected = 0;
  for (UserHandle user = 0; user < model.histories->num_users(); ++user) {
    const HistoryView events = model.histories->of(user);
    for (std::uint32_t length = 2; length < events.size(); ++length) {
      const HistoryView history = events.first(length);
      const ItemHandle target = events.items[length];
      if (exclude_seen && std::ranges::find(history.items, target) != history.items.end()) continue;
      queries.queries.push_back({user, length, 1});
      std::vector<Id> items;
      for (const ItemHandle item : history.items) items.push_back(model.item_ids->id(item));
      const Request request{.k = 160, .now = events.times[length], .exclude_seen = exclude_seen};
      const Answer answer = recommender.recommend_history(items, request, history.times);
      const auto at = std::ranges::find(answer.items, model.item_ids->id(target), &Recommendation::item);
      REQUIRE(at != answer.items.end());
      expected += 1.0 / static_cast<double>(at - answer.items.begin() + 1);
    }
  }
  const EvaluationOptions options{
      .cutoffs = {1000}, .exclude_seen = exclude_seen, .request_time = true, .bootstrap = 0};
  const Report report = evaluate(model, queries, options);
  CHECK(report.mrr_at(1000) == Approx(expected / static_cast<double>(queries.size())).epsilon(1e-12));
  EvaluationOptions fewer = options, none = options;
  fewer.ranker_candidates = 100;
  none.ranker_candidates = 0;
  CHECK(evaluate(model, queries, fewer).mrr_at(1000) != report.mrr_at(1000));
  model.ranker = {};
  CHECK(evaluate(model, queries, options).mrr_at(1000) == evaluate(model, queries, none).mrr_at(1000));
}

TEST_CASE("One function is served and measured, and told alike who asks and who answers",
          "[training][ranker_training]") {
  TrainedModel model = make_model({.items = 40, .blend_weight = 0.5});
  model.ranker = {10, std::vector<float>(LearnedRanker::kNumFeatures, 1.0f)};  // of which nobody asks
  std::vector<RankingQuery> seen;
  std::vector<std::vector<Candidate>> shown;
  const auto look = [&](const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores) {
    seen.push_back(query);
    shown.emplace_back(candidates.begin(), candidates.end());
    std::ranges::fill(scores, 0.0f);
  };
  const auto ranker = make_ranker(look);
  const HistoryView events = model.histories->of(3);
  evaluate(model, {model.histories, {{3, 12 - 1, 1}, {4, 0, 1}}}, {.exclude_seen = false, .ranker = ranker});
  const Recommender recommender = Recommender::open(model, {.ranker = ranker});
  std::vector<Id> items;
  for (const ItemHandle item : events.first(11).items) items.push_back(model.item_ids->id(item));
  recommender.recommend_history(items, {.exclude_seen = false}, events.first(11).times);
  recommender.recommend_history({}, {.exclude_seen = false});
  REQUIRE(seen.size() == 4);
  CHECK(seen[0].context.user == Id("u3"));
  for (const std::size_t i : {0u, 1u}) {
    CHECK(std::ranges::equal(seen[i].history.times, seen[i + 2].history.times));
    CHECK(seen[i].context.now == seen[i + 2].context.now);
    CHECK(seen[i].source == seen[i + 2].source);
    CHECK(seen[i].score_kind == seen[i + 2].score_kind);
    REQUIRE(shown[i].size() == shown[i + 2].size());
    for (std::size_t c = 0; c < shown[i].size(); ++c) {
      CHECK(shown[i][c].item == model.item_ids->id(shown[i + 2][c].handle));
      CHECK(shown[i][c].score == Approx(shown[i + 2][c].score));
      CHECK(shown[i][c].rank == c);
    }
  }
  CHECK(seen[0].source == Source::model);
  CHECK(seen[0].score_kind == ScoreKind::blend);
  CHECK(seen[1].source == Source::popularity);
  CHECK(seen[1].score_kind == ScoreKind::count);
}

TEST_CASE("Lists of one user are no more evidence for being many", "[training][ranker_training]") {
  const Scene scene;
  EvaluationQueries repeated = scene.parts.validation;
  repeated.queries.clear();
  for (const auto& query : scene.parts.validation.queries) repeated.queries.insert(repeated.queries.end(), 4, query);
  const RankerReport once = fit_ranker(scene.model, scene.parts.validation, kKeepSeen).report;
  const RankerReport four = fit_ranker(scene.model, repeated, kKeepSeen).report;
  CHECK(four.lists == 4 * once.lists);
  CHECK(four.ndcg_10 == Approx(once.ndcg_10));
  CHECK(four.standard_error == Approx(once.standard_error).epsilon(1e-4));
}

TEST_CASE("A ranker is kept where it gains more than two standard errors", "[training][ranker_training]") {
  const Split parts = leave_one_out(histories_of(120, 14, 60, [](std::size_t u, std::size_t i) {
    return i % 12 == 0 ? detail::mix(u) % 60 : detail::mix(u, i) % 60;  // everybody comes back once, to where he began
  }));
  const TrainedModel model = Trainer(counting_on_repeats()).fit(parts.train, parts.validation);
  std::size_t between = 0;
  for (std::size_t lists = 2; lists <= 20; ++lists) {
    RankerOptions options = kKeepSeen;
    options.max_lists = lists;
    const FittedRanker fitted = fit_ranker(model, parts.validation, options);
    const double gain = fitted.report.ndcg_10 - fitted.report.engine_ndcg_10, error = fitted.report.standard_error;
    CHECK(fitted.report.kept == (gain > 2 * error));
    CHECK(fitted.ranker.empty() != fitted.report.kept);
    between += gain > error && gain <= 2 * error;
  }
  CHECK(between > 0);
}

TEST_CASE("Of more lists than are wanted every so many is read", "[training][ranker_training]") {
  const Scene scene;
  RankerOptions options = kKeepSeen;
  options.max_lists = 75;
  const FittedRanker sampled = fit_ranker(scene.model, scene.parts.validation, options);
  EvaluationQueries chosen = scene.parts.validation;
  chosen.queries.clear();
  for (std::size_t i = 0; i < 75; ++i) {
    chosen.queries.push_back(scene.parts.validation.queries[i * scene.parts.validation.size() / 75]);
  }
  CHECK(sampled.report.lists == 75);
  CHECK(sampled.report.kept);
  CHECK(sampled.ranker.weights == fit_ranker(scene.model, chosen, kKeepSeen).ranker.weights);
}

TEST_CASE("A basket of targets is measured as evaluation measures it, and all of it is learned from",
          "[training][ranker_training]") {
  const Scene scene;
  EvaluationQueries baskets = scene.parts.validation;
  for (auto& query : baskets.queries) query = {query.user, query.history_length - 2, 3};
  const FittedRanker fitted = fit_ranker(scene.model, baskets, kKeepSeen);
  const EvaluationOptions options{.exclude_seen = false, .bootstrap = 0};
  CHECK(fitted.report.engine_ndcg_10 == Approx(evaluate(scene.model, baskets, options).ndcg_at(10)).margin(1e-12));
  TrainedModel ranked = scene.model;
  ranked.ranker = fitted.ranker;
  CHECK(evaluate(ranked, baskets, options).ndcg_at(10) > fitted.report.engine_ndcg_10 + 0.1);
}

TEST_CASE("Many queries of a user teach the same on any number of threads", "[training][ranker_training]") {
  Histories histories = regulars(40);
  for (std::size_t i = 0; i < histories.items.size(); ++i) {
    histories.times.push_back(static_cast<Timestamp>(60'000 * (i % 24)));
  }
  const Split parts = split(std::move(histories), SplitOptions::parse("temporal:0.5"));
  TrainedModel model = Trainer(counting_on_repeats()).fit(parts.train, parts.validation);
  REQUIRE(parts.test.size() > 5 * 40);
  ThreadPool pool(3);
  RankerOptions threaded = kKeepSeen;
  threaded.executor = &pool;
  const FittedRanker one = fit_ranker(model, parts.test, kKeepSeen);
  for (int run = 0; run < 5; ++run) {
    const FittedRanker three = fit_ranker(model, parts.test, threaded);
    CHECK(one.ranker.weights == three.ranker.weights);
    CHECK(one.report.ndcg_10 == three.report.ndcg_10);
    CHECK(one.report.standard_error == three.report.standard_error);
  }
}

TEST_CASE("Models and options that cannot be fitted are refused, and nothing is fitted on nothing",
          "[training][ranker_training]") {
  Scene scene(30);
  CHECK_THROWS_AS(fit_ranker(scene.model, scene.parts.validation, {.candidates = 0}), Error);
  const FittedRanker nothing = fit_ranker(scene.model, {});
  CHECK(nothing.ranker.empty());
  CHECK(nothing.report.lists == 0);
  EvaluationQueries one = scene.parts.validation;
  one.queries.resize(1);
  CHECK(fit_ranker(scene.model, one, kKeepSeen).ranker.empty());
  scene.model.encoder = nullptr;
  CHECK_THROWS_AS(fit_ranker(scene.model, scene.parts.validation), Error);
}

TEST_CASE("Training fits a ranker where it is asked to, before it calibrates", "[training][ranker_training]") {
  const Split parts = leave_one_out(regulars(150));
  TrainerConfig config = counting_on_repeats();
  Trainer plain(config);
  CHECK(plain.fit(parts.train, parts.validation).ranker.empty());
  CHECK(plain.ranker().lists == 0);
  config.rerank = true;
  config.rerank_candidates = 40;
  config.calibrate = true;
  Trainer trainer(config);
  const TrainedModel model = trainer.fit(parts.train, parts.validation);
  CHECK(trainer.ranker().kept);
  TrainedModel without = model;
  without.ranker = {};
  without.calibration = {};
  CHECK(model.ranker.weights == fit_ranker(without, parts.validation, kKeepSeen).ranker.weights);
  TrainedModel uncalibrated = model;
  uncalibrated.calibration = {};
  const Report lists = evaluate(uncalibrated, parts.validation, {.exclude_seen = false, .outcomes = 50});
  CHECK(Calibration::isotonic(lists.outcomes).scores == model.calibration.scores);
  CHECK(Trainer(config).fit(parts.train, {}).ranker.empty());
  config.rerank_candidates = 0;
  CHECK_THROWS_AS(config.validate(), Error);
}
