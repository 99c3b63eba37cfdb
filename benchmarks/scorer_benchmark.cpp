// SPDX-License-Identifier: Apache-2.0

// How long does a search take, exact or with a recall of 0.99? One thread, width 64, ten best of catalogues from 300 to
// a million items, per storage of the rows, at the level that ATTUNE_SIMD names or this CPU likes best: isotropic,
// clustered and skewed vectors, without and with a term per item, with nothing, half, and 99.9 % filtered.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <attune/serving/cosine_scorer.hpp>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <vector>

namespace {

constexpr std::size_t kDim = 64;
constexpr std::size_t kBest = 10;

enum Data : std::int64_t { isotropic, clustered, skewed };

// Vectors of one distribution. Clustered: 256 centres, seven parts centre and seven parts noise. Skewed: a spectrum of
// 1 / (1 + 0.35 i) behind a random mixing, one component with mean 1.
class Source {
 public:
  explicit Source(Data data) : data_(data) {
    for (auto& centre : centres_) fill(centre);
    for (auto& row : mixing_) fill(row);
  }
  void operator()(std::span<float> vector) {
    std::array<float, kDim> x;
    fill(x);
    const auto& centre = centres_[random_() % centres_.size()];
    for (std::size_t d = 0; d < kDim; ++d) {
      if (data_ == clustered) x[d] = 0.7f * centre[d] + 0.7f * x[d];
      if (data_ == skewed) x[d] = (x[d] + (d == 0 ? 1.0f : 0.0f)) / (1 + 0.35f * static_cast<float>(d));
    }
    for (std::size_t d = 0; d < kDim; ++d) {
      vector[d] = data_ == skewed ? 0.0f : x[d];
      for (std::size_t i = 0; data_ == skewed && i < kDim; ++i) vector[d] += mixing_[d][i] * x[i];
    }
  }

 private:
  void fill(std::span<float> x) {
    for (float& element : x) element = normal_(random_);
  }
  Data data_;
  std::mt19937_64 random_{1};
  std::normal_distribution<float> normal_;
  std::array<std::array<float, kDim>, 256> centres_;
  std::array<std::array<float, kDim>, kDim> mixing_;
};

// A scorer and what it is asked. The last one made of each kind is kept: a benchmark is called more than once. Of
// queries like the rows, at least `kPercent` of the ten best are to be found on average.
template <class Storage, int kPercent>
struct Setting {
  static const Setting& of(std::size_t items, Data data) {
    static std::unique_ptr<Setting> last;
    if (!last || last->scorer.size() != items || last->data != data) {
      last.reset();
      last = std::make_unique<Setting>(items, data);
    }
    return *last;
  }
  Setting(std::size_t items, Data data_) : data(data_), source(data_), scorer(make_rows(items)) {
    for (auto& query : queries) source(query);
    if constexpr (std::same_as<Storage, attune::Clustered>) recall = measure_recall();
  }
  attune::ScorerRows<Storage> make_rows(std::size_t items) {
    attune::EmbeddingTable<float> table(items, kDim);
    for (std::size_t i = 0; i < items; ++i) source(table.row(i));
    if constexpr (std::same_as<Storage, attune::Clustered>) {
      return {table, attune::ScoreKind::cosine, {.recall = kPercent / 100.0}};
    } else {
      return {table, attune::ScoreKind::cosine};
    }
  }
  // Against scores of all rows.
  double measure_recall() const {
    const attune::ScorerRows<float>& rows = scorer.rows().exact();
    const std::vector<std::uint64_t> all((rows.size() + 63) / 64, ~std::uint64_t{0});
    std::vector<float> scores(rows.size());
    attune::Buffer<float> prepared;
    attune::Workspace workspace;
    std::size_t found = 0;
    for (const auto& query : queries) {
      if (!rows.prepare(query, prepared)) continue;
      rows.dot(scores.data(), prepared.data(), 0, rows.size());
      const auto items = scorer.top_k({.user_vector = query}, all, {}, kBest, workspace);
      std::nth_element(scores.begin(), scores.begin() + (kBest - 1), scores.end(), std::greater<>());
      for (const attune::ScoredHandle& item : items) found += item.score >= scores[kBest - 1] ? 1u : 0u;
    }
    return static_cast<double>(found) / static_cast<double>(queries.size() * kBest);
  }
  Data data;
  Source source;
  attune::CosineScorer<Storage> scorer;
  std::array<std::array<float, kDim>, 64> queries;
  double recall = 1;
};

template <class Storage, int kPercent = 100>
void top_k(benchmark::State& state) {
  const auto items = static_cast<std::size_t>(state.range(0));
  const auto& setting = Setting<Storage, kPercent>::of(items, static_cast<Data>(state.range(1)));
  const bool with_terms = state.range(2) != 0;
  const auto eligible_per_mille = static_cast<std::uint64_t>(state.range(3));
  std::mt19937_64 random(2);
  std::normal_distribution<float> normal(0.0f, 0.1f);
  std::vector<std::uint64_t> eligible((items + 63) / 64);
  for (std::size_t i = 0; i < items; ++i) {
    if (random() % 1000 < eligible_per_mille) eligible[i / 64] |= std::uint64_t{1} << (i % 64);
  }
  std::vector<float> terms(with_terms ? items : 0);
  for (float& term : terms) term = normal(random);
  attune::Workspace workspace;
  std::size_t q = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(setting.scorer.top_k({.user_vector = setting.queries[q++ % setting.queries.size()]},
                                                  eligible, terms, kBest, workspace));
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(items));
  state.counters["bytes_per_item"] =
      static_cast<double>(setting.scorer.rows().memory_bytes()) / static_cast<double>(items);
  state.counters["recall"] = setting.recall;
  state.SetLabel(attune::simd_level());
}

// The time is that of a whole batch; per_query is what a query takes.
template <class Storage>
void top_k_batch(benchmark::State& state) {
  const auto items = static_cast<std::size_t>(state.range(0));
  const auto& setting = Setting<Storage, 100>::of(items, static_cast<Data>(state.range(1)));
  const auto count = static_cast<std::size_t>(state.range(2));
  const std::vector<std::uint64_t> eligible((items + 63) / 64, ~std::uint64_t{0});
  attune::Workspace workspace;
  std::vector<attune::BatchedQuery> queries(count);
  for (std::size_t q = 0; q < count; ++q) queries[q].user_vector = setting.queries[q % setting.queries.size()];
  for (auto _ : state) setting.scorer.top_k_batch(queries, eligible, workspace);
  state.counters["per_query"] = benchmark::Counter(
      static_cast<double>(count), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.SetLabel(attune::simd_level());
}

void batch_arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"items", "data", "queries"})->Unit(benchmark::kMillisecond);
  for (const std::int64_t items : {3'706, 100'000, 1'000'000}) {
    for (const std::int64_t data : {isotropic, clustered, skewed}) benchmark->Args({items, data, 64});
  }
}

void arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"items", "data", "terms", "eligible_per_mille"})->Unit(benchmark::kMicrosecond);
  for (const std::int64_t items : {300, 1'000, 3'706, 10'000, 30'000, 100'000, 1'000'000}) {
    benchmark->Args({items, isotropic, 0, 1000});
    if (items != 3'706 && items < 100'000) continue;  // the others show where one storage overtakes another
    benchmark->Args({items, clustered, 0, 1000})->Args({items, skewed, 0, 1000});
    benchmark->Args({items, isotropic, 1, 1000})->Args({items, isotropic, 0, 500})->Args({items, isotropic, 0, 1});
  }
}
BENCHMARK(top_k<float>)->Name("float")->Apply(arguments);
BENCHMARK(top_k<std::int8_t>)->Name("int8")->Apply(arguments);
BENCHMARK(top_k<attune::Int4>)->Name("int4")->Apply(arguments);
BENCHMARK(top_k_batch<std::int8_t>)->Name("batch_int8")->Apply(batch_arguments);

void list_arguments(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"items", "data", "terms", "eligible_per_mille"})->Unit(benchmark::kMicrosecond);
  for (const std::int64_t items : {3'706, 100'000, 1'000'000}) {
    benchmark->Args({items, isotropic, 0, 1000});
    for (const std::int64_t data : {clustered, skewed}) {
      benchmark->Args({items, data, 0, 1000})->Args({items, data, 1, 1000});
      benchmark->Args({items, data, 0, 500})->Args({items, data, 0, 1});
    }
  }
}
BENCHMARK(top_k<attune::Clustered>)->Name("lists_exact")->Apply(list_arguments);
BENCHMARK(top_k<attune::Clustered, 99>)->Name("lists_99_percent")->Apply(list_arguments);

}  // namespace

BENCHMARK_MAIN();
