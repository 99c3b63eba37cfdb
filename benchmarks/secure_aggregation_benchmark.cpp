// SPDX-License-Identifier: Apache-2.0

// What secure aggregation costs: the server's work when a tenth of the clients drops out after sharing, which is the
// dearest moment, and that of one client. The clients of one round share one thread here; their time is not counted
// with the server's. cpu_s is the processor time of all threads, seconds are elapsed.

#include <benchmark/benchmark.h>

#include <attune/privacy/secure_aggregation.hpp>
#include <cstdlib>
#include <ctime>
#include <string>

namespace {

using attune::AggregationClient;
using attune::AggregationRound;
using attune::AggregationServer;
using attune::AggregationStage;
using attune::ClientIdentity;

using Message = std::vector<std::byte>;

bool smoke() { return std::getenv("ATTUNE_BENCHMARK_SMOKE") != nullptr; }

double elapsed(std::clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Time since the last call of start(), added up.
struct Stopwatch {
  double seconds = 0, cpu = 0, begun = 0, cpu_begun = 0;

  void start() {
    begun = elapsed(CLOCK_MONOTONIC);
    cpu_begun = elapsed(CLOCK_PROCESS_CPUTIME_ID);
  }
  void stop() {
    seconds += elapsed(CLOCK_MONOTONIC) - begun;
    cpu += elapsed(CLOCK_PROCESS_CPUTIME_ID) - cpu_begun;
  }
};

struct Setting {
  Setting(std::size_t n, std::size_t num_values) {
    round.id = AggregationRound::fresh_id();
    round.num_values = num_values;
    round.max_magnitude = 1'000'000;
    for (std::size_t c = 0; c < n; ++c) {
      identities.push_back(ClientIdentity::generate());
      round.clients.push_back(identities.back().public_key);
    }
  }
  AggregationRound round;
  std::vector<ClientIdentity> identities;
};

// Runs a round; `watch_server` and `watch_client` (of client 0) stop the time.
void run(const Setting& setting, std::size_t dropped, attune::Executor* executor, Stopwatch& of_server,
         Stopwatch& of_client, std::size_t& sent, benchmark::State& state) {
  const std::size_t n = setting.round.clients.size();
  const std::vector<std::int64_t> values(setting.round.num_values, 1'000'000);
  AggregationServer server(setting.round, executor);
  std::vector<AggregationClient> clients;
  for (std::size_t c = 0; c < n; ++c) clients.emplace_back(setting.round, c, setting.identities[c]);
  while (server.stage() != AggregationStage::done) {
    const AggregationStage stage = server.stage();
    const std::size_t answering = stage < AggregationStage::inputs ? n : n - dropped;
    for (std::size_t c = 0; c < answering; ++c) {
      of_server.start();
      const Message message = server.message_for(c);
      of_server.stop();
      Message answer;
      if (c == 0) of_client.start();
      switch (stage) {
        case AggregationStage::keys: answer = clients[c].advertise(); break;
        case AggregationStage::shares: answer = clients[c].share(message); break;
        case AggregationStage::inputs: answer = clients[c].mask(message, values); break;
        case AggregationStage::confirmations: answer = clients[c].confirm(message); break;
        default: answer = clients[c].unmask(message); break;
      }
      if (c == 0) of_client.stop();
      if (c == 0) sent += answer.size();
      of_server.start();
      server.receive(answer);
      of_server.stop();
    }
    of_server.start();
    server.advance();
    of_server.stop();
  }
  if (server.sum().front() != static_cast<std::int64_t>(n - dropped) * 1'000'000) state.SkipWithError("a wrong sum");
}

void round_of(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0)), num_values = static_cast<std::size_t>(state.range(1));
  const auto threads = static_cast<std::size_t>(state.range(2));
  const Setting setting(n, smoke() ? 1'000 : num_values);
  attune::ThreadPool pool(threads);
  Stopwatch of_server, of_client;
  std::size_t sent = 0;
  for (auto _ : state) {
    of_server = of_client = {};
    sent = 0;
    run(setting, n / 10, &pool, of_server, of_client, sent, state);
    state.SetIterationTime(of_server.seconds);
  }
  state.counters["server_cpu_s"] = of_server.cpu;
  state.counters["client_cpu_ms"] = 1e3 * of_client.cpu;
  state.counters["client_sends_KB"] = 1e-3 * static_cast<double>(sent);
}

BENCHMARK(round_of)
    ->ArgNames({"clients", "values", "threads"})
    ->Args({10, 200'000, 1})
    ->Args({100, 200'000, 1})
    ->Args({100, 200'000, 2})
    ->Args({1'000, 200'000, 2})
    ->Iterations(1)
    ->UseManualTime()
    ->Unit(benchmark::kSecond);

}  // namespace

BENCHMARK_MAIN();
