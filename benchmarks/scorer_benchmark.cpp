// SPDX-License-Identifier: Apache-2.0

// How many rows does the exact scan score per second? One thread, width 64, ten best of catalogues from 3,706 to a
// million items, at the level that ATTUNE_SIMD names or this CPU likes best; with nothing, half, and 99.9 % filtered.

#include <benchmark/benchmark.h>

#include <attune/serving/cosine_scorer.hpp>
#include <cstdint>
#include <random>
#include <vector>

namespace {

constexpr std::size_t kDim = 64;
constexpr std::size_t kBest = 10;

void top_k(benchmark::State& state) {
  const auto items = static_cast<std::size_t>(state.range(0));
  const auto eligible_per_mille = static_cast<std::uint64_t>(state.range(1));
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  attune::EmbeddingTable<float> table(items, kDim);
  for (std::size_t i = 0; i < items; ++i) {
    for (float& x : table.row(i)) x = normal(random);
  }
  const attune::CosineScorer<float> scorer(attune::ScorerRows<float>(table, attune::ScoreKind::cosine));
  std::vector<std::uint64_t> eligible((items + 63) / 64);
  for (std::size_t i = 0; i < items; ++i) {
    if (random() % 1000 < eligible_per_mille) eligible[i / 64] |= std::uint64_t{1} << (i % 64);
  }
  std::vector<std::vector<float>> queries(64, std::vector<float>(kDim));
  for (auto& query : queries) {
    for (float& x : query) x = normal(random);
  }
  attune::Workspace workspace;
  std::size_t q = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        scorer.top_k({.user_vector = queries[q++ % queries.size()]}, eligible, {}, kBest, workspace));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(items));
  state.SetLabel(attune::simd_level());
}

BENCHMARK(top_k)
    ->ArgNames({"items", "eligible_per_mille"})
    ->ArgsProduct({{3'706, 100'000, 1'000'000}, {1000, 500, 1}})
    ->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
