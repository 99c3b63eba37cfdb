// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "attune/model/transformer_encoder.hpp"
#include "catch.hpp"
#include "training/learner.hpp"

namespace attune {
namespace {

// Event i of user u is item (u + step * i) mod items, a minute after the one before.
Histories cycles(std::size_t users, std::size_t length, std::size_t items, std::size_t step = 1) {
  Histories histories;
  auto ids = std::make_shared<IdMap>(IdKind::int64);
  for (std::size_t i = 0; i < items; ++i) ids->insert(i);
  histories.item_ids = ids;
  for (std::size_t u = 0; u < users; ++u) {
    for (std::size_t i = 0; i < length; ++i) {
      histories.items.push_back(static_cast<ItemHandle>((u + step * i) % items));
      histories.times.push_back(static_cast<Timestamp>(60'000 * (i + u)));
    }
    histories.offsets.push_back(histories.items.size());
  }
  histories.kinds.assign(histories.items.size(), 0);
  histories.values.assign(histories.items.size(), 1.0f);
  return histories;
}

TrainerConfig small_config() {
  TrainerConfig config;
  config.encoder.embedding_dim = 16;
  config.encoder.num_blocks = 1;
  config.encoder.inner_dim = 32;
  config.encoder.max_sequence_length = 12;
  config.encoder.dropout = 0.1;
  config.adam.learning_rate = 0.01;
  config.batch_sequences = 16;
  config.warmup_steps = 5;
  config.epochs = 30;
  config.exclude_seen = false;  // in a cycle the next item has been seen before
  return config;
}

// Ways of training that must learn a cycle.
struct Way {
  const char* name;
  std::function<void(TrainerConfig&)> change;
};
const std::vector<Way>& ways() {
  static const std::vector<Way> all{
      {"hstu", [](TrainerConfig& c) { c.encoder.block = BlockKind::hstu; }},
      {"hstu with times",
       [](TrainerConfig& c) {
         c.encoder.block = BlockKind::hstu;
         c.encoder.time_buckets = 64;
         c.encoder.request_time = true;
       }},
      {"masked",
       [](TrainerConfig& c) {
         c.encoder.mask = AttentionMask::bidirectional;
         c.encoder.mask_token = true;
         c.epochs = 150;
       }},
      {"items dropped", [](TrainerConfig& c) { c.item_dropout = 0.2; }},
      {"shared negatives",
       [](TrainerConfig& c) {
         c.objective = {.loss = LossKind::sampled_softmax, .negatives = 6, .shared_negatives = true};
       }},
      {"shared negatives by popularity",
       [](TrainerConfig& c) {
         c.objective = {.loss = LossKind::sampled_softmax,
                        .negatives = 6,
                        .shared_negatives = true,
                        .sampling_power = 0.5,
                        .log_q = true};
       }},
      {"negatives per position",
       [](TrainerConfig& c) { c.objective = {.loss = LossKind::sampled_softmax, .negatives = 6}; }},
      {"bce", [](TrainerConfig& c) { c.objective = {.loss = LossKind::bce, .negatives = 4}; }},
      {"gbce", [](TrainerConfig& c) { c.objective = {.loss = LossKind::gbce, .negatives = 4}; }},
      {"smoothing", [](TrainerConfig& c) { c.objective.label_smoothing = 0.1; }},
      {"windows and average",
       [](TrainerConfig& c) {
         c.windows = Windows::all;
         c.overlap = 3;
         c.average = 0.9;
         c.schedule = Schedule::linear;
         c.final_learning_rate = 0.1;
       }},
  };
  return all;
}

std::vector<float> all_weights(const SequenceEncoder<float>& encoder) {
  std::vector<float> all(encoder.weights().begin(), encoder.weights().end());
  for (std::size_t c = 0; c < encoder.items().num_chunks(); ++c) {
    const auto chunk = encoder.items().chunk(c);
    all.insert(all.end(), chunk.begin(), chunk.end());
  }
  return all;
}

std::string refusal(const TrainerConfig& config, const Histories& train) {
  try {
    Trainer(config).fit(train, {});
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_data);
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("Every way of training learns what always comes next", "[training][ways][slow]") {
  const Split parts = split(cycles(40, 30, 12), SplitOptions::parse("leave-one-out"));
  for (const Way& way : ways()) {
    INFO(way.name);
    TrainerConfig config = small_config();
    way.change(config);
    const TrainedModel model = Trainer(config).fit(parts.train, {});
    const Report report = evaluate(model, parts.test, {.cutoffs = {1}, .exclude_seen = false, .bootstrap = 0});
    CHECK(report.hit_rate_at(1) > 0.95);
  }
}

TEST_CASE("Every way of training gives the same bits for any number of threads", "[training][ways]") {
  const Histories histories = cycles(50, 30, 17, 5);
  for (const Way& way : ways()) {
    INFO(way.name);
    TrainerConfig config = small_config();
    way.change(config);
    config.epochs = 2;
    const auto alone = all_weights(*Trainer(config).fit(histories, {}).encoder);
    ThreadPool pool(4);
    CHECK(all_weights(*Trainer(config, &pool).fit(histories, {}).encoder) == alone);
  }
}

TEST_CASE("The average starts as the weights and follows them at its rate", "[training][ways]") {
  const Histories histories = cycles(40, 12, 12);
  InlineExecutor executor;
  TrainerConfig plain = small_config();
  // With few negatives a step leaves rows alone, whose momentum moves them all the same.
  plain.objective.loss = GENERATE(LossKind::softmax, LossKind::sampled_softmax, LossKind::bce);
  plain.objective.negatives = 1;
  TrainerConfig averaged = plain, eager = plain;
  averaged.average = 0.5;
  eager.average = 1e-12;
  const auto after_each_step = [&](const TrainerConfig& config) {
    std::vector<std::vector<float>> weights;
    detail::Learner learner(config, histories, executor);
    const auto encoder = make_encoder(learner.encoder_config(), 12);
    learner.train_epoch(1, 1, [&](const StepReport&) {
      learner.copy_weights(*encoder);
      weights.push_back(all_weights(*encoder));
      return true;
    });
    return weights;
  };
  const auto raw = after_each_step(plain), average = after_each_step(averaged);
  CHECK(after_each_step(eager) == raw);
  REQUIRE(raw.size() == 3);
  for (std::size_t step = 1; step < raw.size(); ++step) {
    const double decay = std::min(0.5, (2.0 + static_cast<double>(step)) / (11.0 + static_cast<double>(step)));
    for (std::size_t i = 0; i < raw[step].size(); ++i) {
      const double expected =
          decay * static_cast<double>(average[step - 1][i]) + (1 - decay) * static_cast<double>(raw[step][i]);
      REQUIRE(static_cast<double>(average[step][i]) == Approx(expected).margin(1e-7));
    }
  }
}

TEST_CASE("Targets count by the weight of their event kind and by their value", "[training][ways]") {
  Histories histories = cycles(2, 5, 7);
  histories.event_kinds = {"", "view", "purchase"};
  histories.kinds = {0, 1, 2, 1, 2, 0, 2, 2, 1, 0};
  histories.values = {1, 2, 3, 4, 5, 6, 7, 8, -9, 10};
  TrainerConfig config = small_config();
  config.event_weights = {{"view", 0.5}, {"purchase", 2.0}, {"unheard of", 100.0}};
  config.value_weights = GENERATE(false, true);
  InlineExecutor executor;
  const auto encoder = make_encoder(config.encoder, 7);
  encoder->initialize(1);
  detail::BatchGradient gradient(config, histories, *encoder, executor);
  auto batch = detail::training_sequences(histories, 12);
  const auto loss = gradient.compute(batch, 1);
  // Every event but the first of a user is a target; a negative value counts as none.
  const double by_kind = (0.5 + 2 + 0.5 + 2) + (2 + 2 + 0.5 + 1);
  const double by_value = (0.5 * 2 + 2 * 3 + 0.5 * 4 + 2 * 5) + (2 * 7 + 2 * 8 + 0 + 10);
  CHECK(loss.targets == Approx(config.value_weights ? by_value : by_kind));
}

TEST_CASE("Training that cannot learn says why", "[training][ways]") {
  Histories histories = cycles(5, 6, 7);
  TrainerConfig config = small_config();
  config.event_weights = {{"", 0.0}};
  CHECK_THAT(refusal(config, histories), Catch::Contains("every target has weight 0"));
  config = small_config();
  config.encoder.block = BlockKind::hstu;
  config.encoder.time_buckets = 64;
  CHECK(refusal(config, histories).empty());
  histories.times.clear();
  CHECK_THAT(refusal(config, histories), Catch::Contains("expected times, as the encoder reads them"));
}

TEST_CASE("Steps without weight can be stopped like others", "[training][ways]") {
  TrainerConfig config = small_config();
  config.event_weights = {{"", 0.0}};
  std::size_t steps = 0;
  const Progress stop{.step = [&](const StepReport&) { return ++steps < 2; }};
  CHECK_THROWS_WITH(Trainer(config).fit(cycles(60, 12, 12), {}, stop), Catch::Matchers::Contains("stopped"));
  CHECK(steps == 2);
}

TEST_CASE("One item or one user is enough for every way of training", "[training][ways]") {
  for (const Way& way : ways()) {
    INFO(way.name);
    TrainerConfig config = small_config();
    way.change(config);
    config.epochs = 2;
    for (const Histories& histories : {cycles(1, 8, 5), cycles(6, 9, 1), cycles(1, 2, 1)}) {
      const TrainedModel model = Trainer(config).fit(histories, {});
      const auto weights = all_weights(*model.encoder);
      CHECK(std::all_of(weights.begin(), weights.end(), [](float x) { return std::isfinite(x); }));
    }
  }
}

}  // namespace attune
