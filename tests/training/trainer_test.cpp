// SPDX-License-Identifier: Apache-2.0
#include "attune/training/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "catch.hpp"
#include "training/small_training.hpp"

namespace attune {

using namespace test;

namespace {

// Every user walks one cycle in steps that only the transition counts learn in one epoch.
Split learned_by_counts() {
  return leave_one_out(histories_of(60, 12, 40, [](std::size_t u, std::size_t i) { return (u + 7 * i) % 40; }));
}

TrainerConfig blending_config() {
  TrainerConfig config = small_config();
  config.epochs = 1;
  config.blend = true;
  return config;
}

bool all_finite(const TrainedModel& model) {
  const auto weights = all_weights(model);
  return std::all_of(weights.begin(), weights.end(), [](float x) { return std::isfinite(x); });
}

}  // namespace

TEST_CASE("Training learns what always comes next", "[training][trainer]") {
  const Split parts = leave_one_out(cycle(40, 14, 12));
  TrainerConfig config = small_config();
  config.encoder.score = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  config.epochs = 40;
  // In a cycle the next item has been seen before.
  config.exclude_seen = false;
  Trainer trainer(config);
  const TrainedModel model = trainer.fit(parts.train, {});
  const Report report = evaluate(model, parts.test, {.cutoffs = {1}, .exclude_seen = false, .bootstrap = 0});
  CHECK(report.hit_rate_at(1) > 0.95);
  CHECK(trainer.epochs().back().loss < 0.5 * trainer.epochs().front().loss);
  CHECK(trainer.train_seconds() > 0);
}

TEST_CASE("The same seed gives the same bits for any number of threads", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(70, 25, 30));
  TrainerConfig config = small_config();
  config.encoder.attention_dropout = 0.1;
  const auto weights_with = [&](std::size_t threads) {
    ThreadPool pool(threads);
    return all_weights(Trainer(config, &pool).fit(parts.train, parts.validation));
  };
  const auto alone = all_weights(Trainer(config).fit(parts.train, parts.validation));
  CHECK(weights_with(1) == alone);
  CHECK(weights_with(2) == alone);
  CHECK(weights_with(8) == alone);
  config.seed = 2;
  CHECK(weights_with(1) != alone);
}

TEST_CASE("A second fit starts anew", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(20, 9, 15));
  Trainer trainer(small_config());
  const auto first = all_weights(trainer.fit(parts.train, parts.validation));
  CHECK(all_weights(trainer.fit(parts.train, parts.validation)) == first);
  CHECK(trainer.epochs().size() == 3);
}

TEST_CASE("The number of slots changes nothing but rounding", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(40, 12, 20));
  TrainerConfig config = small_config();
  config.epochs = 1;
  const auto eight = all_weights(Trainer(config).fit(parts.train, {}));
  config.gradient_slots = 1;
  const auto one = all_weights(Trainer(config).fit(parts.train, {}));
  for (std::size_t i = 0; i < one.size(); ++i) {
    REQUIRE(static_cast<double>(one[i]) == Approx(static_cast<double>(eight[i])).margin(2e-3));
  }
}

TEST_CASE("The weights of the best epoch by validation are kept", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(60, 10, 40));
  TrainerConfig config = small_config();
  config.epochs = 30;
  config.patience = 4;
  config.adam.learning_rate = 0.03;
  Trainer trainer(config);
  const TrainedModel model = trainer.fit(parts.train, parts.validation);
  const auto& epochs = trainer.epochs();
  const auto best = std::max_element(epochs.begin(), epochs.end(),
                                     [](const auto& a, const auto& b) { return a.ndcg_10 < b.ndcg_10; });
  CHECK(trainer.best_epoch() == best->epoch);
  CHECK((epochs.size() == 30 || epochs.size() == best->epoch + 4));
  const Report again = evaluate(model, parts.validation, {.cutoffs = {10}, .bootstrap = 0});
  CHECK(again.ndcg_at(10) == best->ndcg_10);
  CHECK(again.hit_rate_at(10) == best->hit_rate_10);

  double so_far = -1;
  for (const EpochReport& epoch : epochs) {
    CHECK(epoch.validated);
    CHECK(epoch.best == (epoch.ndcg_10 > so_far));
    so_far = std::max(so_far, epoch.ndcg_10);
  }
}

TEST_CASE("Training stops after as many epochs as its patience without a better one", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(60, 10, 40));
  TrainerConfig config = small_config();
  config.adam.learning_rate = 1e-30;  // nothing moves: the first epoch stays the best
  config.epochs = 30;
  config.patience = GENERATE(1u, 4u);
  Trainer trainer(config);
  trainer.fit(parts.train, parts.validation);
  CHECK(trainer.epochs().size() == 1 + config.patience);
  CHECK(trainer.best_epoch() == 1);
}

TEST_CASE("Validation leaves out what was seen unless it is told not to", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(60, 10, 40));
  TrainerConfig config = small_config();
  config.epochs = 1;
  config.exclude_seen = GENERATE(true, false);
  Trainer trainer(config);
  const TrainedModel model = trainer.fit(parts.train, parts.validation);
  const auto ndcg = [&](bool exclude_seen) {
    return evaluate(model, parts.validation, {.cutoffs = {10}, .exclude_seen = exclude_seen, .bootstrap = 0})
        .ndcg_at(10);
  };
  CHECK(trainer.epochs().front().ndcg_10 == ndcg(config.exclude_seen));
  CHECK(trainer.epochs().front().ndcg_10 != ndcg(!config.exclude_seen));
}

TEST_CASE("Validation beyond its limit is an evenly spaced sample", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(60, 10, 40));
  TrainerConfig config = small_config();
  config.epochs = 1;
  config.max_validation_queries = 20;
  Trainer trainer(config);
  const TrainedModel model = trainer.fit(parts.train, parts.validation);
  const auto ndcg = [&](std::size_t first, std::size_t apart) {
    EvaluationQueries chosen{parts.validation.histories, {}};
    for (std::size_t q = first; q < parts.validation.size(); q += apart) {
      chosen.queries.push_back(parts.validation.queries[q]);
    }
    return evaluate(model, chosen, {.cutoffs = {10}, .bootstrap = 0}).ndcg_at(10);
  };
  REQUIRE(parts.validation.size() == 60);
  const double validated = trainer.epochs().front().ndcg_10;
  CHECK(validated == ndcg(0, 3));
  CHECK(validated != ndcg(0, 1));
  CHECK(validated != ndcg(0, 60));   // the first query alone
  CHECK(validated != ndcg(59, 60));  // the last
}

TEST_CASE("A trainer adapts its configuration where it is told to", "[training][trainer]") {
  const Histories train = scattered(40, 10, 20);
  TrainerConfig config = small_config();
  config.epochs = 1;
  config.batch_sequences = 128;
  config.adapt = GENERATE(true, false);
  std::size_t steps = 0;
  const TrainedModel model =
      Trainer(config).fit(train, {}, {.step = [&](const StepReport& report) { return steps = report.steps, true; }});
  CHECK(model.encoder->config().dropout == (config.adapt ? 0.5 : 0.1));
  CHECK(steps == (config.adapt ? 3 : 1));  // 16 sequences each
}

TEST_CASE("Without validation queries the last epoch is the result", "[training][trainer]") {
  const Histories histories = cycle(10, 8, 6);
  Trainer trainer(small_config());
  const TrainedModel model = trainer.fit(histories, {});
  CHECK(trainer.best_epoch() == 3);
  CHECK(!trainer.epochs().back().validated);
  REQUIRE(model.histories);
  CHECK(model.histories->items == histories.items);
}

TEST_CASE("A trained model carries its counts, its ids and every event it was given", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(20, 9, 15));
  const TrainedModel model = Trainer(small_config()).fit(parts.train, parts.validation);
  CHECK(model.item_ids == parts.train.item_ids);
  CHECK(model.histories == parts.all);
  CHECK(model.blend_weight == 0);
  const auto counts = model.popularity->counts();
  CHECK(std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}) == parts.train.num_events());
  CHECK(model.counts->num_items() == 15);
}

TEST_CASE("Items that were never trained are never recommended", "[training][trainer]") {
  Histories histories = histories_of(20, 6, 11, [](std::size_t u, std::size_t i) { return (u + i) % 7; });
  const auto add_user = [&](const std::vector<ItemHandle>& items) {
    histories.items.insert(histories.items.end(), items.begin(), items.end());
    histories.offsets.push_back(histories.items.size());
  };
  add_user({8});         // one event is no sequence
  add_user({10, 1, 2});  // the oldest event of a sequence is read
  std::vector<ItemHandle> long_history(small_config().encoder.max_sequence_length + 2, 3);
  long_history.front() = 9;  // older than the newest window and its target
  add_user(long_history);
  histories.kinds.assign(histories.items.size(), 0);
  histories.values.assign(histories.items.size(), 1.0f);

  const TrainedModel model = Trainer(small_config()).fit(histories, {});
  CHECK(model.popularity->counts()[8] == 1);
  CHECK(model.popularity->counts()[9] == 1);
  std::vector<float> scores(11);
  const std::vector<ItemHandle> history{1, 2};
  ModelUnderTest(model).session()({history}, {}, scores);
  for (std::size_t item = 0; item < 11; ++item) {
    INFO(item);
    const bool trained = item < 7 || item == 10;
    const auto row = model.encoder->items().row(item);
    CHECK(std::any_of(row.begin(), row.end(), [](float x) { return x != 0.0f; }) == trained);
    CHECK((scores[item] > -std::numeric_limits<float>::infinity()) == trained);
  }
}

TEST_CASE("A callback can stop training", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(40, 10, 20));
  Trainer trainer(small_config());
  SECTION("after an epoch: the best one so far is the result") {
    const TrainedModel model =
        trainer.fit(parts.train, parts.validation, {.epoch = [](const EpochReport& r) { return r.epoch < 2; }});
    CHECK(trainer.epochs().size() == 2);
    CHECK(model.encoder);
  }
  SECTION("within an epoch: that epoch is dropped") {
    const TrainedModel model =
        trainer.fit(parts.train, parts.validation, {.step = [](const StepReport& r) { return r.epoch < 2; }});
    CHECK(trainer.epochs().size() == 1);
    CHECK(trainer.best_epoch() == 1);
    CHECK(model.encoder);
  }
  SECTION("before the first epoch ended: there is no result") {
    std::vector<StepReport> steps;
    const auto stop = [&](const StepReport& report) {
      steps.push_back(report);
      return steps.size() < 2;
    };
    CHECK(code_of([&] { trainer.fit(parts.train, parts.validation, {.step = stop}); }) == ErrorCode::cancelled);
    CHECK(steps.back().step == 2);
    CHECK(steps.back().steps == 3);
  }
}

TEST_CASE("Degenerate data trains to finite weights or a clear error (UR-25)", "[training][trainer]") {
  const TrainerConfig config = small_config();
  const auto fit = [&](const Histories& histories) { return Trainer(config).fit(histories, {}); };
  SECTION("one user") { CHECK(all_finite(fit(cycle(1, 5, 3)))); }
  SECTION("one item") { CHECK(all_finite(fit(cycle(8, 5, 1)))); }
  SECTION("two events in all") { CHECK(all_finite(fit(cycle(1, 2, 2)))); }
  SECTION("fewer items than dimensions, all histories equal") {
    CHECK(all_finite(fit(histories_of(30, 6, 3, [](std::size_t, std::size_t i) { return i % 3; }))));
  }
  SECTION("users with one event beside others") {
    Histories histories = cycle(5, 4, 6);
    for (ItemHandle item = 0; item < 3; ++item) {
      histories.items.push_back(item);
      histories.offsets.push_back(histories.items.size());
    }
    CHECK(all_finite(fit(histories)));
  }
  SECTION("no user with two events") {
    CHECK(code_of([&] { fit(cycle(5, 1, 4)); }) == ErrorCode::invalid_data);
    CHECK(code_of([&] { fit(Histories{}); }) == ErrorCode::invalid_data);
  }
}

TEST_CASE("A time budget ends training where the next epoch would not fit", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(40, 10, 20));
  TrainerConfig config = small_config();
  config.epochs = 50;
  config.patience = 50;
  config.time_budget_seconds = 1e-9;
  Trainer short_of_time(config);
  short_of_time.fit(parts.train, parts.validation);
  CHECK(short_of_time.epochs().size() == 1);

  config.epochs = 5;
  config.time_budget_seconds = 1e6;
  Trainer with_time(config);
  with_time.fit(parts.train, parts.validation);
  CHECK(with_time.epochs().size() == 5);
}

TEST_CASE("The window shrinks to the longest sequence there is to learn from", "[training][trainer]") {
  const TrainedModel model = Trainer(small_config()).fit(cycle(5, 7, 4), {});
  CHECK(model.encoder->config().max_sequence_length == 6);
}

TEST_CASE("A trained model carries its hop", "[training][trainer]") {
  TrainerConfig config = small_config();
  config.epochs = 1;
  const auto hop_for = [&](std::size_t hop) {
    config.encoder.hop = hop;
    return Trainer(config).fit(cycle(5, 13, 4), {}).encoder->config().hop;  // a window of 12
  };
  CHECK(hop_for(0) == 3);
  CHECK(hop_for(5) == 5);
  CHECK(hop_for(20) == 12);
}

TEST_CASE("Scores do not depend on how a history is reached", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(30, 40, 25));
  const TrainedModel model = Trainer(small_config()).fit(parts.train, parts.validation);
  const ModelUnderTest under_test(model);
  const auto grown = under_test.session();
  for (std::size_t n = 1; n <= 40; ++n) {
    std::vector<float> appended(25), fresh(25);
    grown(parts.all->of(3).first(n), {}, appended);
    under_test.session()(parts.all->of(3).first(n), {}, fresh);
    for (std::size_t i = 0; i < 25; ++i) {
      REQUIRE(static_cast<double>(appended[i]) == Approx(static_cast<double>(fresh[i])).margin(1e-5));
    }
  }
}

TEST_CASE("Scores do not depend on which users a session has met", "[training][trainer]") {
  // All histories begin with the same events.
  const Split parts = leave_one_out(histories_of(
      12, 40, 25, [](std::size_t u, std::size_t i) { return detail::mix(i < 2 + 3 * u ? 0 : u, i) % 25; }));
  const TrainedModel model = Trainer(small_config()).fit(parts.train, parts.validation);
  const ModelUnderTest under_test(model);
  const auto session = under_test.session();
  std::vector<float> shared(25), fresh(25);
  std::size_t different = 0;
  for (const std::size_t length : {3u, 9u, 15u, 30u}) {
    for (std::size_t user = 0; user < 12; ++user) {
      const HistoryView history = parts.all->of(user).first(length + user % 3);
      session(history, {}, shared);
      under_test.session()(history, {}, fresh);
      different += shared != fresh;
    }
  }
  CHECK(different == 0);

  // Another history in the same memory.
  std::vector<ItemHandle> memory(parts.all->of(3).items.begin(), parts.all->of(3).items.end());
  session({memory}, {}, shared);
  std::reverse(memory.begin(), memory.end());
  session({memory}, {}, shared);
  under_test.session()({memory}, {}, fresh);
  CHECK(shared == fresh);
}

TEST_CASE("A blend adds the weighted logarithm of the transition share to the logit", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(30, 12, 25));
  TrainedModel model = Trainer(small_config()).fit(parts.train, parts.validation);
  const HistoryView history = parts.all->of(4);
  std::vector<float> cosine(25), blend(25), share(25);
  ModelUnderTest(model).session()(history, {}, cosine);
  ModelUnderTest(*model.counts).session()(history, {}, share);
  model.blend_weight = 0.5;
  ModelUnderTest(model).session()(history, {}, blend);
  for (std::size_t i = 0; i < 25; ++i) {
    if (!std::isfinite(cosine[i])) continue;
    const double expected = 20.0 * static_cast<double>(cosine[i]) + 0.5 * std::log(static_cast<double>(share[i]));
    CHECK(static_cast<double>(blend[i]) == Approx(expected).epsilon(1e-5));
  }
}

TEST_CASE("The weight of a blend is chosen on validation", "[training][trainer]") {
  const Split parts = learned_by_counts();
  Trainer trainer(blending_config());
  std::vector<BlendReport> tried;
  const auto note = [&](const BlendReport& report) { return tried.push_back(report), true; };
  TrainedModel model = trainer.fit(parts.train, parts.validation, {.blend = note});
  const auto ndcg_at_weight = [&](double weight) {
    model.blend_weight = weight;
    return evaluate(model, parts.validation, {.cutoffs = {10}, .bootstrap = 0}).ndcg_at(10);
  };
  const double chosen = model.blend_weight;
  REQUIRE(chosen > 0);
  CHECK(ndcg_at_weight(chosen) > ndcg_at_weight(0));
  CHECK(ndcg_at_weight(0) == trainer.epochs().front().ndcg_10);
  REQUIRE(tried.size() == 8);
  for (const BlendReport& report : tried) CHECK(report.ndcg_10 == ndcg_at_weight(report.weight));

  // The nearest to 1 that is not worse than the best by more than the noise of these queries.
  const auto users_at_weight = [&](double weight) {
    model.blend_weight = weight;
    return evaluate(model, parts.validation, {.cutoffs = {10}, .bootstrap = 0, .keep_user_sums = true}).user_sums;
  };
  const auto best = std::ranges::max_element(tried, {}, &BlendReport::ndcg_10);
  const auto errors_behind = [&](double weight) {
    const auto paired =
        paired_bootstrap(users_at_weight(best->weight), users_at_weight(weight), {.metrics = {"ndcg@10"}});
    const auto& [low, high] = paired.at("ndcg@10").interval;
    return high > low ? paired.at("ndcg@10").difference / ((high - low) / 3.92) : 0.0;
  };
  CHECK(errors_behind(chosen) < 1.2);
  for (const BlendReport& other : tried) {
    if (std::abs(other.weight - 1) < std::abs(chosen - 1)) CHECK(errors_behind(other.weight) > 0.8);
  }

  CHECK(Trainer(blending_config()).fit(parts.train, {}).blend_weight == 0);
}

TEST_CASE("A blend takes the counts that do more in validation", "[training][trainer]") {
  // Each user goes along a shelf of 31 items in steps of his own: what stands next to what says little, the whole
  // history all.
  const Split shelves = leave_one_out(histories_of(
      150, 28, 248, [](std::size_t u, std::size_t i) { return 31 * (u % 8) + (u + (1 + u / 8) * i) % 31; }));
  TrainerConfig config = blending_config();
  config.compare_counts = true;
  config.markov.steps = 1;
  config.markov.history = 1;
  config.refit = true;
  std::map<std::string, std::size_t> tried;
  const auto note = [&](const BlendReport& report) { return ++tried[report.counts], true; };
  const TrainedModel model = Trainer(config).fit(shelves.train, shelves.validation, {.blend = note});
  CHECK(tried == std::map<std::string, std::size_t>{{"markov", 8}, {"item-knn", 8}});
  CHECK(model.counts->name() == "item-knn");
  CHECK(model.blend_weight > 0);
  CHECK(model.notes.at("trainer").find("\"counts\":\"item-knn\"") != std::string::npos);

  const Split walks = learned_by_counts();  // whose order says all
  CHECK(Trainer(config).fit(walks.train, walks.validation).counts->name() == "markov");
  const auto stop = [](const BlendReport& report) { return report.counts == "markov"; };
  CHECK(Trainer(config).fit(shelves.train, shelves.validation, {.blend = stop}).counts->name() == "markov");
  config.counts = CountKind::item_knn;
  tried.clear();
  Trainer(config).fit(shelves.train, shelves.validation, {.blend = note});
  CHECK(tried == std::map<std::string, std::size_t>{{"item-knn", 8}});
}

TEST_CASE("A blend tries what users had before where it may be answered", "[training][trainer]") {
  // Everybody has five goods of his own, in an order that nobody knows.
  const Split baskets = leave_one_out(
      histories_of(60, 40, 300, [](std::size_t u, std::size_t i) { return (5 * u + detail::mix(u, i) % 5) % 300; }));
  TrainerConfig config = blending_config();
  config.compare_counts = true;
  config.exclude_seen = false;
  config.markov.history = 1;
  config.item_knn.neighbours = 1;
  std::map<std::string, std::size_t> tried;
  const auto note = [&](const BlendReport& report) { return ++tried[report.counts], true; };
  const TrainedModel model = Trainer(config).fit(baskets.train, baskets.validation, {.blend = note});
  CHECK(tried == std::map<std::string, std::size_t>{{"markov", 8}, {"item-knn", 8}, {"repeat", 8}});
  CHECK(model.counts->name() == "repeat");
  CHECK(model.blend_weight > 0);
}

TEST_CASE("A refit learns from the validation part too, for as many epochs as were the best", "[training][trainer]") {
  // The last training event of each user, whom validation alone takes to one more item.
  const Split parts = leave_one_out(
      histories_of(40, 14, 21, [](std::size_t u, std::size_t i) { return i == 12 ? 20 : detail::mix(u / 2, i) % 20; }));
  TrainerConfig config = blending_config();
  config.epochs = 4;
  config.calibrate = true;
  Trainer chosen_by_validation(config);
  const TrainedModel before = chosen_by_validation.fit(parts.train, parts.validation);
  CHECK_FALSE(chosen_by_validation.refitted());
  config.refit = true;
  Trainer trainer(config);
  std::vector<EpochReport> refit;
  std::size_t steps_of_refit = 0;
  const Progress progress{.step = [&](const StepReport& report) { return steps_of_refit += report.refit, true; },
                          .refit = [&](const EpochReport& report) { return refit.push_back(report), true; }};
  const TrainedModel model = trainer.fit(parts.train, parts.validation, progress);
  CHECK(trainer.refitted());
  CHECK(trainer.best_epoch() == chosen_by_validation.best_epoch());
  CHECK(trainer.epochs().size() == chosen_by_validation.epochs().size());
  REQUIRE(refit.size() == trainer.best_epoch());
  CHECK(refit.back().epochs == trainer.best_epoch());
  CHECK(steps_of_refit == 3 * trainer.best_epoch());

  // What validation chose stays.
  CHECK(model.blend_weight == before.blend_weight);
  CHECK(model.calibration.scores == before.calibration.scores);
  // The same as training on all of it from the first, for so long.
  const Histories both = with_targets(parts.train, parts.validation);
  const auto for_so_long = [&](const EpochReport& report) { return report.epoch < trainer.best_epoch(); };
  const TrainedModel expected = Trainer(config).fit(both, {}, {.epoch = for_so_long});
  CHECK(all_weights(model) == all_weights(expected));
  CHECK(std::ranges::equal(model.popularity->counts(), expected.popularity->counts()));
  CHECK(model.counts->name() == expected.counts->name());
  const auto knows_the_last = [](const TrainedModel& of) {
    return std::ranges::any_of(of.encoder->items().row(20), [](float x) { return x != 0.0f; });
  };
  CHECK_FALSE(knows_the_last(before));
  CHECK(knows_the_last(model));
}

TEST_CASE("A refit needs validation queries, time and nobody who says stop", "[training][trainer]") {
  const Split parts = learned_by_counts();
  TrainerConfig config = blending_config();
  config.refit = true;
  Trainer trainer(config);
  const auto weights = [&](const EvaluationQueries& queries, const Progress& progress = {}) {
    return all_weights(trainer.fit(parts.train, queries, progress));
  };
  TrainerConfig without = config;
  without.refit = false;
  const std::vector<float> chosen = all_weights(Trainer(without).fit(parts.train, parts.validation));
  SECTION("none to choose by: all that is given has been learned") {
    CHECK(weights({}) == chosen);
    CHECK_FALSE(trainer.refitted());
  }
  SECTION("stopped before it") {
    CHECK(weights(parts.validation, {.blend = [](const BlendReport&) { return false; }}) == chosen);
    CHECK_FALSE(trainer.refitted());
  }
  SECTION("stopped after one of its epochs") {
    CHECK(weights(parts.validation, {.refit = [](const EpochReport&) { return false; }}) == chosen);
    CHECK_FALSE(trainer.refitted());
  }
  SECTION("stopped within one of its epochs") {
    CHECK(weights(parts.validation, {.step = [](const StepReport& report) { return !report.refit; }}) == chosen);
    CHECK_FALSE(trainer.refitted());
  }
  SECTION("no time left") {
    config.time_budget_seconds = 1e-9;
    trainer = Trainer(config);
    CHECK(weights(parts.validation) == chosen);
    CHECK_FALSE(trainer.refitted());
  }
}

TEST_CASE("A refit is refused before the first epoch where validation does not go on from training",
          "[training][trainer]") {
  const Split parts = learned_by_counts();
  TrainerConfig config = blending_config();
  config.refit = true;
  auto other = std::make_shared<Histories>(*parts.all);
  std::swap(other->items[0], other->items[1]);
  std::size_t epochs = 0;
  const Progress progress{.epoch = [&](const EpochReport&) { return ++epochs, true; }};
  const EvaluationQueries queries{other, parts.validation.queries};
  CHECK(code_of([&] { Trainer(config).fit(parts.train, queries, progress); }) == ErrorCode::invalid_data);
  CHECK(epochs == 0);
}

TEST_CASE("Count presets learn from the validation part too", "[training][trainer]") {
  const Split parts = learned_by_counts();
  TrainerConfig config = TrainerConfig::preset("markov");
  Trainer trainer(config);
  const TrainedModel model = trainer.fit(parts.train, parts.validation);
  CHECK(trainer.refitted());
  CHECK(std::ranges::equal(model.popularity->counts(),
                           PopularityModel::fit(with_targets(parts.train, parts.validation)).counts()));
}

TEST_CASE("Scores are calibrated on validation, and measured on the test part", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(200, 14, 25));
  TrainerConfig config = blending_config();
  CHECK(Trainer(config).fit(parts.train, parts.validation).calibration.empty());
  config.calibrate = true;
  const TrainedModel model = Trainer(config).fit(parts.train, parts.validation);
  REQUIRE_FALSE(model.calibration.empty());
  CHECK_NOTHROW(model.calibration.validate());
  CHECK(model.calibration.probabilities.back() > 2 * model.calibration.probabilities.front());
  const Report test = evaluate(model, parts.test);
  CHECK(test.at("ece@10") < 0.05);
  CHECK(test.outcomes.empty());
  TrainedModel overconfident = model;
  for (float& probability : overconfident.calibration.probabilities) probability = std::min(1.0f, 3 * probability);
  CHECK(evaluate(overconfident, parts.test).at("ece@10") > 2 * test.at("ece@10"));
  // Of the blend that answers, not of the encoder alone.
  const Report validation = evaluate(model, parts.validation, {.outcomes = 50});
  CHECK(Calibration::isotonic(validation.outcomes).scores == model.calibration.scores);
  CHECK(Trainer(config).fit(parts.train, {}).calibration.empty());
}

TEST_CASE("Queries that the encoder cannot answer calibrate nothing", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(60, 14, 25));
  TrainerConfig config = blending_config();
  config.calibrate = true;
  const TrainedModel model = Trainer(config).fit(parts.train, parts.validation);
  EvaluationQueries with_cold = parts.validation;
  with_cold.queries.insert(with_cold.queries.begin(), EvaluationQueries::Query{0, 0, 1});  // no history
  CHECK(evaluate(model, with_cold, {.outcomes = 50}).outcomes.size() ==
        evaluate(model, parts.validation, {.outcomes = 50}).outcomes.size());
  CHECK(Trainer(config).fit(parts.train, with_cold).calibration.scores == model.calibration.scores);
}

TEST_CASE("A blend is weighed only while there is time and nobody says stop", "[training][trainer]") {
  const Split parts = learned_by_counts();
  TrainerConfig config = blending_config();
  std::size_t tried = 0, allowed = 100;
  Progress progress{.blend = [&](const BlendReport&) { return ++tried < allowed; }};
  const auto weight = [&] { return Trainer(config).fit(parts.train, parts.validation, progress).blend_weight; };
  SECTION("the best weight so far is the result") {
    allowed = 2;
    CHECK(weight() == 0.25);
    CHECK(tried == 2);
  }
  SECTION("training that was stopped tries no weight") {
    progress.epoch = [](const EpochReport&) { return false; };
    CHECK(weight() == 0);
    CHECK(tried == 0);
  }
  SECTION("nor does training that was stopped within an epoch") {
    config.epochs = 2;
    progress.step = [](const StepReport& report) { return report.epoch < 2; };
    CHECK(weight() == 0);
    CHECK(tried == 0);
  }
  SECTION("no weight is tried without time") {
    config.time_budget_seconds = 1e-9;
    CHECK(weight() == 0);
    CHECK(tried == 0);
  }
}

TEST_CASE("A history the encoder cannot read is scored by the counts", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(30, 12, 25));
  const TrainedModel model = Trainer(small_config()).fit(parts.train, parts.validation);
  std::vector<float> scores(25), counts(25);
  ModelUnderTest(model).session()({}, {}, scores);
  ModelUnderTest(*model.counts).session()({}, {}, counts);
  CHECK(scores == counts);
}

TEST_CASE("An item that was never trained says nothing to the encoder", "[training][trainer]") {
  // Item 9 occurs only before the newest window, always in front of 5; nothing has item 10.
  const Histories histories = histories_of(30, 30, 11, [](std::size_t u, std::size_t i) {
    return i == 2 ? 9 : i == 3 ? 5 : (u + i) % 8;
  });
  TrainerConfig config = small_config();
  config.encoder.max_sequence_length = 12;
  const TrainedModel model = Trainer(config).fit(histories, {});
  REQUIRE(model.encoder->knows(5));
  std::vector<float> scores(11), expected(11);
  for (const ItemHandle untrained : {9u, 10u}) {
    CHECK_FALSE(model.encoder->knows(untrained));
    ModelUnderTest(model).session()({.items = {&untrained, 1}}, {}, scores);
    ModelUnderTest(*model.counts).session()({.items = {&untrained, 1}}, {}, expected);
    CHECK(scores == expected);
  }
  const std::vector<ItemHandle> with{3, 9, 4, 10}, without{3, 4};
  ModelUnderTest(model).session()({.items = with}, {}, scores);
  ModelUnderTest(model).session()({.items = without}, {}, expected);
  CHECK(scores == expected);
}

TEST_CASE("Queries with other handles are translated by id", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(30, 12, 25));
  const TrainedModel model = Trainer(small_config()).fit(parts.train, parts.validation);
  EvaluationQueries queries = parts.test;
  auto reversed = std::make_shared<Histories>(*queries.histories);
  auto ids = std::make_shared<IdMap>(IdKind::int64);
  for (int i = 25; i-- > 0;) ids->insert(i);
  for (ItemHandle& item : reversed->items) item = 24 - item;
  reversed->item_ids = ids;
  queries.histories = reversed;
  const EvaluationOptions options{.bootstrap = 0};
  CHECK(evaluate(model, queries, options).metrics == evaluate(model, parts.test, options).metrics);
}

TEST_CASE("Queries without item ids are refused", "[training][trainer]") {
  const Split parts = leave_one_out(scattered(30, 12, 25));
  const TrainedModel model = Trainer(small_config()).fit(parts.train, parts.validation);
  EvaluationQueries queries = parts.test;
  auto nameless = std::make_shared<Histories>(*queries.histories);
  nameless->item_ids = nullptr;
  queries.histories = nameless;
  std::string message;
  CHECK(code_of([&] { evaluate(model, queries); }, &message) == ErrorCode::invalid_argument);
  CHECK(message == "queries: expected histories with item ids, found none");
}

}  // namespace attune
