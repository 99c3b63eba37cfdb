// SPDX-License-Identifier: Apache-2.0

// How long from an event to k items? One thread observes an event of a user with 200 to 249 earlier ones and asks for
// ten items; percentiles of the pair are counters, in microseconds. Windows slide as they do in service: once every hop
// events, which for a window of 200 is two requests of a hundred, and so within p99. "asked" counts all pairs so far.
//   warm      one user asks again and again (a hundred times, then the next one does)
//   resident  20,000 users (hstu_large: 5,000) in random order, whose caches come from memory
//   full      a bare history of 200 events, encoded anew
//   mixed     four requests for items to one event, resident users, two threads; per thread and second
// "3706_items/..." has the shape of preset sasrec-small, "hstu_large/..." that of hstu-large with the time of the
// request, "hstu_50/..." is narrower, without feed-forward layers. "..._bfloat16/..." keeps user states so.
// ATTUNE_MODEL=DIR adds the users and the model of that directory ("model/..."). One that was imported has no users: it
// gets random ones, for "model_short/..." with histories that stay shorter than 200 events.

#include <benchmark/benchmark.h>

#include <attune/model/checkpoint.hpp>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "service.hpp"

namespace {

using service::Service;

constexpr std::size_t kHistory = 200;      // events of the shortest history
constexpr std::size_t kShortHistory = 50;  // kVisit and kSpread events later still shorter
constexpr std::size_t kVisit = 100;        // requests of a warm user

// A smoke run is over before many users and the larger catalogues are made, and always asks as often.
bool is_smoke() { return std::getenv("ATTUNE_BENCHMARK_SMOKE") != nullptr; }

void nothing() {}

void ask_warm(benchmark::State& state, Service& service) {
  static std::size_t user = 0;  // a run goes on where the one before it ended: short histories stay short
  std::size_t requests = 0;
  const auto next_user = [&] {
    if (requests++ % kVisit == 0) service.observe_and_recommend(user = (user + 1) % service.num_users());
  };
  service::measure(state, next_user, [&] { service.observe_and_recommend(user); });
}

void ask_resident(benchmark::State& state, Service& service) {
  service.make_resident();
  static std::mt19937_64 random(2);
  service::measure(state, nothing, [&] { service.observe_and_recommend(random() % service.num_users()); });
}

void ask_in_full(benchmark::State& state, Service& service) {
  service::measure(state, nothing, [&] { service.recommend_history(); });
}

void add_benchmarks(const std::string& name, const std::function<attune::TrainedModel()>& make_model,
                    attune::StateStorage storage = attune::StateStorage::float32, std::size_t history = kHistory) {
  attune::RecommenderOptions options;
  options.cache_budget_bytes = std::size_t{6} << 30;
  options.state_storage = storage;
  const auto make = [=] { return std::make_unique<Service>(make_model(), options, history); };
  const auto add = [&](const std::string& what, auto body) {
    auto* const added = benchmark::RegisterBenchmark((name + "/" + what).c_str(), [=](benchmark::State& state) {
                          Service& service = service::named(name, make);
                          body(state, service);
                          state.counters["asked"] = static_cast<double>(service.asked());
                        })->Unit(benchmark::kMicrosecond);
    return is_smoke() ? added->Iterations(2 * kVisit) : added;
  };
  add("warm", ask_warm)->UseManualTime();
  add("resident", ask_resident)->UseManualTime();
  if (storage == attune::StateStorage::float32) add("full", ask_in_full)->UseManualTime();  // which reads no state
  add("mixed", service::ask_mixed)->Threads(2)->UseRealTime();
}

void add_both(const std::string& name, const std::function<attune::TrainedModel()>& make_model) {
  add_benchmarks(name, make_model);
  add_benchmarks(name + "_bfloat16", make_model, attune::StateStorage::bfloat16);
}

void add_saved(const char* directory, std::size_t num_users) {
  const auto with_users = [=](std::size_t num_events) {
    attune::TrainedModel model = attune::TrainedModel::load(directory);
    if (!model.histories) model.histories = service::make_histories(model.item_ids, num_users, num_events);
    return model;
  };
  add_benchmarks("model", [=] { return with_users(kHistory); });
  if (attune::TrainedModel::load(directory).histories) return;
  add_benchmarks(
      "model_short", [=] { return with_users(kShortHistory); }, attune::StateStorage::float32, kShortHistory);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  const std::size_t users = is_smoke() ? 100 : 20'000;
  for (const std::size_t items : {std::size_t{3'706}, std::size_t{100'000}, std::size_t{1'000'000}}) {
    if (items > 3'706 && is_smoke()) break;
    add_both(std::to_string(items) + "_items",
             [=] { return service::make_model(service::sasrec_small(), items, users); });
  }
  add_both("hstu_large", [=] { return service::make_model(service::hstu_large(), 3'706, users / 4); });
  add_both("hstu_50", [=] { return service::make_model(service::hstu_50(), 3'706, users / 4); });
  if (const char* directory = std::getenv("ATTUNE_MODEL")) {
    add_saved(directory, users);
  }
  benchmark::RunSpecifiedBenchmarks();
}
