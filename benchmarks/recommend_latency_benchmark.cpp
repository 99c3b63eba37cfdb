// SPDX-License-Identifier: Apache-2.0

// How long from an event to k items? One thread observes an event of a user with 200 earlier ones and asks for ten
// items; percentiles of the pair are counters, in microseconds. "warm" asks for one user again and again, "cold" for
// 2,000 in turn, so that caches come from memory. "full" encodes a bare history of 200 events anew.
// ATTUNE_MODEL=DIR adds the users and the model of that directory ("model/...").

#include <benchmark/benchmark.h>

#include <algorithm>
#include <attune/model/checkpoint.hpp>
#include <attune/model/count_models.hpp>
#include <attune/recommender.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kHistory = 200;
constexpr std::size_t kUsers = 2000;

// Random weights in the shape of preset sasrec-small, users with kHistory events each.
attune::TrainedModel make_model(std::size_t num_items) {
  attune::EncoderConfig config;
  config.inner_dim = config.embedding_dim;
  auto encoder = std::shared_ptr<attune::SequenceEncoder<float>>(attune::make_encoder(config, num_items));
  encoder->initialize(1);
  auto items = std::make_shared<attune::IdMap>(attune::IdKind::int64);
  for (std::size_t i = 0; i < num_items; ++i) items->insert(i);
  auto users = std::make_shared<attune::IdMap>(attune::IdKind::int64);
  auto histories = std::make_shared<attune::Histories>();
  std::mt19937_64 random(1);
  for (std::size_t u = 0; u < kUsers; ++u) {
    users->insert(u);
    for (std::size_t e = 0; e < kHistory; ++e) {
      histories->items.push_back(static_cast<attune::ItemHandle>(random() % num_items));
      histories->times.push_back(static_cast<attune::Timestamp>(e));
    }
    histories->offsets.push_back(histories->items.size());
  }
  histories->kinds.resize(histories->items.size());
  histories->values.resize(histories->items.size(), 1.0f);
  histories->user_ids = users;
  histories->item_ids = items;
  attune::TrainedModel model;
  model.version = "random";
  model.item_ids = items;
  model.encoder = encoder;
  model.popularity = std::make_shared<attune::PopularityModel>(attune::PopularityModel::fit(*histories));
  model.counts = std::make_shared<attune::MarkovModel>(attune::MarkovModel::fit(*histories, {.steps = 1}));
  model.histories = histories;
  return model;
}

// Times one call of `request` per iteration and reports percentiles.
void measure(benchmark::State& state, auto request) {
  std::vector<double> microseconds;
  for (auto _ : state) {
    const auto start = Clock::now();
    request();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    state.SetIterationTime(seconds);
    microseconds.push_back(1e6 * seconds);
  }
  std::sort(microseconds.begin(), microseconds.end());
  const auto percentile = [&](std::size_t p) { return microseconds[(microseconds.size() - 1) * p / 100]; };
  state.counters["p50_us"] = percentile(50);
  state.counters["p99_us"] = percentile(99);
}

// Observes and recommends for `users` in turn.
void observe_and_recommend(benchmark::State& state, attune::Recommender& recommender,
                           const std::vector<attune::Id>& users, const std::vector<attune::Id>& items) {
  attune::Answer answer;
  std::uint64_t i = 0;
  const auto request = [&] {
    const attune::Id user = users[i % users.size()];
    recommender.observe({.user = user, .item = items[i * 7919 % items.size()]});
    recommender.recommend({.user = user}, answer);
    ++i;
    benchmark::DoNotOptimize(answer.items.data());
  };
  for (std::size_t warm_up = 0; warm_up < users.size() + 10; ++warm_up) request();
  measure(state, request);
}

void encode_in_full(benchmark::State& state, attune::Recommender& recommender, const std::vector<attune::Id>& items) {
  std::vector<attune::Id> history;
  for (std::size_t e = 0; e < kHistory; ++e) history.push_back(items[e * 7919 % items.size()]);
  measure(state, [&] { benchmark::DoNotOptimize(recommender.recommend_history(history)); });
}

void add_benchmarks(const std::string& name, const attune::TrainedModel& model) {
  auto recommender = std::make_shared<attune::Recommender>(attune::Recommender::open(model));
  // Ids are views: the maps stay with the benchmarks.
  const auto item_ids = model.item_ids;
  const auto histories = model.histories;
  std::vector<attune::Id> items, users;
  for (std::uint32_t i = 0; i < item_ids->size(); ++i) items.push_back(item_ids->id(i));
  for (std::uint32_t u = 0; u < histories->num_users() && users.size() < kUsers; ++u) {
    if (histories->of(u).size() >= kHistory) users.push_back(histories->user_ids->id(u));
  }
  const auto add = [&](const std::string& what, auto body) {
    benchmark::RegisterBenchmark((name + "/" + what).c_str(),
                                 [=](benchmark::State& state) {
                                   benchmark::DoNotOptimize(item_ids.get());
                                   body(state);
                                 })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
  };
  add("warm", [=](benchmark::State& state) { observe_and_recommend(state, *recommender, {users.front()}, items); });
  add("cold", [=](benchmark::State& state) { observe_and_recommend(state, *recommender, users, items); });
  add("full", [=](benchmark::State& state) { encode_in_full(state, *recommender, items); });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const std::size_t items : {std::size_t{3'706}, std::size_t{100'000}, std::size_t{1'000'000}}) {
    // A smoke run is over before the larger catalogues are made.
    if (items > 3'706 && std::getenv("ATTUNE_BENCHMARK_SMOKE") != nullptr) break;
    add_benchmarks(std::to_string(items) + "_items", make_model(items));
  }
  if (const char* directory = std::getenv("ATTUNE_MODEL"))
    add_benchmarks("model", attune::TrainedModel::load(directory));
  benchmark::RunSpecifiedBenchmarks();
}
