// SPDX-License-Identifier: Apache-2.0

// What durable feedback costs: events acknowledged per second by a durable store and how long an acknowledgement takes,
// with 8 writers that have 64 events in flight each; events per second and thread that a recommender with a relaxed
// store observes; and how long a store of a million events takes to open, to serve and to forget a user.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <attune/serving/sqlite_event_store.hpp>
#include <cstdlib>
#include <filesystem>
#include <semaphore>
#include <string>
#include <thread>

#include "service.hpp"

namespace {

using attune::Durability;
using attune::Interaction;
using attune::SqliteEventStore;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

bool smoke() { return std::getenv("ATTUNE_BENCHMARK_SMOKE") != nullptr; }

// A path in the folder of temporary files; ATTUNE_SCRATCH_DIR names another disk.
class StoreFile {
 public:
  StoreFile() {
    const char* const scratch = std::getenv("ATTUNE_SCRATCH_DIR");
    folder_ = (scratch != nullptr ? scratch : std::filesystem::temp_directory_path()) /
              ("attune-store-benchmark-" + std::to_string(std::random_device()()));
    std::filesystem::create_directory(folder_);
  }
  StoreFile(const StoreFile&) = delete;
  ~StoreFile() { std::filesystem::remove_all(folder_); }
  std::string path() const { return (folder_ / "events.db").string(); }

 private:
  std::filesystem::path folder_;
};

// Event i: of one of so many users, on one of 100,000 items, with an id.
struct Event {
  explicit Event(std::size_t i, std::size_t users = 1'000'000)
      : id(std::to_string(i)), interaction{i * 7919 % users, i * 104'729 % 100'000, service::time_of(i), "view"} {
    interaction.event_id = id;
  }
  std::string id;
  Interaction interaction;
};

void durable_appends(benchmark::State& state) {
  constexpr std::size_t kWriters = 8, kInFlight = 64;
  const std::size_t events_of_writer = smoke() ? 200 : 50'000;
  std::vector<double> milliseconds;
  for (auto _ : state) {
    const StoreFile file;
    std::array<std::vector<Clock::time_point>, kWriters> begun, ended;
    std::atomic<std::size_t> lost = 0;
    const auto start = Clock::now();
    {
      SqliteEventStore store(file.path());
      std::vector<std::thread> writers;
      for (std::size_t w = 0; w < kWriters; ++w) {
        begun[w].resize(events_of_writer);
        ended[w].resize(events_of_writer);
        writers.emplace_back([&, w] {
          std::counting_semaphore<kInFlight> room(kInFlight);
          for (std::size_t i = 0; i < events_of_writer; ++i) {
            const Event event(w * events_of_writer + i);
            room.acquire();
            begun[w][i] = Clock::now();
            store.append({&event.interaction, 1}, [&, w, i](bool stored) {
              ended[w][i] = Clock::now();
              lost += !stored;
              room.release();
            });
          }
          for (std::size_t i = 0; i < kInFlight; ++i) room.acquire();
        });
      }
      for (std::thread& writer : writers) writer.join();
    }
    state.SetIterationTime(seconds_since(start));
    if (lost != 0) state.SkipWithError("events are not stored");
    for (std::size_t w = 0; w < kWriters; ++w) {
      for (std::size_t i = 0; i < events_of_writer; ++i) {
        milliseconds.push_back(std::chrono::duration<double, std::milli>(ended[w][i] - begun[w][i]).count());
      }
    }
  }
  std::ranges::sort(milliseconds);
  const auto percentile = [&](double share) {
    return milliseconds[static_cast<std::size_t>(share * static_cast<double>(milliseconds.size() - 1))];
  };
  state.counters["p50_ms"] = percentile(0.5);
  state.counters["p99_ms"] = percentile(0.99);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kWriters * events_of_writer));
}

// One thread; what waits at the end is written outside the clock.
void relaxed_observe(benchmark::State& state) {
  const std::size_t events = smoke() ? 1'000 : 1'000'000;
  const attune::TrainedModel model = service::make_model(service::sasrec_small(), 1'000, 1);
  for (auto _ : state) {
    const StoreFile file;
    auto store = std::make_shared<SqliteEventStore>(file.path(),
                                                    attune::SqliteEventStoreOptions{.durability = Durability::relaxed});
    auto recommender = attune::Recommender::open(model, {.event_store = store});
    const auto start = Clock::now();
    for (std::size_t i = 0; i < events; ++i) {
      const Interaction event{i % 10'000, i * 104'729 % 1'000, service::time_of(i), "view"};
      recommender.observe(event);
    }
    state.SetIterationTime(seconds_since(start));
    store->flush();
    if (recommender.info().unstored_events != 0) state.SkipWithError("events are not stored");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(events));
}

// A million events by so many users, in a file. Gives their number.
std::size_t fill(const StoreFile& file, std::size_t users) {
  const std::size_t events = smoke() ? 1'000 : 1'000'000;
  SqliteEventStore store(file.path(), {.durability = Durability::relaxed});
  for (std::size_t i = 0; i < events; ++i) {
    const Event event(i, users);
    store.append({&event.interaction, 1}, {});
  }
  return events;
}

// Store and recommender.
void recovery(benchmark::State& state) {
  const StoreFile file;
  const std::size_t events = fill(file, static_cast<std::size_t>(state.range(0)));
  const attune::TrainedModel model = service::make_model(service::sasrec_small(), 100'000, 1);
  for (auto _ : state) {
    const auto start = Clock::now();
    auto store = std::make_shared<SqliteEventStore>(file.path());
    const double opened = seconds_since(start);
    const auto recommender = attune::Recommender::open(model, {.event_store = std::move(store)});
    state.SetIterationTime(seconds_since(start));
    state.counters["store_ms"] = 1e3 * opened;
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(events));
}

void erasure(benchmark::State& state) {
  const StoreFile file;
  const std::size_t events = fill(file, 10'000);
  SqliteEventStore store(file.path());
  std::uint64_t user = 0;
  for (auto _ : state) store.erase(attune::Id(user++));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(events));
}

BENCHMARK(durable_appends)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(relaxed_observe)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(recovery)->ArgName("users")->Arg(10'000)->Arg(100'000)->Arg(1'000'000)->UseManualTime()->Unit(
    benchmark::kMillisecond);
BENCHMARK(erasure)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
