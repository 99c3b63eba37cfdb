// SPDX-License-Identifier: Apache-2.0

// A program of its own, because it counts what the process allocates (format/allocation_meter.hpp).

#include "attune/training/memory_estimate.hpp"

#include <memory>

#include "attune/error.hpp"
#include "catch.hpp"
#include "format/allocation_meter.hpp"
#include "temporary_directory.hpp"
#include "training/small_training.hpp"

namespace attune {

using namespace test;

namespace {

TrainerConfig config_of(std::size_t dim, std::size_t blocks, std::size_t window) {
  TrainerConfig config;
  config.encoder.embedding_dim = config.encoder.inner_dim = dim;
  config.encoder.num_blocks = blocks;
  config.encoder.max_sequence_length = window;
  config.epochs = 2;
  config.batch_sequences = 64;
  return config;
}

TrainerConfig sampled(TrainerConfig config, bool shared) {
  config.objective.loss = LossKind::sampled_softmax;
  config.objective.shared_negatives = shared;
  return config;
}

TrainerConfig averaged_hstu(TrainerConfig config) {
  config.encoder.block = BlockKind::hstu;
  config.windows = Windows::all;
  config.average = 0.99;
  return config;
}

TrainerConfig taught(TrainerConfig config, std::size_t items) {
  std::shared_ptr<SequenceEncoder<float>> teacher = make_encoder(config_of(64, 8, 40).encoder, items);
  teacher->initialize(1);
  config.teacher = teacher;
  config.distillation.targets = 100;
  return config;
}

// The most memory in use while fit() runs, beyond what was in use before.
std::size_t measured(const TrainerConfig& config, const Split& parts, std::size_t threads, const StateFile& state) {
  ThreadPool pool(threads);
  const AllocationMeter meter;
  Trainer(config, &pool).fit(parts.train, parts.validation, {}, state);
  return meter.peak();
}

void check_estimate(const TrainerConfig& config, const Split& parts, std::size_t threads, bool keeps_state) {
  const TemporaryDirectory directory;
  const StateFile state{.path = keeps_state ? (directory / "state").string() : ""};
  const auto truth = static_cast<double>(measured(config, parts, threads, state));
  const MemoryEstimate estimate = estimate_memory(config, parts.train, threads, keeps_state);
  CAPTURE(truth, threads, keeps_state, estimate.weights, estimate.optimiser, estimate.gradients, estimate.activations,
          estimate.counts, estimate.evaluation, estimate.saving);
  CHECK(static_cast<double>(estimate.total()) > 0.7 * truth);
  CHECK(static_cast<double>(estimate.total()) < 1.35 * truth);
}

}  // namespace

TEST_CASE("An estimate of memory is within a third of what training takes", "[training][memory]") {
  const bool keeps_state = GENERATE(false, true);
  const std::size_t threads = keeps_state ? 2 : 1;
  const Split many_items = leave_one_out(scattered(100, 20, 9000)),
              long_histories = leave_one_out(scattered(40, 150, 700));
  check_estimate(config_of(64, 1, 20), many_items, threads, keeps_state);
  check_estimate(sampled(config_of(64, 1, 20), true), many_items, threads, keeps_state);
  check_estimate(sampled(config_of(32, 1, 20), false), many_items, threads, keeps_state);
  check_estimate(config_of(64, 3, 120), long_histories, threads, keeps_state);
  check_estimate(averaged_hstu(config_of(48, 4, 100)), long_histories, threads, keeps_state);
  check_estimate(taught(config_of(32, 1, 100), 700), long_histories, threads, keeps_state);
}

TEST_CASE("An estimate says what a larger setting costs", "[training][memory]") {
  const Split parts = leave_one_out(scattered(300, 20, 9000));
  const MemoryEstimate base = estimate_memory(config_of(64, 1, 20), parts.train, 1);
  const MemoryEstimate wider = estimate_memory(config_of(128, 1, 20), parts.train, 1);
  CHECK(10 * wider.weights > 18 * base.weights);
  CHECK(10 * wider.optimiser > 18 * base.optimiser);
  CHECK(estimate_memory(config_of(64, 1, 20), parts.train, 4).activations == 4 * base.activations);
  CHECK(estimate_memory(config_of(64, 1, 20), parts.train, 4).gradients == base.gradients);
  TrainerConfig slots = config_of(64, 1, 20);
  slots.gradient_slots = 16;
  CHECK(10 * estimate_memory(slots, parts.train, 1).gradients > 15 * base.gradients);
  TrainerConfig refitted = config_of(64, 1, 20);
  refitted.refit = true;
  const std::size_t event = sizeof(ItemHandle) + sizeof(std::uint8_t) + sizeof(float);
  CHECK(estimate_memory(refitted, parts.train, 1).counts >= base.counts + parts.train.num_events() * event);
  TrainerConfig comparing = config_of(64, 1, 20);
  comparing.compare_counts = true;
  CHECK(estimate_memory(comparing, parts.train, 1).counts == base.counts);
  comparing.blend = true;
  CHECK(estimate_memory(comparing, parts.train, 1).counts > base.counts + 16 * parts.train.num_events());
  const TrainerConfig student = taught(config_of(64, 1, 20), 9000);
  CHECK(estimate_memory(student, parts.train, 1).teacher == 100 * 8 * parts.train.num_events());
  CHECK(estimate_memory(student, parts.train, 1).total() > base.total() + 100 * 8 * parts.train.num_events());
  CHECK(base.teacher == 0);
  CHECK(base.saving == 0);
  CHECK(estimate_memory(config_of(64, 1, 20), parts.train, 1, true).saving > base.optimiser);
}

TEST_CASE("A count model alone takes what its counts take", "[training][memory]") {
  const Split parts = leave_one_out(scattered(300, 20, 1500));
  TrainerConfig config;
  config.counts_alone = true;
  config.counts = GENERATE(CountKind::markov, CountKind::item_knn, CountKind::ials);
  const auto truth = static_cast<double>(measured(config, parts, 1, {}));
  const MemoryEstimate estimate = estimate_memory(config, parts.train, 1);
  CAPTURE(to_string(config.counts), truth, estimate.counts);
  CHECK(estimate.total() == estimate.counts);
  CHECK(static_cast<double>(estimate.total()) > 0.7 * truth);
  CHECK(static_cast<double>(estimate.total()) < 1.35 * truth);
}

TEST_CASE("An estimate for nothing to learn from is refused as training would", "[training][memory]") {
  CHECK(code_of([] { estimate_memory(config_of(64, 1, 20), Histories{}, 1); }) == ErrorCode::invalid_data);
}

}  // namespace attune
