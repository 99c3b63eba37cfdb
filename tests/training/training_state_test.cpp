// SPDX-License-Identifier: Apache-2.0
#include "training/training_state.hpp"

#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "attune/training/trainer.hpp"
#include "catch.hpp"
#include "model/manifest.hpp"
#include "temporary_directory.hpp"
#include "training/small_training.hpp"

namespace attune {

using namespace test;

namespace {

bool names(const std::string& message, const std::string& part) { return message.find(part) != std::string::npos; }

Split parts_of(std::size_t items = 30) { return leave_one_out(scattered(50, 34, items)); }

TrainerConfig four_epochs() {
  TrainerConfig config = small_config();
  config.epochs = 4;
  config.adam.weight_decay = 0.01;
  return config;
}

std::shared_ptr<const SequenceEncoder<float>> teacher_of(std::uint64_t seed) {
  std::shared_ptr<SequenceEncoder<float>> teacher = make_encoder(small_config().encoder, 30);
  teacher->initialize(seed);
  return teacher;
}

// What training can be made of: every item row in every step; rows that wait for their turn; windows that are cut anew
// in every epoch, averaged weights and a blend; a refit; a
// teacher.
TrainerConfig way_of_training(int number) {
  TrainerConfig config = four_epochs();
  if (number == 1) {
    config.objective.loss = LossKind::sampled_softmax;
    config.objective.negatives = 4;
    config.objective.shared_negatives = true;
    config.batch_sequences = 4;
  } else if (number == 2) {
    config.windows = Windows::all;
    config.overlap = 4;
    config.encoder.max_sequence_length = 12;
    config.average = 0.99;
    config.blend = true;
  } else if (number == 3) {
    config.encoder.block = BlockKind::hstu;
    config.schedule = Schedule::linear;
    config.final_learning_rate = 0.1;
    config.patience = 1;
    config.refit = true;
  } else if (number == 4) {
    config.windows = Windows::all;
    config.encoder.max_sequence_length = 12;
    config.teacher = teacher_of(1);
    config.refit = true;
  }
  return config;
}

struct Result {
  std::vector<float> weights;
  std::vector<EpochReport> epochs;
  std::size_t best_epoch;
  double blend_weight;
  std::vector<float> scores;  // of the counts
};

Result result_of(const Trainer& trainer, const TrainedModel& model) {
  Result result{all_weights(model), trainer.epochs(), trainer.best_epoch(), model.blend_weight, {}};
  result.scores.resize(model.num_items());
  Workspace workspace;
  model.counts->score_all(model.histories->of(0), result.scores, workspace);
  return result;
}

void check_same(const Result& a, const Result& b) {
  CHECK(a.weights == b.weights);
  CHECK(a.best_epoch == b.best_epoch);
  CHECK(a.blend_weight == b.blend_weight);
  CHECK(a.scores == b.scores);
  REQUIRE(a.epochs.size() == b.epochs.size());
  for (std::size_t i = 0; i < a.epochs.size(); ++i) {
    CHECK(a.epochs[i].epoch == b.epochs[i].epoch);
    CHECK(a.epochs[i].epochs == b.epochs[i].epochs);
    CHECK(a.epochs[i].loss == b.epochs[i].loss);
    CHECK(a.epochs[i].ndcg_10 == b.epochs[i].ndcg_10);
    CHECK(a.epochs[i].hit_rate_10 == b.epochs[i].hit_rate_10);
    CHECK(a.epochs[i].best == b.epochs[i].best);
  }
}

const Progress kOneEpoch{.epoch = [](const EpochReport&) { return false; }};

// A state of one epoch in `path`.
void train_one_epoch(const TrainerConfig& config, const Split& parts, const std::string& path) {
  Trainer(config).fit(parts.train, parts.validation, kOneEpoch, {.path = path});
}

ErrorCode resuming(const TrainerConfig& config, const Split& parts, const std::string& path, std::string& message) {
  return code_of([&] { Trainer(config).fit(parts.train, parts.validation, {}, {.path = path, .resume = true}); },
                 &message);
}

// The text of a state with the checksum that its content asks for.
std::string with_checksum(std::string text) {
  const std::size_t at = 12;
  const std::uint32_t checksum = detail::crc32_of(std::as_bytes(std::span(text)).subspan(at + sizeof(checksum)));
  std::memcpy(text.data() + at, &checksum, sizeof(checksum));
  return text;
}

}  // namespace

TEST_CASE("Training that is stopped after every epoch ends with the bits of one that is not",
          "[training][training_state]") {
  const TemporaryDirectory directory;
  const StateFile state{.path = (directory / "m.training").string(), .resume = true};
  const TrainerConfig config = way_of_training(GENERATE(0, 1, 2, 3, 4));
  const Split parts = parts_of();
  Trainer whole(config);
  const Result expected = result_of(whole, whole.fit(parts.train, parts.validation));

  for (std::size_t part = 0; part < expected.epochs.size(); ++part) {
    ThreadPool pool(1 + part % 3);
    Trainer trainer(config, &pool);
    trainer.fit(parts.train, parts.validation, kOneEpoch, state);
    CHECK(trainer.resumed_epochs() == part);
    CHECK(trainer.epochs().size() == part + 1);
  }
  Trainer last(config);
  check_same(result_of(last, last.fit(parts.train, parts.validation, {}, state)), expected);
  CHECK(last.resumed_epochs() == expected.epochs.size());
  CHECK(last.train_seconds() > 0);
  state.remove();
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("A refit that is interrupted is repeated", "[training][training_state]") {
  const TemporaryDirectory directory;
  const StateFile state{.path = (directory / "m.training").string(), .resume = true};
  TrainerConfig config = four_epochs();
  config.refit = true;
  const Split parts = parts_of();
  Trainer whole(config);
  const Result expected = result_of(whole, whole.fit(parts.train, parts.validation));
  Trainer interrupted(config);
  interrupted.fit(parts.train, parts.validation, {.refit = [](const EpochReport&) { return false; }}, state);
  CHECK_FALSE(interrupted.refitted());
  Trainer last(config);
  check_same(result_of(last, last.fit(parts.train, parts.validation, {}, state)), expected);
  CHECK(last.refitted());
  CHECK(last.resumed_epochs() == expected.epochs.size());
}

TEST_CASE("An epoch that is interrupted is repeated", "[training][training_state]") {
  const TemporaryDirectory directory;
  const StateFile state{.path = (directory / "m.training").string(), .resume = true};
  const TrainerConfig config = way_of_training(1);
  const Split parts = parts_of();
  Trainer whole(config);
  const Result expected = result_of(whole, whole.fit(parts.train, parts.validation));

  const Progress in_the_third{.step = [](const StepReport& step) { return step.epoch != 3 || step.step != 5; }};
  Trainer first(config);
  first.fit(parts.train, parts.validation, in_the_third, state);
  CHECK(first.epochs().size() == 2);
  Trainer second(config);
  check_same(result_of(second, second.fit(parts.train, parts.validation, {}, state)), expected);
  CHECK(second.resumed_epochs() == 2);
}

TEST_CASE("Without being told to resume training starts anew and replaces the state", "[training][training_state]") {
  const TemporaryDirectory directory;
  const std::string path = (directory / "m.training").string();
  const Split parts = parts_of();
  TrainerConfig config = four_epochs();
  train_one_epoch(config, parts, path);
  config.seed = 2;
  Trainer trainer(config);
  trainer.fit(parts.train, parts.validation, kOneEpoch, {.path = path});
  CHECK(trainer.resumed_epochs() == 0);
  std::string message;
  CHECK(resuming(four_epochs(), parts, path, message) == ErrorCode::invalid_config);
  CHECK(names(message, "config.seed: expected 2, found 1"));
}

TEST_CASE("The state of another training is refused with the field that differs", "[training][training_state]") {
  const TemporaryDirectory directory;
  const std::string path = (directory / "m.training").string();
  const Split parts = parts_of();
  train_one_epoch(four_epochs(), parts, path);
  const std::string before = read_text(path);
  std::string message;

  TrainerConfig other = four_epochs();
  other.encoder.embedding_dim = 8;
  CHECK(resuming(other, parts, path, message) == ErrorCode::invalid_config);
  CHECK(names(message, path));
  CHECK(names(message, "config.encoder.embedding_dim: expected 16, found 8"));
  other = four_epochs();
  other.event_weights["view"] = 0.5;
  CHECK(resuming(other, parts, path, message) == ErrorCode::invalid_config);
  CHECK(names(message, "config.event_weights.view: expected null, found 0.5"));
  other = four_epochs();
  other.teacher = teacher_of(1);
  CHECK(resuming(other, parts, path, message) == ErrorCode::invalid_config);
  CHECK(names(message, "teacher: expected null, found "));

  CHECK(resuming(four_epochs(), parts_of(31), path, message) == ErrorCode::invalid_data);
  CHECK(names(message, "histories.items: expected 30, found 31"));
  Split changed = parts;
  changed.train.items[3] = (changed.train.items[3] + 1) % 30;
  CHECK(resuming(four_epochs(), changed, path, message) == ErrorCode::invalid_data);
  CHECK(names(message, "histories.fingerprint"));
  changed = parts;
  changed.validation.queries.pop_back();
  CHECK(resuming(four_epochs(), changed, path, message) == ErrorCode::invalid_data);
  CHECK(names(message, "validation.queries"));
  changed = parts;
  --changed.validation.queries[2].history_length;
  CHECK(resuming(four_epochs(), changed, path, message) == ErrorCode::invalid_data);
  CHECK(names(message, "validation.fingerprint"));
  CHECK(read_text(path) == before);
}

TEST_CASE("The state of a training by another teacher is refused", "[training][training_state]") {
  const TemporaryDirectory directory;
  const std::string path = (directory / "m.training").string();
  const Split parts = parts_of();
  TrainerConfig config = four_epochs();
  config.teacher = teacher_of(1);
  train_one_epoch(config, parts, path);
  std::string message;
  config.teacher = teacher_of(2);
  CHECK(resuming(config, parts, path, message) == ErrorCode::invalid_config);
  CHECK(names(message, "the state is of another training: teacher: expected "));
  config.teacher = nullptr;
  CHECK(resuming(config, parts, path, message) == ErrorCode::invalid_config);
  CHECK(names(message, "found null"));
  EncoderConfig heads = small_config().encoder;
  heads.num_heads = 4;  // the same weights mean something else
  std::shared_ptr<SequenceEncoder<float>> changed = make_encoder(heads, 30);
  changed->initialize(1);
  config.teacher = changed;
  CHECK(resuming(config, parts, path, message) == ErrorCode::invalid_config);
}

TEST_CASE("The state of another instruction-set level is refused", "[training][training_state]") {
  const TemporaryDirectory directory;
  const std::string path = (directory / "m.training").string();
  const Split parts = parts_of();
  const TrainerConfig config = four_epochs();
  train_one_epoch(config, parts, path);
  std::string text = read_text(path);
  const std::string level = std::string("\"simd_level\":\"") + simd_level();
  const std::size_t at = text.find(level);
  REQUIRE(at != std::string::npos);
  text[at + level.size() - 1] = '?';
  write_text(path, with_checksum(text));
  std::string message;
  CHECK(resuming(config, parts, path, message) == ErrorCode::unsupported);
  CHECK(names(message, "simd_level: expected \""));
  CHECK(names(message, std::string("found \"") + simd_level()));
}

TEST_CASE("A damaged state is refused", "[training][training_state]") {
  const TemporaryDirectory directory;
  const std::string path = (directory / "m.training").string();
  const Split parts = parts_of();
  const TrainerConfig config = four_epochs();
  train_one_epoch(config, parts, path);
  const std::string whole = read_text(path);
  std::string message;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{7}, std::size_t{15}, std::size_t{20}, whole.size() / 2, whole.size() - 1}) {
    write_text(path, whole.substr(0, size));
    CHECK(resuming(config, parts, path, message) == ErrorCode::corrupt_file);
    CHECK(names(message, path));
  }
  for (const std::size_t at : {std::size_t{0}, std::size_t{13}, std::size_t{30}, whole.size() / 2, whole.size() - 1}) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    write_text(path, flipped);
    CHECK(resuming(config, parts, path, message) == ErrorCode::corrupt_file);
  }
  std::string newer = whole;
  newer[8] = 9;
  write_text(path, newer);
  CHECK(resuming(config, parts, path, message) == ErrorCode::unsupported_version);
  CHECK(names(message, "format version 9"));
}

TEST_CASE("A state with a right checksum and wrong content is refused", "[training][training_state]") {
  const TemporaryDirectory directory;
  const std::string path = (directory / "m.training").string();
  const Split parts = parts_of();
  const TrainerConfig config = four_epochs();
  train_one_epoch(config, parts, path);
  const std::string whole = read_text(path);
  const auto replaced = [&](const std::string& from, const std::string& to) {
    REQUIRE(from.size() == to.size());
    std::string text = whole;
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
  };
  const std::vector<std::string> wrong{whole.substr(0, whole.size() - 4),
                                       whole + "more",
                                       replaced("\"best_epoch\":1", "\"best_epoch\":0"),
                                       replaced("\"best_epoch\":1", "\"best_epoch\":9"),
                                       replaced(",\"steps\":", ",\"step_\":"),
                                       replaced("\"planned\":4", "\"planned\":x")};
  for (const std::string& text : wrong) {
    write_text(path, with_checksum(text));
    std::string message;
    CHECK(resuming(config, parts, path, message) == ErrorCode::corrupt_file);
    CHECK(names(message, path));
  }
}

TEST_CASE("A time budget counts the seconds before the interruption", "[training][training_state]") {
  const TemporaryDirectory directory;
  const StateFile file{.path = (directory / "m.training").string(), .resume = true};
  const Split parts = parts_of();
  TrainerConfig config = four_epochs();
  config.time_budget_seconds = 1000;
  config.blend = true;
  const double spent = GENERATE(0.0, 2000.0);

  InlineExecutor executor;
  detail::Learner learner(config, parts.train, executor);
  detail::TrainingState state{.planned = config.epochs, .seconds = spent};
  EpochReport report{.epoch = 1, .epochs = 4, .loss = learner.train_epoch(1, 4, {}).value()};
  learner.copy_weights(*state.spare_encoder(learner));
  state.add(report);
  detail::StateStore(file, config, parts.train, parts.validation).save(state, learner);

  Trainer trainer(config);
  trainer.fit(parts.train, parts.validation, {}, file);
  CHECK(trainer.resumed_epochs() == 1);
  CHECK(trainer.epochs().size() == (spent == 0.0 ? 4 : 2));
}

TEST_CASE("A state that cannot be written ends training with the reason", "[training][training_state]") {
  const TemporaryDirectory directory;
  write_text(directory / "file", "");
  const Split parts = parts_of();
  std::string message;
  const auto code =
      code_of([&] { train_one_epoch(four_epochs(), parts, (directory / "file/m.training").string()); }, &message);
  CHECK(code == ErrorCode::io_error);
  CHECK(names(message, "m.training"));
}

}  // namespace attune
