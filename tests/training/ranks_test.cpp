// SPDX-License-Identifier: Apache-2.0
#include "training/ranks.hpp"

#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "errors.hpp"
#include "temporary_directory.hpp"
#include "training/small_training.hpp"
#include "training/thread_ranks.hpp"

namespace attune {

using namespace test;

namespace {

TrainerConfig shared_config() {
  TrainerConfig config = small_config();
  config.encoder.dropout = 0.2;
  return config;
}

Split shared_parts() { return leave_one_out(scattered(70, 25, 30)); }

struct Trained {
  std::vector<float> weights;
  std::vector<EpochReport> epochs;
  bool refitted = false;
};

Trained trained_by(Trainer& trainer, const Split& parts, const Progress& progress = {}, const StateFile& state = {}) {
  const TrainedModel model = trainer.fit(parts.train, parts.validation, progress, state);
  if (!model.encoder) return {};
  return {all_weights(model), trainer.epochs(), trainer.refitted()};
}

Trained trained_alone(const TrainerConfig& config, const Split& parts) {
  Trainer trainer(config);
  return trained_by(trainer, parts);
}

// At every rank; what any of them throws is thrown.
std::vector<Trained> trained_by_ranks(std::size_t size, const TrainerConfig& config, const Split& parts,
                                      const Progress& progress = {}, const StateFile& state = {}) {
  std::vector<Trained> all(size);
  for (const std::exception_ptr& error : ThreadRanks(size).run([&](Communicator& ranks) {
         Trainer trainer(config, nullptr, &ranks);
         all[ranks.rank()] = trained_by(trainer, parts, progress, ranks.rank() == 0 ? state : StateFile{});
       })) {
    if (error) std::rethrow_exception(error);
  }
  return all;
}

void check_same_bits(const Trained& a, const Trained& b) {
  CHECK(a.weights == b.weights);
  REQUIRE(a.epochs.size() == b.epochs.size());
  for (std::size_t e = 0; e < a.epochs.size(); ++e) {
    CHECK(a.epochs[e].loss == b.epochs[e].loss);
    CHECK(a.epochs[e].best == b.epochs[e].best);
    CHECK(a.epochs[e].ndcg_10 == b.epochs[e].ndcg_10);
    CHECK(a.epochs[e].hit_rate_10 == b.epochs[e].hit_rate_10);
  }
}

}  // namespace

TEST_CASE("Two, four and eight ranks come to the bits of one", "[training][ranks]") {
  const Split parts = shared_parts();
  TrainerConfig config = shared_config();
  const std::size_t way = GENERATE(0u, 1u, 2u);
  if (way > 0) {
    config.objective.loss = LossKind::sampled_softmax;
    config.objective.negatives = 7;
    config.objective.shared_negatives = way == 2;
  }
  const Trained alone = trained_alone(config, parts);
  const std::size_t size = GENERATE(2u, 4u, 8u);
  const std::vector<Trained> all = trained_by_ranks(size, config, parts);
  check_same_bits(all[0], alone);
  for (std::size_t rank = 1; rank < size; ++rank) CHECK(all[rank].weights.empty());
}

TEST_CASE("Three ranks come to the same losses but for rounding, every time to the same bits", "[training][ranks]") {
  const Split parts = shared_parts();
  TrainerConfig config = shared_config();
  config.mixed_precision = false;  // inputs rounded to bfloat16 make more of a difference in the last bit
  const Trained alone = trained_alone(config, parts);
  const Trained three = trained_by_ranks(3, config, parts)[0];
  check_same_bits(three, trained_by_ranks(3, config, parts)[0]);
  REQUIRE(three.epochs.size() == alone.epochs.size());
  for (std::size_t e = 0; e < alone.epochs.size(); ++e) {
    CHECK(std::abs(three.epochs[e].loss - alone.epochs[e].loss) < 1e-4 * alone.epochs[e].loss);
  }
}

TEST_CASE("Ranks with windows of all events, averaged weights, a blend and a refit come to the bits of one",
          "[training][ranks]") {
  const Split parts = shared_parts();
  TrainerConfig config = shared_config();
  config.encoder.max_sequence_length = 8;
  config.windows = Windows::all;
  config.overlap = 2;
  config.average = 0.9;
  config.blend = config.refit = true;
  const Trained alone = trained_alone(config, parts);
  REQUIRE(alone.refitted);
  check_same_bits(trained_by_ranks(2, config, parts)[0], alone);
}

TEST_CASE("What two ranks began one ends, and the other way round, to the bits of neither interrupted",
          "[training][ranks]") {
  const TemporaryDirectory directory;
  const StateFile file{.path = (directory / "state").string(), .resume = true};
  const Split parts = shared_parts();
  TrainerConfig config = shared_config();
  config.epochs = 4;
  const Trained whole = trained_alone(config, parts);
  const Progress two_epochs{.epoch = [](const EpochReport& report) { return report.epoch < 2; }};
  const bool begins_alone = GENERATE(false, true);
  trained_by_ranks(begins_alone ? 1 : 2, config, parts, two_epochs, file);
  check_same_bits(trained_by_ranks(begins_alone ? 4 : 1, config, parts, {}, file)[0], whole);
}

TEST_CASE("Rank 0 stops all, within an epoch and behind one", "[training][ranks]") {
  const Split parts = shared_parts();
  std::size_t steps = 0;
  Progress progress;
  SECTION("within") {
    progress.step = [&](const StepReport& report) { return ++steps != 3 && report.epoch == 1; };
    CHECK(code_of([&] { trained_by_ranks(2, shared_config(), parts, progress); }) == ErrorCode::cancelled);
    CHECK(steps == 3);
  }
  SECTION("behind") {
    progress.epoch = [](const EpochReport&) { return false; };
    CHECK(trained_by_ranks(2, shared_config(), parts, progress)[0].epochs.size() == 1);
  }
}

TEST_CASE("An error of rank 0 alone lets the others go", "[training][ranks]") {
  const TemporaryDirectory directory;
  write_text(directory / "file", "");
  const Split parts = shared_parts();
  const StateFile nowhere{.path = (directory / "file" / "state").string()};
  std::vector<std::optional<ErrorCode>> codes(2);
  ThreadRanks(2).run([&](Communicator& ranks) {
    Trainer trainer(shared_config(), nullptr, &ranks);
    const auto error = error_of([&] { trainer.fit(parts.train, parts.validation, {}, nowhere); });
    if (error) codes[ranks.rank()] = error->code();
  });
  CHECK(codes[0] == ErrorCode::io_error);
  CHECK(!codes[1]);
}

TEST_CASE("A rank whose training is another is refused at all, by name", "[training][ranks]") {
  const Split parts = shared_parts(), other = leave_one_out(scattered(70, 24, 30));
  const std::string what = GENERATE("seed", "histories", "slots");
  std::vector<std::string> said(3);
  ThreadRanks(3).run([&](Communicator& ranks) {
    TrainerConfig config = shared_config();
    if (what == "slots") config.gradient_slots = 2;
    if (what == "seed" && ranks.rank() == 2) config.seed = 17;
    const Split& mine = what == "histories" && ranks.rank() == 1 ? other : parts;
    Trainer trainer(config, nullptr, &ranks);
    const auto error = error_of([&] { trainer.fit(mine.train, mine.validation); });
    if (error) said[ranks.rank()] = error->what();
  });
  const std::string expected =
      what == "seed"        ? "rank 2: its training is not that of rank 0: config.seed: expected 1, found 17"
      : what == "histories" ? "rank 1: its training is not that of rank 0: histories.events: expected "
                            : "gradient_slots: expected at least one for each of 3 ranks, found 2";
  for (const std::string& message : said) {
    INFO(message);
    CHECK(message.starts_with(expected));
  }
}

TEST_CASE("Weights that differ between ranks end the training at all", "[training][ranks]") {
  const Split parts = shared_parts();
  std::vector<std::optional<ErrorCode>> codes(2);
  ThreadRanks(2).run([&](Communicator& ranks) {
    const TrainerConfig config = shared_config();
    InlineExecutor executor;
    detail::Learner learner(config, parts.train, executor, &ranks);
    std::size_t call = 0;
    auto nudge = [&](auto values) {
      if (ranks.rank() == 1 && ++call == 7) values[0] += 1;  // a weight
    };
    learner.read_state(0, nudge);
    const auto error = error_of([&] { learner.train_epoch(1, 1, {}); });
    if (error) codes[ranks.rank()] = error->code();
  });
  CHECK(codes[0] == ErrorCode::unsupported);
  CHECK(codes[1] == ErrorCode::unsupported);
}

TEST_CASE("What is wrong at all ranks throws at all", "[training][ranks]") {
  const std::string what = GENERATE("weights that diverge", "nothing to learn from", "too many items for the counts");
  const Split parts = what == "nothing to learn from" ? leave_one_out(scattered(10, 1, 5)) : shared_parts();
  std::vector<std::optional<ErrorCode>> codes(2);
  ThreadRanks(2).run([&](Communicator& ranks) {
    TrainerConfig config = shared_config();
    if (what == "weights that diverge") config.adam.learning_rate = 1e30;
    if (what == "too many items for the counts") {
      config.counts = CountKind::ease;
      config.ease.max_items = 3;
    }
    Trainer trainer(config, nullptr, &ranks);
    const auto error = error_of([&] { trainer.fit(parts.train, parts.validation); });
    if (error) codes[ranks.rank()] = error->code();
  });
  CHECK(codes[0]);
  CHECK(codes[0] == codes[1]);
}

TEST_CASE("Several queries of a user are one rank's, and validation comes to the bits of one process",
          "[training][ranks]") {
  Histories histories = scattered(70, 25, 30);
  for (std::size_t u = 0; u < 70; ++u) {
    for (std::size_t i = 0; i < 25; ++i) histories.times.push_back(static_cast<Timestamp>(100 * i + u));
  }
  const Split parts = split(std::move(histories), SplitOptions::parse("temporal:0.7"));
  REQUIRE(parts.validation.size() > 70);  // several of a user
  const Trained alone = trained_alone(shared_config(), parts);
  for (const std::size_t size : std::vector<std::size_t>{2, 4, 8}) {
    check_same_bits(trained_by_ranks(size, shared_config(), parts)[0], alone);
  }
}

TEST_CASE("Counts alone are rank 0's work", "[training][ranks]") {
  const Split parts = shared_parts();
  std::vector<std::size_t> items(2);
  ThreadRanks(2).run([&](Communicator& ranks) {
    Trainer trainer(TrainerConfig::preset("markov"), nullptr, &ranks);
    const TrainedModel model = trainer.fit(parts.train, parts.validation);
    items[ranks.rank()] = model.item_ids ? model.num_items() : 0;
  });
  CHECK(items == std::vector<std::size_t>{30, 0});
}

}  // namespace attune
