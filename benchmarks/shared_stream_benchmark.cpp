// SPDX-License-Identifier: Apache-2.0

// What it costs hosts to share feedback through Redis on the same machine, which syncs its file before every answer:
// how long it takes from an event at one host to an answer of another that knows it; how many events a second a store
// has acknowledged by then, and another host has taken in; how long a stream of so many events takes to open, and a
// user to be forgotten. Starts redis-server in the folder of temporary files, or on another disk (ATTUNE_SCRATCH_DIR).

#include <benchmark/benchmark.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <attune/serving/redis_event_store.hpp>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "service.hpp"

namespace {

using attune::Interaction;
using attune::Recommender;
using attune::RedisEventStore;
using attune::RedisEventStoreOptions;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

bool smoke() { return std::getenv("ATTUNE_BENCHMARK_SMOKE") != nullptr; }

class Server {
 public:
  Server() {
    const char* const scratch = std::getenv("ATTUNE_SCRATCH_DIR");
    folder_ = (scratch != nullptr ? scratch : std::filesystem::temp_directory_path()) /
              ("attune-stream-" + std::to_string(std::random_device()()));
    std::filesystem::create_directory(folder_);
    std::string words[] = {"redis-server",   "--port",    "0",
                           "--unixsocket",   socket(),    "--dir",
                           folder_.string(), "--save",    "",
                           "--appendonly",   "yes",       "--appendfsync",
                           "always",         "--logfile", (folder_ / "log").string()};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    process_ = fork();
    if (process_ == 0) {
      execvp(arguments.front(), arguments.data());
      _exit(127);
    }
    RedisEventStoreOptions patient = options();
    patient.must_answer = false;
    patient.patience = std::chrono::seconds(30);
    RedisEventStore(patient).announce_model("first");  // returns once the server is there
  }
  Server(const Server&) = delete;
  ~Server() {
    ::kill(process_, SIGKILL);
    int status = 0;
    waitpid(process_, &status, 0);
    std::filesystem::remove_all(folder_);
  }
  std::string socket() const { return (folder_ / "socket").string(); }
  RedisEventStoreOptions options() const {
    RedisEventStoreOptions options;
    options.servers = {socket()};
    options.when_full = attune::FullQueue::wait;
    return options;
  }

 private:
  std::filesystem::path folder_;
  pid_t process_ = 0;
};

// Takes in events of other hosts, and counts them.
struct Counter final : attune::StoreFollower {
  void observed(const Interaction&) override { ++events; }
  void forgotten(const std::function<bool(const attune::Id&)>&) override {}
  void profile_put(const attune::Id&, std::string_view) override {}
  std::atomic<std::size_t> events = 0;
};

Interaction event_of(std::size_t i) { return {i * 7919 % 100'000, i * 104'729 % 100'000, service::time_of(i), "view"}; }

// One event after the other, while `state.range(0)` events a second come from elsewhere.
void event_to_answer(benchmark::State& state) {
  const std::size_t events = smoke() ? 20 : 2'000;
  const Server server;
  const attune::TrainedModel model = service::make_model(service::sasrec_small(), 1'000, 1);
  std::vector<double> milliseconds;
  for (auto _ : state) {
    auto a = Recommender::open(model, {.event_store = std::make_shared<RedisEventStore>(server.options())});
    const auto b = Recommender::open(model, {.event_store = std::make_shared<RedisEventStore>(server.options())});
    std::atomic<bool> done = false;
    std::thread others([&] {
      RedisEventStore store(server.options());
      const auto start = Clock::now();
      for (std::size_t i = 0; !done; ++i) {
        const std::size_t due = static_cast<std::size_t>(seconds_since(start) * static_cast<double>(state.range(0)));
        if (i >= due) {
          --i;
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
          continue;
        }
        const Interaction event = event_of(i);
        store.append({&event, 1}, {});
      }
    });
    const auto start = Clock::now();
    for (std::size_t i = 0; i < events; ++i) {
      const std::size_t user = 1'000'000 + i;
      const auto begun = Clock::now();
      a.observe({.user = user, .item = 7, .timestamp = service::time_of(i)});
      while (b.recommend({.user = user}).shortfall.seen == 0) std::this_thread::yield();
      milliseconds.push_back(1e3 * seconds_since(begun));
    }
    state.SetIterationTime(seconds_since(start));
    done = true;
    others.join();
  }
  std::ranges::sort(milliseconds);
  const auto percentile = [&](double share) {
    return milliseconds[static_cast<std::size_t>(share * static_cast<double>(milliseconds.size() - 1))];
  };
  state.counters["p50_ms"] = percentile(0.5);
  state.counters["p99_ms"] = percentile(0.99);
}

// Appended one by one, by so many threads, until all are acknowledged and another host has them.
void events_per_second(benchmark::State& state) {
  const std::size_t events = smoke() ? 2'000 : 500'000;
  const auto writers = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    const Server server;
    RedisEventStore store(server.options()), other(server.options());
    Counter counter;
    other.follow(&counter);
    std::atomic<std::size_t> lost = 0;
    const auto start = Clock::now();
    std::vector<std::thread> threads;
    for (std::size_t w = 0; w < writers; ++w) {
      threads.emplace_back([&, w] {
        for (std::size_t i = w; i < events; i += writers) {
          const Interaction event = event_of(i);
          store.append({&event, 1}, [&](bool stored) { lost += !stored; });
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    store.flush();
    const double acknowledged = seconds_since(start);
    while (counter.events < events) std::this_thread::yield();
    state.SetIterationTime(seconds_since(start));
    state.counters["acknowledged/s"] = static_cast<double>(events) / acknowledged;
    if (lost != 0) state.SkipWithError("events are not stored");
    other.follow(nullptr);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(events));
}

void open_and_forget(benchmark::State& state) {
  const std::size_t events = smoke() ? 2'000 : 1'000'000;
  const Server server;
  RedisEventStore store(server.options());
  for (std::size_t i = 0; i < events; ++i) {
    const Interaction event = event_of(i);
    store.append({&event, 1}, {});
  }
  store.flush();
  double opening = 0, forgetting = 0;
  for (auto _ : state) {
    auto start = Clock::now();
    RedisEventStore other(server.options());
    std::size_t replayed = 0;
    other.replay([&](const Interaction&) { ++replayed; });
    opening = seconds_since(start);
    start = Clock::now();
    other.erase(std::int64_t{7919});
    forgetting = seconds_since(start);
    state.SetIterationTime(opening + forgetting);
    if (replayed == 0) state.SkipWithError("nothing is replayed");
  }
  state.counters["replay_s"] = opening;
  state.counters["erase_s"] = forgetting;
}

BENCHMARK(event_to_answer)
    ->ArgName("events/s")
    ->Arg(0)
    ->Arg(10'000)
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(events_per_second)
    ->ArgName("threads")
    ->Arg(1)
    ->Arg(4)
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);
BENCHMARK(open_and_forget)->UseManualTime()->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
