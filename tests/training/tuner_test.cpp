// SPDX-License-Identifier: Apache-2.0
#include "attune/training/tuner.hpp"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "attune/executor.hpp"
#include "catch.hpp"
#include "temporary_directory.hpp"
#include "training/small_training.hpp"
#include "training/successive_halving.hpp"

using namespace attune;
using attune::detail::Halving;
using attune::detail::outlook_of;
using attune::detail::rungs_of;
using attune::test::code_of;
using attune::test::leave_one_out;
using attune::test::small_config;
using attune::test::TemporaryDirectory;
namespace fs = std::filesystem;

namespace {

const std::string kSpace = R"({"adam": {"learning_rate": {"log_uniform": [1e-4, 3e-2]}},
  "encoder": {"dropout": {"uniform": [0.0, 0.6]}, "embedding_dim": {"choice": [4, 8, 16]}, "inner_dim": 16}})";

TrainerConfig base_config() {
  TrainerConfig config = small_config();
  config.epochs = 9;
  config.blend = true;
  return config;
}

Split small_split() { return leave_one_out(test::scattered(60, 14, 30)); }

Tuner tuner_in(const fs::path& directory, TunerOptions options = {}, const std::string& space = kSpace,
               const TrainerConfig& config = base_config(), Executor* executor = nullptr) {
  options.directory = directory.string();
  if (options.trials == TunerOptions{}.trials) options.trials = 9;
  return Tuner(config, SearchSpace::from_json(space, "space.json"), options, executor);
}

// All that two searches must agree on: everything but seconds.
nlohmann::json results_of(const TuningResult& result) {
  nlohmann::json json{{"best", result.best}, {"config", result.config.to_json()}, {"complete", result.complete}};
  for (const TrialReport& trial : result.trials) {
    nlohmann::json curve = nlohmann::json::array();
    for (const EpochReport& epoch : trial.epochs) {
      curve.push_back({epoch.epoch, epoch.epochs, epoch.loss, epoch.hit_rate_10, epoch.ndcg_10, epoch.best});
    }
    json["trials"].push_back({{"trial", trial.trial},
                              {"values", trial.values},
                              {"rungs", trial.rungs},
                              {"best_epoch", trial.best_epoch},
                              {"ndcg_10", trial.ndcg_10},
                              {"hit_rate_10", trial.hit_rate_10},
                              {"ended", trial.ended},
                              {"problem", trial.problem},
                              {"epochs", curve}});
  }
  return json;
}

std::set<std::string> names_in(const fs::path& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) names.insert(entry.path().filename().string());
  return names;
}

// Reports of trials whose NDCG@10 is what is given, at every epoch of the rungs they have reached.
TrialReport trial_with(std::size_t number, double ndcg, std::size_t rungs, const Halving& halving) {
  TrialReport trial{.trial = number, .rungs = rungs, .ndcg_10 = ndcg};
  for (std::size_t e = 1; e <= halving.rungs[rungs - 1]; ++e) {
    trial.epochs.push_back({.epoch = e, .validated = true, .ndcg_10 = ndcg});
  }
  return trial;
}

std::vector<std::pair<std::size_t, std::size_t>> pairs_of(const std::vector<detail::Step>& steps) {
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  for (const auto& step : steps) pairs.emplace_back(step.trial, step.rung);
  return pairs;
}

using Pairs = std::vector<std::pair<std::size_t, std::size_t>>;

}  // namespace

TEST_CASE("Rungs are shares of all epochs, down to the first", "[tuner]") {
  using Rungs = std::vector<std::size_t>;
  CHECK(rungs_of(40, 3, 4) == Rungs{5, 14, 40});
  CHECK(rungs_of(81, 3, 1) == Rungs{1, 3, 9, 27, 81});
  CHECK(rungs_of(40, 2, 10) == Rungs{10, 20, 40});
  CHECK(rungs_of(3, 3, 0) == Rungs{1, 3});
  CHECK(rungs_of(1, 3, 0) == Rungs{1});
  CHECK(rungs_of(7, 4, 7) == Rungs{7});
}

TEST_CASE("One trial in eta goes on, the most advanced first, and at least one in the end", "[tuner]") {
  const Halving halving{{1, 3, 9}, 3, 4};
  std::vector<TrialReport> begun;
  const auto next = [&] { return pairs_of(outlook_of(begun, halving).steps); };
  CHECK(next() == Pairs{{0, 0}});
  begun.push_back(trial_with(1, 0.2, 1, halving));
  begun.push_back(trial_with(2, 0.3, 1, halving));
  CHECK(next() == Pairs{{2, 0}});
  begun.push_back(trial_with(3, 0.3, 1, halving));
  CHECK(next() == Pairs{{1, 1}, {3, 0}});  // the earlier one of two that are equally good
  begun[1] = trial_with(2, 0.3, 2, halving);
  CHECK(next() == Pairs{{3, 0}});
  begun.push_back(trial_with(4, 0.9, 1, halving));
  CHECK(next() == Pairs{{1, 2}, {3, 1}});  // none is left to begin: the best at every rung goes on
  begun[3] = trial_with(4, 0.9, 2, halving);
  CHECK(next() == Pairs{{3, 2}});
  begun[3] = trial_with(4, 0.9, 3, halving);
  CHECK(next().empty());
}

TEST_CASE("A trial with a problem counts among those at its rung and never goes on", "[tuner]") {
  const Halving halving{{1, 3}, 3, 3};
  std::vector<TrialReport> begun;
  for (std::size_t n = 1; n <= 3; ++n) begun.push_back(trial_with(n, 0.1 * static_cast<double>(n), 1, halving));
  begun[2].problem = "diverged";
  CHECK(pairs_of(outlook_of(begun, halving).steps) == Pairs{{1, 1}});
  for (TrialReport& trial : begun) trial.problem = "diverged";
  CHECK(outlook_of(begun, halving).steps.empty());
}

TEST_CASE("A state is kept as long as its trial may go on", "[tuner]") {
  const Halving halving{{1, 3}, 3, 6};
  std::vector<TrialReport> begun;
  for (std::size_t n = 1; n <= 3; ++n) begun.push_back(trial_with(n, 0.1 * static_cast<double>(n), 1, halving));
  const auto kept = [&] { return outlook_of(begun, halving).may_go_on; };
  CHECK(kept() == std::vector<bool>{false, true, true});
  begun[2] = trial_with(3, 0.3, 2, halving);
  CHECK(kept() == std::vector<bool>{false, true, false});
  begun[1].ended = true;
  CHECK(kept() == std::vector<bool>{false, false, false});
}

TEST_CASE("No state is kept once nothing is left to do", "[tuner]") {
  const Halving halving{{1, 3, 9}, 2, 4};
  std::vector<TrialReport> begun;
  for (std::size_t n = 1; n <= 4; ++n) begun.push_back(trial_with(n, 0.1 * static_cast<double>(n), 1, halving));
  CHECK(outlook_of(begun, halving).may_go_on == std::vector<bool>{false, false, true, true});
  begun[2] = trial_with(3, 0.3, 2, halving);
  begun[3] = trial_with(4, 0.4, 2, halving);
  CHECK(outlook_of(begun, halving).may_go_on == std::vector<bool>{false, false, true, true});
  begun[3] = trial_with(4, 0.4, 3, halving);
  const auto outlook = outlook_of(begun, halving);
  CHECK(outlook.steps.empty());
  CHECK(outlook.may_go_on == std::vector<bool>(4, false));
}

TEST_CASE("A search tries different configurations and trains a share of them to the end", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  Tuner tuner = tuner_in(directory / "search");
  CHECK(tuner.rungs() == std::vector<std::size_t>{1, 3, 9});
  std::vector<std::size_t> order;
  const TuningResult result = tuner.search(split.train, split.validation, {.rung = [&](const TrialReport& trial) {
                                             order.push_back(trial.trial);
                                             return true;
                                           }});
  CHECK(result.complete);
  REQUIRE(result.trials.size() == 9);
  std::set<std::vector<std::string>> values;
  std::size_t full = 0, rungs = 0;
  for (const TrialReport& trial : result.trials) {
    values.insert(trial.values);
    rungs += trial.rungs;
    REQUIRE(trial.epochs.size() == tuner.rungs()[trial.rungs - 1]);
    full += trial.rungs == 3;
    CHECK(trial.ended == (trial.rungs == 3));
    CHECK(trial.ndcg_10 <= result.trials[result.best].ndcg_10);
    CHECK(trial.ndcg_10 == trial.epochs[trial.best_epoch - 1].ndcg_10);
    CHECK(trial.seconds > 0);
  }
  CHECK(values.size() == 9);
  CHECK(full >= 1);
  CHECK(full <= 3);
  CHECK(order.size() == rungs);
  CHECK(std::vector<std::size_t>(order.begin(), order.begin() + 3) == std::vector<std::size_t>{1, 2, 3});
  CHECK(result.config.blend);
  CHECK(result.config.encoder.inner_dim == 16);
  CHECK(names_in(directory / "search") == std::set<std::string>{"search.jsonl"});
}

TEST_CASE("A trial that goes on has the epochs of one that was never stopped", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  Tuner tuner = tuner_in(directory / "search");
  const TuningResult result = tuner.search(split.train, split.validation);
  const TrialReport& best = result.trials[result.best];
  TrainerConfig config = result.config;
  config.blend = false;
  Trainer trainer{config};
  trainer.fit(split.train, split.validation);
  REQUIRE(trainer.epochs().size() >= best.epochs.size());
  for (std::size_t i = 0; i < best.epochs.size(); ++i) {
    CHECK(best.epochs[i].loss == trainer.epochs()[i].loss);
    CHECK(best.epochs[i].ndcg_10 == trainer.epochs()[i].ndcg_10);
  }
}

TEST_CASE("A search that is stopped anywhere ends as one that was not", "[tuner][slow]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  const auto expected = results_of(tuner_in(directory / "whole").search(split.train, split.validation));
  std::size_t parts = 0;
  for (const std::size_t epochs_at_once : {std::size_t{1}, std::size_t{2}, std::size_t{7}}) {
    const fs::path search = directory / ("in-parts-" + std::to_string(epochs_at_once));
    ThreadPool threads(2);
    for (bool complete = false; !complete; ++parts) {
      REQUIRE(parts < 200);
      std::size_t steps = 0;
      const std::size_t most = 4 * epochs_at_once + 3;  // of the four steps of an epoch: stops within one
      Tuner tuner = tuner_in(search, {.resume = true}, kSpace, base_config(), parts % 2 == 0 ? &threads : nullptr);
      try {
        const TuningResult result = tuner.search(
            split.train, split.validation, {.step = [&](std::size_t, const StepReport&) { return ++steps < most; }});
        complete = result.complete;
        if (complete) CHECK(results_of(result) == expected);
      } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::cancelled);
        CHECK(std::string(error.what()).find("before a trial reached its first rung") != std::string::npos);
      }
    }
  }
  CHECK(parts > 20);
}

TEST_CASE("A search resumes from any prefix of its journal, a torn line included", "[tuner][slow]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  const auto expected = results_of(tuner_in(directory / "search").search(split.train, split.validation));
  const fs::path journal = directory / "search" / "search.jsonl";
  const std::string whole = test::read_text(journal);
  const std::size_t lines = static_cast<std::size_t>(std::count(whole.begin(), whole.end(), '\n'));
  for (std::size_t line = 0; line < lines; line += 3) {
    std::size_t end = 0;
    for (std::size_t i = 0; i < line; ++i) end = whole.find('\n', end) + 1;
    for (const std::size_t torn : {std::size_t{0}, std::size_t{1}, std::size_t{40}}) {
      test::write_text(journal, whole.substr(0, end + torn));
      const TuningResult result =
          tuner_in(directory / "search", {.resume = true}).search(split.train, split.validation);
      CHECK(result.resumed_rungs == (line == 0 ? 0 : line - 1));
      CHECK(results_of(result) == expected);
      const std::string now = test::read_text(journal);
      CHECK(static_cast<std::size_t>(std::count(now.begin(), now.end(), '\n')) == lines);
      CHECK(results_of(tuner_in(directory / "search", {.resume = true}).search(split.train, split.validation)) ==
            expected);
    }
  }
}

TEST_CASE("A state that is ahead of the journal is taken as it is", "[tuner][slow]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  const auto expected = results_of(tuner_in(directory / "whole").search(split.train, split.validation));
  std::size_t ahead = 0;
  for (std::size_t rungs = 1; rungs <= 12; ++rungs) {
    const fs::path search = directory / ("killed-after-" + std::to_string(rungs));
    std::size_t reached = 0, trial = 0;
    tuner_in(search).search(split.train, split.validation, {.rung = [&](const TrialReport& report) {
                              trial = report.trial;
                              return ++reached < rungs;
                            }});
    const std::string text = test::read_text(search / "search.jsonl");
    test::write_text(search / "search.jsonl", text.substr(0, text.rfind('\n', text.size() - 2) + 1));
    ahead += fs::exists(search / ("trial-" + std::to_string(trial) + ".training"));
    CHECK(results_of(tuner_in(search, {.resume = true}).search(split.train, split.validation)) == expected);
  }
  CHECK(ahead >= 3);
}

TEST_CASE("A search that is unwanted after the last epoch of a rung ends behind the rung", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  const auto expected = results_of(tuner_in(directory / "whole").search(split.train, split.validation));
  std::size_t rungs = 0;
  const TuningResult first =
      tuner_in(directory / "search")
          .search(split.train, split.validation,
                  {.rung = [&](const TrialReport&) { return ++rungs, true; },
                   .epoch = [](std::size_t trial, const EpochReport& epoch) { return trial < 2 || epoch.epoch != 1; }});
  CHECK(rungs == 2);
  CHECK(!first.complete);
  REQUIRE(first.trials.size() == 2);
  CHECK(first.trials[1].epochs.size() == 1);
  const TuningResult whole = tuner_in(directory / "search", {.resume = true}).search(split.train, split.validation);
  CHECK(whole.resumed_rungs == 2);
  CHECK(results_of(whole) == expected);
}

TEST_CASE("A state of another training counts as none", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  const auto expected = results_of(tuner_in(directory / "whole").search(split.train, split.validation));
  const fs::path search = directory / "search";
  std::size_t rungs = 0;
  tuner_in(search).search(split.train, split.validation, {.rung = [&](const TrialReport&) { return ++rungs < 2; }});
  StateFile of_other_settings{.path = (search / "trial-3.training").string()};
  Trainer(base_config()).fit(split.train, split.validation, {}, of_other_settings);
  StateFile of_other_data{.path = (search / "trial-4.training").string()};
  Trainer(tuner_in(search, {.resume = true}).config(4))
      .fit(*small_split().all, {}, {.epoch = [](const EpochReport&) { return false; }}, of_other_data);
  CHECK(results_of(tuner_in(search, {.resume = true}).search(split.train, split.validation)) == expected);
}

TEST_CASE("Lack of memory ends a search without a loser", "[tuner]") {
  class Exhausted final : public Executor {
   public:
    std::size_t concurrency() const noexcept override { return 1; }
    void run(std::size_t, TaskRef) override { throw Error(ErrorCode::limit_exceeded, "no memory for 8 bytes"); }
  };
  const TemporaryDirectory directory;
  const Split split = small_split();
  Exhausted exhausted;
  std::string message;
  Tuner tuner = tuner_in(directory / "search", {}, kSpace, base_config(), &exhausted);
  CHECK(code_of([&] { tuner.search(split.train, split.validation); }, &message) == ErrorCode::limit_exceeded);
  CHECK(message == "no memory for 8 bytes");
  const TuningResult result = tuner_in(directory / "search", {.resume = true}).search(split.train, split.validation);
  CHECK(result.resumed_rungs == 0);
  for (const TrialReport& trial : result.trials) CHECK(trial.problem.empty());
}

TEST_CASE("Count models beyond their limit lose", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  const TuningResult result = tuner_in(directory / "search", {}, R"({"ease": {"max_items": {"choice": [2, 1000]}}})",
                                       TrainerConfig::preset("ease"))
                                  .search(split.train, split.validation);
  REQUIRE(result.trials.size() == 2);
  for (const TrialReport& trial : result.trials) CHECK(trial.problem.empty() == (trial.values[0] == "1000"));
}

TEST_CASE("A damaged journal is refused by its line and left as it is", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  tuner_in(directory / "search").search(split.train, split.validation);
  const fs::path journal = directory / "search" / "search.jsonl";
  const std::string whole = test::read_text(journal);
  const std::size_t second = whole.find('\n') + 1, third = whole.find('\n', second) + 1;
  const auto refused = [&](const std::string& text, const std::string& reason) {
    test::write_text(journal, text);
    std::string message;
    CHECK(code_of([&] { tuner_in(directory / "search", {.resume = true}).search(split.train, split.validation); },
                  &message) == ErrorCode::corrupt_file);
    INFO(message);
    CHECK(message.find("search.jsonl\" line " + reason) != std::string::npos);
    CHECK(test::read_text(journal) == text);
  };
  refused(whole.substr(0, second) + "{\"trial\": 1}\n", "2: ");
  refused(whole.substr(0, second) + "nonsense\n" + whole.substr(third), "2: ");
  refused(whole.substr(0, second) + whole.substr(third), "2: expected the next rung of a trial");
  refused(whole.substr(0, third) + whole.substr(second), "3: expected the next rung of a trial");
  refused("nonsense\n" + whole, "1: ");

  const std::string first = whole.substr(second, third - second - 1);
  const auto changed = [&](const std::function<void(nlohmann::ordered_json&)>& change) {
    auto record = nlohmann::ordered_json::parse(first);
    change(record);
    return record.dump() + '\n';
  };
  std::string rungs = whole.substr(0, second);
  for (int rung = 1; rung <= 4; ++rung) rungs += changed([&](auto& record) { record["rungs"] = rung; });
  refused(rungs, "5: expected at most 3 rungs, found 4");
  const auto refused_trial = [&](const std::function<void(nlohmann::ordered_json&)>& change,
                                 const std::string& reason) {
    refused(whole.substr(0, second) + changed(change), "2: " + reason);
  };
  refused_trial([](auto& record) { record["best_epoch"] = 2; }, "expected a best_epoch of at most 1, found 2");
  refused_trial([](auto& record) { record["epochs"][0]["epoch"] = 2; }, "expected epoch 1, found 2");
  refused_trial([](auto& record) { record["epochs"].push_back(record["epochs"][0]); }, "expected epoch 2, found 1");
}

TEST_CASE("Another search in the same directory is refused, naming what differs", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  tuner_in(directory / "search", {.trials = 2}).search(split.train, split.validation);
  const auto code = [&](Tuner tuner, const Histories& train, const std::string& part) {
    std::string message;
    const ErrorCode found = code_of([&] { tuner.search(train, split.validation); }, &message);
    INFO(message);
    CHECK(message.find(part) != std::string::npos);
    return found;
  };
  const fs::path search = directory / "search";
  CHECK(code(tuner_in(search), split.train, "holds a search already") == ErrorCode::invalid_argument);
  const TunerOptions resume{.resume = true};
  TrainerConfig seeded = base_config();
  seeded.seed = 9;
  CHECK(code(tuner_in(search, resume, kSpace, seeded), split.train, "config.seed: expected 1, found 9") ==
        ErrorCode::invalid_config);
  CHECK(code(tuner_in(search, resume, R"({"patience": {"integer": [1, 9]}})"), split.train, "space.adam") ==
        ErrorCode::invalid_config);
  CHECK(code(tuner_in(search, {.eta = 2, .resume = true}), split.train, "eta: expected 3, found 2") ==
        ErrorCode::invalid_config);
  CHECK(code(tuner_in(search, resume), small_split().all ? *small_split().all : Histories{}, "histories.") ==
        ErrorCode::invalid_data);
  CHECK(code(tuner_in(search, {.trials = 1, .resume = true}), split.train, "at least the 2 that have begun") ==
        ErrorCode::invalid_config);
  fs::create_directory(directory / "other");
  test::write_text(directory / "other" / "thesis.txt", "mine");
  CHECK(code(tuner_in(directory / "other"), split.train, "found neither") == ErrorCode::invalid_argument);
  CHECK(code(tuner_in(directory / "other", resume), split.train, "found neither") == ErrorCode::invalid_argument);
  CHECK(names_in(directory / "other") == std::set<std::string>{"thesis.txt"});
}

TEST_CASE("A search goes on with more trials, of which the first are those it had", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  const std::size_t few = 3, many = 6;
  const TuningResult first = tuner_in(directory / "search", {.trials = few}).search(split.train, split.validation);
  CHECK(first.trials.size() == few);
  const TuningResult more =
      tuner_in(directory / "search", {.trials = many, .resume = true}).search(split.train, split.validation);
  CHECK(more.complete);
  REQUIRE(more.trials.size() == many);
  for (std::size_t i = 0; i < few; ++i) {
    CHECK(more.trials[i].values == first.trials[i].values);
    CHECK(more.trials[i].rungs >= first.trials[i].rungs);
  }
  const TuningResult at_once = tuner_in(directory / "at-once", {.trials = many}).search(split.train, split.validation);
  for (std::size_t i = 0; i < many; ++i) {
    CHECK(more.trials[i].values == at_once.trials[i].values);
    CHECK(more.trials[i].epochs[0].ndcg_10 == at_once.trials[i].epochs[0].ndcg_10);
  }
}

TEST_CASE("Trials that are invalid or diverge lose, and the search goes on", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  TrainerConfig config = base_config();
  config.warmup_steps = 0;
  const std::string space = R"({"adam": {"learning_rate": {"choice": [0.003, 1e30]}},
    "encoder": {"num_heads": {"choice": [2, 3]}, "absolute_positions": {"choice": [true, false]}}})";
  const TuningResult result =
      tuner_in(directory / "search", {.trials = 20}, space, config).search(split.train, split.validation);
  CHECK(result.complete);
  REQUIRE(result.trials.size() == 8);  // there are no more configurations
  for (const TrialReport& trial : result.trials) {
    INFO(trial.problem);
    const bool invalid = trial.values[1] == "3", diverges = trial.values[0] != "0.003";
    CHECK(trial.problem.empty() == (!invalid && !diverges));
    if (invalid) CHECK(trial.problem.find("num_heads") != std::string::npos);
    if (!invalid && diverges) CHECK(trial.problem.find("not finite") != std::string::npos);
  }
  CHECK(result.trials[result.best].problem.empty());
  CHECK(result.trials[result.best].rungs == 3);
}

TEST_CASE("A space of invalid configurations alone is refused before anything is written", "[tuner]") {
  const TemporaryDirectory directory;
  std::string message;
  CHECK(code_of([&] { tuner_in(directory / "search", {}, R"({"encoder": {"num_heads": {"choice": [3, 5, 7]}}})"); },
                &message) == ErrorCode::invalid_config);
  CHECK(message.find("none of 3 configurations is valid") != std::string::npos);
  CHECK(message.find("num_heads") != std::string::npos);
  CHECK(!fs::exists(directory / "search"));
}

TEST_CASE("A space that varies what no trial uses is refused by the field", "[tuner]") {
  const TemporaryDirectory directory;
  const auto refusal = [&](const std::string& space, const TrainerConfig& config) {
    std::string message;
    INFO(space);
    CHECK(code_of([&] { tuner_in(directory / "search", {}, space, config); }, &message) == ErrorCode::invalid_config);
    return message;
  };
  for (const std::string range :
       {R"({"counts": {"choice": ["markov", "ease"]}})", R"({"popularity": {"choice": [{}]}})",
        R"({"markov": {"choice": [{}]}})", R"({"item_knn": {"neighbours": {"integer": [2, 20]}}})",
        R"({"ease": {"lambda": {"uniform": [1, 9]}}})", R"({"ials": {"choice": [{}]}})"}) {
    const std::string field = nlohmann::json::parse(range).begin().key();
    CHECK(refusal(range, base_config()).rfind("search space: " + field, 0) == 0);
    tuner_in(directory / "search", {}, range, TrainerConfig::preset("ease"));
    const std::string alone = range.substr(0, range.size() - 1) + R"(, "counts_alone": true})";
    tuner_in(directory / "search", {}, alone);
  }
  for (const std::string range :
       {R"({"encoder": {"dropout": {"uniform": [0.0, 0.6]}}})", R"({"objective": {"choice": [{"negatives": 2}]}})",
        R"({"adam": {"learning_rate": {"uniform": [0.1, 0.6]}}})", R"({"patience": {"integer": [2, 20]}})"}) {
    const std::string field = nlohmann::json::parse(range).begin().key();
    CHECK(refusal(range, TrainerConfig::preset("ease")).rfind("search space: " + field, 0) == 0);
    tuner_in(directory / "search", {}, range);
  }
  CHECK(refusal(R"({"ease": {"lambda": {"uniform": [1, 9]}}, "patience": {"integer": [1, 2]}})",
                TrainerConfig::preset("ease")) ==
        "search space: patience: expected an option of counts, found one that a count model alone does not use");
  CHECK(!fs::exists(directory / "search"));
}

TEST_CASE("A search whose trials all fail says why the first did", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  std::string message;
  const std::string space = R"({"adam": {"learning_rate": {"uniform": [1e30, 2e30]}}, "warmup_steps": 0})";
  CHECK(code_of([&] { tuner_in(directory / "search", {.trials = 2}, space).search(split.train, split.validation); },
                &message) == ErrorCode::invalid_config);
  CHECK(message.find("none of 2 trials could be trained") != std::string::npos);
  CHECK(message.find("not finite") != std::string::npos);
}

TEST_CASE("Options that do not fit are refused by name", "[tuner]") {
  const TemporaryDirectory directory;
  const auto refused = [&](TunerOptions options, const std::string& field) {
    options.directory = (directory / "search").string();
    std::string message;
    CHECK(code_of([&] { Tuner(base_config(), SearchSpace::from_json(kSpace, "space.json"), options); }, &message) ==
          ErrorCode::invalid_config);
    CHECK(message.find(field) != std::string::npos);
  };
  refused({.trials = 0}, "trials");
  refused({.eta = 1}, "eta");
  refused({.eta = 1001}, "eta must be 2 to 1000, found 1001");
  refused({.first_rung = 10}, "first_rung must be at most the epochs of a trial, 9, found 10");
  refused({.budget_seconds = -1}, "budget_seconds");
  CHECK(code_of([&] { Tuner(base_config(), SearchSpace::from_json(kSpace, "space.json"), {}); }) ==
        ErrorCode::invalid_config);
  const Split split = small_split();
  CHECK(code_of([&] { tuner_in(directory / "search").search(split.train, {}); }) == ErrorCode::invalid_data);
  CHECK(!fs::exists(directory / "search"));
}

TEST_CASE("A budget that is too small says so, and a larger one goes on", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  std::string message;
  CHECK(code_of([&] { tuner_in(directory / "search", {.budget_seconds = 1e-9}).search(split.train, split.validation); },
                &message) == ErrorCode::limit_exceeded);
  CHECK(message.find("the first rung of a trial (1 epochs)") != std::string::npos);
  const TuningResult result =
      tuner_in(directory / "search", {.budget_seconds = 1e6, .resume = true}).search(split.train, split.validation);
  CHECK(result.complete);
  CHECK(result.trials.size() == 9);
}

TEST_CASE("Nothing is begun that would not fit the budget by the seconds on record", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  tuner_in(directory / "search", {.trials = 1, .first_rung = 9}).search(split.train, split.validation);
  const fs::path journal = directory / "search" / "search.jsonl";
  auto lines = test::read_text(journal);
  const std::size_t second = lines.find('\n') + 1;
  auto record = nlohmann::ordered_json::parse(lines.substr(second));
  record["seconds"] = 900.0;  // so one more trial takes 900 s
  test::write_text(journal, lines.substr(0, second) + record.dump() + '\n');
  const auto trials_within = [&](double budget) {
    return tuner_in(directory / "search", {.trials = 2, .first_rung = 9, .budget_seconds = budget, .resume = true})
        .search(split.train, split.validation);
  };
  const TuningResult short_of_time = trials_within(1700);
  CHECK(!short_of_time.complete);
  CHECK(short_of_time.trials.size() == 1);
  CHECK(short_of_time.best == 0);
  CHECK(short_of_time.seconds >= 900);
  CHECK(trials_within(1900).trials.size() == 2);
}

TEST_CASE("Count models are searched too, without epochs", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  Tuner tuner = tuner_in(directory / "search", {.trials = 5}, R"({"ease": {"lambda": {"log_uniform": [1, 1000]}}})",
                         TrainerConfig::preset("ease"));
  CHECK(tuner.rungs() == std::vector<std::size_t>{0});
  const TuningResult result = tuner.search(split.train, split.validation);
  REQUIRE(result.trials.size() == 5);
  for (const TrialReport& trial : result.trials) {
    CHECK(trial.epochs.empty());
    CHECK(trial.ndcg_10 > 0);
    // What validates has not been learned, whatever the preset does in the end.
    TrainerConfig config = tuner.config(trial.trial);
    CHECK(config.refit);
    config.refit = false;
    const TrainedModel model = Trainer(config).fit(split.train, split.validation);
    CHECK(trial.ndcg_10 == evaluate(model, split.validation, {.cutoffs = {10}, .bootstrap = 0}).ndcg_at(10));
  }
}

TEST_CASE("A trial that its patience has ended goes on without training", "[tuner]") {
  const TemporaryDirectory directory;
  const Split split = small_split();
  TrainerConfig config = base_config();
  config.patience = 1;
  config.epochs = 81;
  config.refit = true;  // not of trials
  const TuningResult result =
      tuner_in(directory / "search", {.trials = 3}, kSpace, config).search(split.train, split.validation);
  for (const TrialReport& trial : result.trials) {
    for (const EpochReport& epoch : trial.epochs) CHECK(epoch.validated);
  }
  const TrialReport& best = result.trials[result.best];
  CHECK(result.complete);
  CHECK(best.rungs == 3);
  CHECK(best.ended);
  CHECK(best.epochs.size() == best.best_epoch + 1);
}
