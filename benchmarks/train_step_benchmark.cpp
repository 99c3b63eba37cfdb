// SPDX-License-Identifier: Apache-2.0

// How long does training take? One epoch, and so one step, of SASRec and HSTU on data of MovieLens-1M's shape: 6,040
// users, 3,416 items, a million events. With ATTUNE_DATA_DIR set also on the real data. Every epoch sees the newest 200
// events of each user, whatever the preset says.
//   train_step_benchmark [--benchmark_filter=hstu-large/users:6040]

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <attune/attune.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <thread>

namespace {

// Histories of at least 20 events, 165 on average; items by a power law, as ratings are.
attune::Histories synthetic(std::size_t users) {
  constexpr std::size_t kItems = 3416;
  std::mt19937_64 random{1};
  std::exponential_distribution<double> length{1.0 / 145};
  std::uniform_real_distribution<double> uniform{0, 1};
  attune::InteractionLog log{attune::IdKind::int64, attune::IdKind::int64};
  for (std::size_t user = 0; user < users; ++user) {
    const std::size_t events = 20 + static_cast<std::size_t>(length(random));
    for (std::size_t i = 0; i < events; ++i) {
      const auto item = static_cast<std::int64_t>(static_cast<double>(kItems) * std::pow(uniform(random), 2.5));
      log.append({.user = user, .item = item, .timestamp = static_cast<attune::Timestamp>(i)});
    }
  }
  return attune::group_by_user(std::move(log));
}

// Events that are learned to predict: of each user the newest, as many as the window holds.
std::size_t targets(const attune::Histories& histories, std::size_t window) {
  std::size_t count = 0;
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    const std::size_t events = histories.of(user).size();
    if (events >= 2) count += std::min(events - 1, window);
  }
  return count;
}

struct Measured {
  double epoch_seconds = 0;
  std::size_t steps = 0, targets = 0, threads = 0;
  std::string what;
};
std::optional<Measured> answer;  // of the largest data so far, the last model

void train_one_epoch(benchmark::State& state, const std::string& preset, const std::string& data,
                     const attune::Histories& train, std::size_t threads) {
  attune::TrainerConfig config = attune::TrainerConfig::preset(preset);
  config.epochs = 1;
  config.windows = attune::Windows::newest;
  attune::ThreadPool executor{threads};
  Measured measured{0, 0, targets(train, config.encoder.max_sequence_length), threads, preset + ", " + data};
  attune::Progress progress;
  progress.step = [&](const attune::StepReport& step) {
    measured.steps = step.steps;
    return true;
  };
  for (auto _ : state) {
    attune::Trainer trainer{config, &executor};
    trainer.fit(train, {}, progress);
    measured.epoch_seconds = trainer.epochs().front().seconds;
    state.SetIterationTime(measured.epoch_seconds);
  }
  state.counters["ms_per_step"] = 1e3 * measured.epoch_seconds / static_cast<double>(measured.steps);
  state.counters["targets_per_second"] = static_cast<double>(measured.targets) / measured.epoch_seconds;
  if (!answer || measured.targets >= answer->targets) answer = measured;
}

void add(const std::string& preset, const std::string& data, std::shared_ptr<const attune::Histories> train,
         std::size_t threads) {
  const std::string name = "train_epoch/" + preset + '/' + data + "/threads:" + std::to_string(threads);
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) { train_one_epoch(state, preset, data, *train, threads); })
      ->UseManualTime()
      ->Iterations(1)
      ->Unit(benchmark::kSecond);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const std::size_t threads = std::max(1u, std::thread::hardware_concurrency());
  constexpr std::array kPresets{"sasrec-small", "hstu-large"};
  for (const std::size_t users : {std::size_t{8}, std::size_t{6040}}) {
    const auto train = std::make_shared<const attune::Histories>(synthetic(users));
    for (const char* preset : kPresets) {
      add(preset, "users:" + std::to_string(users), train, 1);
      if (threads > 1) add(preset, "users:" + std::to_string(users), train, threads);
    }
  }
  const char* data = std::getenv("ATTUNE_DATA_DIR");
  if (data == nullptr || *data == '\0') {
    std::printf("ATTUNE_DATA_DIR is not set: MovieLens-1M itself is skipped\n");
  } else {
    const auto log = attune::read_interactions(std::string(data) + "/ml-1m.interactions.csv.xz");
    const auto split = attune::split(attune::group_by_user(attune::clean(log, {.drop_duplicates = true, .k_core = 5})),
                                     attune::SplitOptions::parse("leave-one-out"));
    const auto train = std::make_shared<const attune::Histories>(split.train);
    for (const char* preset : kPresets) add(preset, "ml-1m", train, threads);
  }
  benchmark::RunSpecifiedBenchmarks();
  if (answer) {
    std::printf("\nOne epoch (%s, %zu targets, %zu threads, %s): %.2f s; one step: %.1f ms.\n", answer->what.c_str(),
                answer->targets, answer->threads, attune::simd_level(), answer->epoch_seconds,
                1e3 * answer->epoch_seconds / static_cast<double>(answer->steps));
  }
}
