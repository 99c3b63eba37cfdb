// SPDX-License-Identifier: Apache-2.0

// A program of its own, because it counts what the process allocates.

#include "attune/training/memory_estimate.hpp"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "attune/error.hpp"
#include "catch.hpp"
#include "temporary_directory.hpp"
#include "training/small_training.hpp"

namespace {

std::atomic<std::size_t> in_use = 0, most = 0;

void* allocate(std::size_t size, std::size_t alignment) {
  void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  const std::size_t now = in_use += ::malloc_usable_size(memory);
  for (std::size_t before = most; now > before && !most.compare_exchange_weak(before, now);) {
  }
  return memory;
}

void release(void* memory) noexcept {
  in_use -= ::malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return allocate(size, alignof(std::max_align_t));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
// A sanitizer's own forms for arrays would not come here.
void* operator new[](std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

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

// The most memory in use while fit() runs, beyond what was in use before.
std::size_t measured(const TrainerConfig& config, const Split& parts, std::size_t threads, const StateFile& state) {
  ThreadPool pool(threads);
  const std::size_t before = in_use;
  most = before;
  Trainer(config, &pool).fit(parts.train, parts.validation, {}, state);
  return most - before;
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
