// SPDX-License-Identifier: Apache-2.0

// How does the time of an answer grow? One thing grows at a time, the rest has the shape of preset sasrec-small: 3,706
// items, 200 events in a window, 1,000 users in random order, one thread.
//   catalogue  ten best of so many items, 64 wide, isotropic, in the storage that is taken for them: no request around
//   window     observe and ask for ten items, windows full and sliding
//   users      the same, histories of 50 events, 2 GB of caches: those for whom there is no room are encoded anew
//   threads    four requests for items to one event, requests of all threads in a second
// and with so many items, each with a set of names, a number and an end of its time, for a user without new events:
//   no_rules   ten items
//   filter     ten of the quarter that a filter of three conditions leaves
//   boosts     ten, with two boosts, each of half the items
//   changes    ten of the filter's, after one item has changed
//   upsert     no request: all items anew, in batches of 10,000; "item_ns" for one

#include <benchmark/benchmark.h>

#include <algorithm>
#include <attune/recommender.hpp>
#include <attune/serving/cosine_scorer.hpp>
#include <attune/serving/policy.hpp>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "service.hpp"

namespace {

using service::Service;

constexpr std::size_t kItems = 3'706, kUsers = 1'000, kWindow = 200;

template <class Storage>
void ask_scorer(benchmark::State& state) {
  constexpr std::size_t kDim = 64, kBest = 10;
  const auto items = static_cast<std::size_t>(state.range(0));
  static std::unique_ptr<attune::CosineScorer<Storage>> scorer;  // a benchmark is called more than once
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  if (!scorer || scorer->size() != items) {
    scorer.reset();
    attune::EmbeddingTable<float> table(items, kDim);
    for (std::size_t item = 0; item < items; ++item) {
      for (float& element : table.row(item)) element = normal(random);
    }
    scorer =
        std::make_unique<attune::CosineScorer<Storage>>(attune::ScorerRows<Storage>(table, attune::ScoreKind::cosine));
  }
  std::vector<float> query(kDim);
  const std::vector<std::uint64_t> eligible((items + 63) / 64, ~std::uint64_t{0});
  attune::Workspace workspace;
  for (auto _ : state) {
    for (float& element : query) element = normal(random);
    benchmark::DoNotOptimize(scorer->top_k({.user_vector = query}, eligible, {}, kBest, workspace));
  }
  state.counters["bytes"] = benchmark::Counter(
      static_cast<double>(scorer->rows().memory_bytes()) - static_cast<double>(scorer->rows().exact().memory_bytes()),
      benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(attune::simd_level());
}

std::unique_ptr<Service> serve(std::size_t window, std::size_t users, std::size_t events) {
  attune::EncoderConfig config = service::sasrec_small();
  config.max_sequence_length = window;
  attune::RecommenderOptions options;
  options.cache_budget_bytes = std::size_t{3} << 30;
  return std::make_unique<Service>(service::make_model(config, kItems, users, events), options, events);
}

void ask(benchmark::State& state, Service& service) {
  service.make_resident();
  static std::mt19937_64 random(2);  // goes on: who was asked for in the last repetition is nothing special in this one
  service::measure(
      state, [] {}, [&] { service.observe_and_recommend(random() % service.num_users()); });
  state.SetLabel(attune::simd_level());
}

void grow_window(benchmark::State& state) {
  const auto window = static_cast<std::size_t>(state.range(0));
  ask(state, service::named("window " + std::to_string(window), [=] { return serve(window, kUsers / 10, window); }));
}

void grow_users(benchmark::State& state) {
  const auto users = static_cast<std::size_t>(state.range(0));
  ask(state, service::named("users " + std::to_string(users), [=] { return serve(kWindow, users, 50); }));
}

void grow_threads(benchmark::State& state) {
  Service& service = service::named("threads", [] { return serve(kWindow, kUsers, kWindow); });
  service::ask_mixed(state, service);
  state.SetLabel(attune::simd_level());
}

// A host that says of its items what rules ask for.
class Shop {
 public:
  explicit Shop(std::size_t num_items) {
    const attune::TrainedModel model = service::make_model(service::sasrec_small(), num_items, 2, kWindow);
    attune::RecommenderOptions options;
    options.item_fields = {{"genre", attune::FieldType::category}, {"price", attune::FieldType::number}};
    recommender_ = std::make_unique<attune::Recommender>(attune::Recommender::open(model, options));
    for (std::size_t i = 0; i < num_items; ++i) {
      attune::Item& item = items_.emplace_back(attune::Item{.id = i});
      item.fields = {{"genre", i % 2 == 0 ? "Drama|War" : "News"}, {"price", i % 100}};
      item.available_until = static_cast<attune::Timestamp>(kLast + i);
    }
    upsert_all();
    filter_ = recommender_->compile({.filter = "genre = 'War' and (price < 50 or not has(genre))"});
    boosts_ = recommender_->compile({.boosts = {{"genre = 'News'", 0.1f}, {"price >= 50", 0.05f}}});
  }

  void upsert_all() {
    constexpr std::size_t kBatch = 10'000;
    ++upserts_;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      items_[i].fields[1] = {"price", static_cast<double>(i % 100) + (upserts_ % 2 == 0 ? 0.5 : 0.0)};
    }
    for (std::size_t first = 0; first < items_.size(); first += kBatch) {
      recommender_->upsert_items(std::span(items_).subspan(first, std::min(kBatch, items_.size() - first)));
    }
  }
  void change_one() {
    const std::size_t changed = ++changes_ * 7919 % items_.size();
    recommender_->upsert_item({.id = items_[changed].id, .fields = {{"price", changes_ % 100}}});
  }
  void recommend(const attune::Policy* policy) {
    recommender_->recommend({.user = 0, .now = 0, .policy = policy}, answer_);
    benchmark::DoNotOptimize(answer_.items.data());
  }
  const attune::Policy& filter() const { return filter_; }
  const attune::Policy& boosts() const { return boosts_; }
  std::size_t size() const { return items_.size(); }

 private:
  static constexpr std::size_t kLast = std::size_t{1} << 40;
  std::unique_ptr<attune::Recommender> recommender_;
  std::vector<attune::Item> items_;
  attune::Policy filter_, boosts_;
  attune::Answer answer_;
  std::size_t changes_ = 0, upserts_ = 0;
};

Shop& shop_of(std::size_t items) {
  static std::unique_ptr<Shop> shop;
  if (!shop || shop->size() != items) {
    shop.reset();
    shop = std::make_unique<Shop>(items);
  }
  return *shop;
}

void ask_under(benchmark::State& state, const attune::Policy& (Shop::*policy)() const, bool changes) {
  Shop& shop = shop_of(static_cast<std::size_t>(state.range(0)));
  const attune::Policy* const rules = policy == nullptr ? nullptr : &(shop.*policy)();
  shop.recommend(rules);
  const auto prepare = [&] {
    if (changes) shop.change_one();
  };
  service::measure(state, prepare, [&] { shop.recommend(rules); });
  state.SetLabel(attune::simd_level());
}

void upsert(benchmark::State& state) {
  Shop& shop = shop_of(static_cast<std::size_t>(state.range(0)));
  service::measure(
      state, [] {}, [&] { shop.upsert_all(); });
  state.counters["item_ns"] = 1e3 * state.counters["p50_us"] / static_cast<double>(shop.size());
}

void add_rules(std::int64_t items) {
  const auto add = [&](const char* name, auto body) {
    benchmark::RegisterBenchmark(name, body)->Arg(items)->UseManualTime()->Unit(benchmark::kMicrosecond);
  };
  add("no_rules", [](benchmark::State& state) { ask_under(state, nullptr, false); });
  add("filter", [](benchmark::State& state) { ask_under(state, &Shop::filter, false); });
  add("boosts", [](benchmark::State& state) { ask_under(state, &Shop::boosts, false); });
  add("changes", [](benchmark::State& state) { ask_under(state, &Shop::filter, true); });
  add("upsert", upsert);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const bool smoke = std::getenv("ATTUNE_BENCHMARK_SMOKE") != nullptr;
  for (const std::int64_t items : {1'000, 10'000, 100'000, 1'000'000, 10'000'000}) {
    const auto body = items < 32'768 ? ask_scorer<std::int8_t> : ask_scorer<attune::Int4>;
    benchmark::RegisterBenchmark("catalogue", body)->Arg(items)->Unit(benchmark::kMicrosecond);
  }
  for (const std::int64_t window : {10, 20, 50, 100, 200, 500, 1'000, 2'000}) {
    benchmark::RegisterBenchmark("window", grow_window)->Arg(window)->UseManualTime()->Unit(benchmark::kMicrosecond);
  }
  for (const std::int64_t users : {1'000, 10'000, 100'000, 1'000'000}) {
    benchmark::RegisterBenchmark("users", grow_users)->Arg(users)->UseManualTime()->Unit(benchmark::kMicrosecond);
  }
  for (const std::int64_t items : {3'706, 100'000, 1'000'000}) add_rules(items);
  const int threads = smoke ? 1 : static_cast<int>(std::thread::hardware_concurrency());
  benchmark::RegisterBenchmark("threads", grow_threads)
      ->ThreadRange(1, threads)
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
  benchmark::RunSpecifiedBenchmarks();
}
