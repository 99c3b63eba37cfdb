// SPDX-License-Identifier: Apache-2.0

// What secure aggregation costs: the server's work when a tenth of the clients drops out after sharing, which is the
// dearest moment, and that of one client. The clients of one round share one thread here; their time is not counted
// with the server's. cpu_s is the processor time of all threads, seconds are elapsed.

#include <benchmark/benchmark.h>

#include <algorithm>
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

double elapsed(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

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

struct Cost {
  double server_seconds = 0, server_cpu = 0;
  double client_cpu = 0;  // of client 0
  std::size_t client_sends = 0;

  template <class Work>
  void serve(Work work) {
    const double begun = elapsed(CLOCK_MONOTONIC), cpu_begun = elapsed(CLOCK_PROCESS_CPUTIME_ID);
    work();
    server_seconds += elapsed(CLOCK_MONOTONIC) - begun;
    server_cpu += elapsed(CLOCK_PROCESS_CPUTIME_ID) - cpu_begun;
  }
};

Message answer(AggregationClient& client, AggregationStage stage, const Message& message,
               const std::vector<std::int64_t>& values) {
  switch (stage) {
    case AggregationStage::keys: return client.advertise();
    case AggregationStage::shares: return client.share(message);
    case AggregationStage::inputs: return client.mask(message, values);
    case AggregationStage::confirmations: return client.confirm(message);
    default: return client.unmask(message);
  }
}

// Clients work on the executor, some at a time; then the server takes what they sent.
Cost run(const Setting& setting, std::size_t dropped, attune::Executor& executor, benchmark::State& state) {
  constexpr std::size_t kAtOnce = 64;
  const std::size_t n = setting.round.clients.size();
  const std::vector<std::int64_t> values(setting.round.num_values, 1'000'000);
  Cost cost;
  AggregationServer server(setting.round, &executor);
  std::vector<AggregationClient> clients;
  for (std::size_t c = 0; c < n; ++c) clients.emplace_back(setting.round, c, setting.identities[c]);
  while (server.stage() != AggregationStage::done) {
    const AggregationStage stage = server.stage();
    const std::size_t answering = stage < AggregationStage::inputs ? n : n - dropped;
    for (std::size_t first = 0; first < answering; first += kAtOnce) {
      std::vector<Message> messages(std::min(kAtOnce, answering - first));
      cost.serve([&] {
        for (std::size_t i = 0; i < messages.size(); ++i) messages[i] = server.message_for(first + i);
      });
      executor.run(messages.size(), [&](std::size_t i, std::size_t) {
        const double begun = elapsed(CLOCK_THREAD_CPUTIME_ID);
        messages[i] = answer(clients[first + i], stage, messages[i], values);
        if (first + i != 0) return;
        cost.client_cpu += elapsed(CLOCK_THREAD_CPUTIME_ID) - begun;
        cost.client_sends += messages[i].size();
      });
      cost.serve([&] {
        for (const Message& message : messages) server.receive(message);
      });
    }
    cost.serve([&] { server.advance(); });
  }
  if (server.sum().front() != static_cast<std::int64_t>(n - dropped) * 1'000'000) state.SkipWithError("a wrong sum");
  return cost;
}

void round_of(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0)), num_values = static_cast<std::size_t>(state.range(1));
  const Setting setting(n, smoke() ? 1'000 : num_values);
  attune::ThreadPool pool(static_cast<std::size_t>(state.range(2)));
  Cost cost;
  for (auto _ : state) {
    cost = run(setting, n / 10, pool, state);
    state.SetIterationTime(cost.server_seconds);
  }
  state.counters["server_cpu_s"] = cost.server_cpu;
  state.counters["client_cpu_ms"] = 1e3 * cost.client_cpu;
  state.counters["client_sends_KB"] = 1e-3 * static_cast<double>(cost.client_sends);
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
