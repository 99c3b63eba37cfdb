// SPDX-License-Identifier: Apache-2.0
// How weights move from step to step, told by what a trainer reports and by how far its weights came.
#include "training/learner.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "attune/training/trainer.hpp"
#include "catch.hpp"
#include "training/small_training.hpp"

namespace attune {

using namespace test;

namespace {

// A learning rate that moves no weight: losses then depend on batch and dropout alone.
constexpr double kStandStill = 1e-30;

TrainerConfig standing_still() {
  TrainerConfig config = small_config();
  config.adam.learning_rate = kStandStill;
  config.encoder.dropout = 0.0;
  config.batch_sequences = 1000;
  return config;
}

// The loss of every step.
std::vector<double> losses(const TrainerConfig& config, const Histories& train) {
  std::vector<double> all;
  Trainer(config).fit(train, {}, {.step = [&](const StepReport& report) { return all.push_back(report.loss), true; }});
  return all;
}

bool all_different(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return std::adjacent_find(values.begin(), values.end(), [](double a, double b) { return b - a < 1e-6; }) ==
         values.end();
}

// How far the farthest weight of `steps` steps came, in units of the learning rate. With gradients that hardly change
// Adam moves it by the learning rate of each step.
double distance_of(TrainerConfig config, const Histories& train, std::size_t steps) {
  config.adam.learning_rate = 1e-5;
  config.epochs = steps;
  const TrainedModel model = Trainer(config).fit(train, {});
  const auto made = make_encoder(model.encoder->config(), train.num_items());
  SequenceEncoder<float>& initial = *made;
  initial.initialize(config.seed);
  double farthest = 0;
  for (std::size_t item = 0; item < train.num_items(); ++item) {
    for (std::size_t d = 0; d < initial.dim(); ++d) {
      const double moved = static_cast<double>(model.encoder->items().row(item)[d] - initial.items().row(item)[d]);
      farthest = std::max(farthest, std::abs(moved));
    }
  }
  return farthest / config.adam.learning_rate;
}

}  // namespace

TEST_CASE("Each step of training draws its own dropout", "[training][learner]") {
  const Histories train = scattered(20, 12, 15);
  TrainerConfig config = standing_still();
  config.epochs = 4;
  const double plain = losses(config, train).front();
  CHECK(losses(config, train) == std::vector<double>(4, plain));

  SECTION("of activations") { config.encoder.dropout = 0.5; }
  SECTION("of attention weights") { config.encoder.attention_dropout = 0.5; }
  std::vector<double> dropped = losses(config, train);
  // The stream of a step is fixed by seed and step.
  const auto made = make_encoder(config.encoder, train.num_items());
  SequenceEncoder<float>& encoder = *made;
  encoder.initialize(config.seed);
  InlineExecutor executor;
  detail::BatchGradient batch_gradient(config, train, encoder, executor);
  auto batch = detail::training_sequences(train, config.encoder.max_sequence_length);
  for (std::size_t step = 0; step < 4; ++step) {
    const auto loss = batch_gradient.compute(batch, detail::stream_of(config.seed, detail::Purpose::dropout, step));
    CHECK(dropped[step] == Approx(loss.sum / static_cast<double>(loss.targets)).epsilon(1e-6));
  }
  dropped.push_back(plain);
  CHECK(all_different(dropped));
}

TEST_CASE("Each epoch of training takes the sequences in an order of its own", "[training][learner]") {
  const Histories train = scattered(12, 9, 15);
  TrainerConfig config = standing_still();
  config.batch_sequences = 1;
  config.epochs = 2;
  const std::vector<double> all = losses(config, train);
  REQUIRE(all.size() == 24);
  std::vector<double> first(all.begin(), all.begin() + 12), second(all.begin() + 12, all.end());
  CHECK(first != second);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  CHECK(all_different(first));
  CHECK(first == second);
}

TEST_CASE("The learning rate warms up linearly", "[training][learner]") {
  const Histories train = scattered(20, 12, 15);
  TrainerConfig config = standing_still();
  config.warmup_steps = 4;
  CHECK(distance_of(config, train, 1) == Approx(0.25).epsilon(0.01));
  CHECK(distance_of(config, train, 2) == Approx(0.25 + 0.5).epsilon(0.01));
  CHECK(distance_of(config, train, 6) == Approx(0.25 + 0.5 + 0.75 + 3 * 1.0).epsilon(0.01));
  config.warmup_steps = 0;
  CHECK(distance_of(config, train, 6) == Approx(6.0).epsilon(0.01));
}

TEST_CASE("The learning rate falls along half a cosine to the share that is left", "[training][learner]") {
  const Histories train = scattered(20, 12, 15);
  TrainerConfig config = standing_still();
  config.warmup_steps = 0;
  config.final_learning_rate = 0.0;
  const double half = std::sqrt(0.5);  // cos(pi / 4)
  const double to_zero = 0.5 * ((1 + 1) + (1 + half) + (1 + 0) + (1 - half));
  CHECK(distance_of(config, train, 4) == Approx(to_zero).epsilon(0.01));
  config.final_learning_rate = 0.2;
  CHECK(distance_of(config, train, 4) == Approx(0.2 * 4 + 0.8 * to_zero).epsilon(0.01));
}

TEST_CASE("Training that leaves the finite numbers names parameter, epoch and step (UR-25)", "[training][learner]") {
  // Every sequence begins with item 0.
  const Histories train =
      histories_of(40, 10, 20, [](std::size_t u, std::size_t i) { return i == 0 ? 0 : detail::mix(u, i) % 20; });
  TrainerConfig config = small_config();
  std::string message;
  const auto error = [&](double learning_rate) {
    config.adam.learning_rate = learning_rate;
    CHECK(code_of([&] { Trainer(config).fit(train, {}); }, &message) == ErrorCode::non_finite);
    return message;
  };
  const std::string advice = "; a lower learning rate may help";
  SECTION("a weight, at the step that would use it") {
    CHECK(error(1e39) == "training: items.weight row 0 is not finite at epoch 1, step 2" + advice);
  }
  SECTION("a gradient, at its step") {
    CHECK(error(1e30) == "training: the gradient of items.weight row 0 is not finite at epoch 1, step 2" + advice);
  }
  SECTION("a weight that the last step of an epoch leaves") {
    config.batch_sequences = 100;
    config.epochs = 1;
    CHECK(error(1e39) == "training: items.weight row 0 is not finite at epoch 1, step 1" + advice);
  }
}

}  // namespace attune
