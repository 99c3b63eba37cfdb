// SPDX-License-Identifier: Apache-2.0

// What homomorphic aggregation costs on one core: encrypting the values of a client, adding them to a sum, and
// decrypting the sum, in slots of 32 bits that hold the sums of a thousand clients.

#include <benchmark/benchmark.h>

#include <attune/privacy/paillier.hpp>
#include <cstdlib>

namespace {

using attune::PaillierAggregator;
using attune::PaillierClient;
using attune::PaillierPrivateKey;
using attune::PaillierRound;

const PaillierPrivateKey& key_of(unsigned bits) {
  static const PaillierPrivateKey key_2048 = PaillierPrivateKey::generate(2'048);
  static const PaillierPrivateKey key_3072 = PaillierPrivateKey::generate(3'072);
  return bits == 2'048 ? key_2048 : key_3072;
}

struct Setting {
  explicit Setting(const benchmark::State& state)
      : key(key_of(static_cast<unsigned>(state.range(0)))),
        round{.num_values = std::getenv("ATTUNE_BENCHMARK_SMOKE") != nullptr ? std::size_t{100}
                                                                             : static_cast<std::size_t>(state.range(1)),
              .max_magnitude = 2'000'000},
        client(key.public_key(), round) {}

  const PaillierPrivateKey& key;
  const PaillierRound round;
  const PaillierClient client;
};

void encrypt(benchmark::State& state) {
  const Setting setting(state);
  const std::vector<std::int64_t> values(setting.round.num_values, -12'345);
  std::size_t bytes = 0;
  for (auto _ : state) bytes = setting.client.encrypt(values).size();
  state.counters["KB"] = 1e-3 * static_cast<double>(bytes);
}

void add(benchmark::State& state) {
  const Setting setting(state);
  const std::vector<std::int64_t> values(setting.round.num_values, -12'345);
  const auto first = setting.client.encrypt(values), second = setting.client.encrypt(values);
  for (auto _ : state) {
    state.PauseTiming();
    PaillierAggregator aggregator(setting.key.public_key(), setting.round);
    aggregator.add(first);
    state.ResumeTiming();
    aggregator.add(second);
  }
}

void decrypt(benchmark::State& state) {
  const Setting setting(state);
  PaillierAggregator aggregator(setting.key.public_key(), setting.round);
  aggregator.add(setting.client.encrypt(std::vector<std::int64_t>(setting.round.num_values, -12'345)));
  const auto sum = aggregator.sum();
  for (auto _ : state) {
    if (setting.key.decrypt(setting.round, sum).values.back() != -12'345) state.SkipWithError("a wrong sum");
  }
}

void generate_key(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(PaillierPrivateKey::generate(static_cast<unsigned>(state.range(0))));
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  for (const int bits : {2'048, 3'072}) benchmark->Args({bits, 1'000})->Args({bits, 50'000});
}

BENCHMARK(encrypt)->ArgNames({"bits", "values"})->Apply(sizes)->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK(add)->ArgNames({"bits", "values"})->Apply(sizes)->Iterations(3)->Unit(benchmark::kMillisecond);
BENCHMARK(decrypt)->ArgNames({"bits", "values"})->Apply(sizes)->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK(generate_key)->ArgName("bits")->Arg(2'048)->Arg(3'072)->Iterations(3)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
