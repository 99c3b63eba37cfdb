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
  EvaluationOptions options{.exclude_seen = false, .bootstrap = 0, .candidates = 40};
  options.rerank = [&](HistoryView history, const Context&, std::span<const ScoredHandle> best, std::span<float>) {
    Workspace workspace;
    const auto request = reader.read(history, kNoTime, true, workspace);
    const ItemHandle target = queries.targets(queries.queries[asked++]).front();
    List list{std::vector<Features>(best.size()), best.size()};
    for (std::size_t i = 0; i < best.size(); ++i) {
      reader.fill(list.candidates[i], request, best[i].item, best[i].score);
      if (best[i].item == target) list.target = i;
    }
    if (list.target < best.size()) lists.push_back(list);
  };
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
  CHECK(best < loss({40, std::vector<float>(LearnedRanker::kNumFeatures, 0.0f)}) - 0.5);
  for (std::size_t f = 0; f < ranker.weights.size(); ++f) {
    for (const float step : {-0.1f, 0.1f}) {
      LearnedRanker other = ranker;
      other.weights[f] += step * std::max(1.0f, std::abs(ranker.weights[f]));
      INFO(LearnedRanker::feature_names()[f]);
      CHECK(loss(other) >= best);
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
