// SPDX-License-Identifier: Apache-2.0

// How long from an event to k items? One thread observes an event of a user with 200 to 249 earlier ones and asks for
// ten items; percentiles of the pair are counters, in microseconds. Windows slide as they do in service: once every hop
// events, which for a window of 200 is two requests of a hundred, and so within p99.
//   warm      one user asks again and again (a hundred times, then the next one does)
//   resident  20,000 users (hstu_large: 5,000) in random order, whose caches come from memory
//   full      a bare history of 200 events, encoded anew
// "3706_items/..." has the shape of preset sasrec-small, "hstu_large/..." that of hstu-large with the time of the
// request, "hstu_50/..." is narrower, without feed-forward layers. "..._bfloat16/..." keeps user states so.
// ATTUNE_MODEL=DIR adds the users and the model of that directory ("model/...").

#include <benchmark/benchmark.h>

#include <algorithm>
#include <attune/model/checkpoint.hpp>
#include <attune/model/count_models.hpp>
#include <attune/recommender.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kHistory = 200;  // events of the shortest history
constexpr std::size_t kSpread = 50;
constexpr std::size_t kVisit = 100;  // requests of a warm user
constexpr std::size_t kMinute = 60'000;

attune::EncoderConfig sasrec_small() {
  attune::EncoderConfig config;
  config.inner_dim = config.embedding_dim;
  return config;
}

attune::EncoderConfig hstu_large() {
  attune::EncoderConfig config;
  config.block = attune::BlockKind::hstu;
  config.num_blocks = 8;
  config.inner_dim = 2 * config.embedding_dim;
  config.activation = attune::Activation::silu;
  config.feed_forward = true;
  config.absolute_positions = false;
  config.final_norm = false;
  config.scale_items = true;
  config.time_buckets = 128;
  config.request_time = true;
  return config;
}

// 8 blocks as HSTU was published with, 50 wide in two heads.
attune::EncoderConfig hstu_50() {
  attune::EncoderConfig config = hstu_large();
  config.embedding_dim = 50;
  config.feed_forward = false;
  return config;
}

attune::Timestamp time_of(std::size_t event) { return static_cast<attune::Timestamp>(event * kMinute); }

// Random weights; users whose histories have kHistory events and up to kSpread more.
attune::TrainedModel make_model(const attune::EncoderConfig& config, std::size_t num_items, std::size_t num_users) {
  auto encoder = std::shared_ptr<attune::SequenceEncoder<float>>(attune::make_encoder(config, num_items));
  encoder->initialize(1);
  auto items = std::make_shared<attune::IdMap>(attune::IdKind::int64);
  for (std::size_t i = 0; i < num_items; ++i) items->insert(i);
  auto users = std::make_shared<attune::IdMap>(attune::IdKind::int64);
  auto histories = std::make_shared<attune::Histories>();
  std::mt19937_64 random(1);
  for (std::size_t u = 0; u < num_users; ++u) {
    users->insert(u);
    for (std::size_t e = 0; e < kHistory + u % kSpread; ++e) {
      histories->items.push_back(static_cast<attune::ItemHandle>(random() % num_items));
      histories->times.push_back(time_of(e));
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

// Times one call of `request` per iteration, after one of `prepare` that does not count, and reports percentiles.
void measure(benchmark::State& state, auto prepare, auto request) {
  std::vector<double> microseconds;
  for (auto _ : state) {
    prepare();
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

// A recommender and who asks it, made when the first benchmark of a model runs and kept until the next one's does.
class Service {
 public:
  Service(attune::TrainedModel model, const attune::RecommenderOptions& options)
      : model_(std::move(model)), recommender_(attune::Recommender::open(model_, options)) {
    for (std::uint32_t i = 0; i < model_.item_ids->size(); ++i) items_.push_back(model_.item_ids->id(i));
    for (std::uint32_t u = 0; u < model_.histories->num_users(); ++u) {
      const attune::HistoryView history = model_.histories->of(u);
      if (history.size() < kHistory) continue;
      users_.push_back({model_.histories->user_ids->id(u), history.times.empty() ? 0 : history.times.back()});
    }
  }

  std::size_t num_users() const { return users_.size(); }

  // One event of a user, and ten items for him half a minute later.
  void observe_and_recommend(std::size_t user) {
    auto& [id, time] = users_[user];
    time += kMinute;
    recommender_.observe({.user = id, .item = items_[++events_ * 7919 % items_.size()], .timestamp = time});
    recommender_.recommend({.user = id, .now = time + static_cast<attune::Timestamp>(kMinute / 2)}, answer_);
    benchmark::DoNotOptimize(answer_.items.data());
  }
  // Everybody's cache is made once.
  void make_resident() {
    for (; resident_ < users_.size(); ++resident_) observe_and_recommend(resident_);
  }

  void recommend_history() {
    if (history_.empty()) {
      for (std::size_t e = 0; e < kHistory; ++e) {
        history_.push_back(items_[e * 7919 % items_.size()]);
        times_.push_back(time_of(e));
      }
    }
    benchmark::DoNotOptimize(recommender_.recommend_history(history_, {}, times_));
  }

 private:
  struct User {
    attune::Id id;
    attune::Timestamp time;
  };
  attune::TrainedModel model_;  // ids are views into it
  attune::Recommender recommender_;
  std::vector<attune::Id> items_, history_;
  std::vector<attune::Timestamp> times_;
  std::vector<User> users_;
  std::size_t events_ = 0, resident_ = 0;
  attune::Answer answer_;
};

void nothing() {}

void ask_warm(benchmark::State& state, Service& service) {
  std::size_t requests = 0, user = 0;
  const auto next_user = [&] {
    if (requests++ % kVisit == 0) service.observe_and_recommend(user = (user + 1) % service.num_users());
  };
  measure(state, next_user, [&] { service.observe_and_recommend(user); });
}

void ask_resident(benchmark::State& state, Service& service) {
  service.make_resident();
  std::mt19937_64 random(2);
  measure(state, nothing, [&] { service.observe_and_recommend(random() % service.num_users()); });
}

void ask_in_full(benchmark::State& state, Service& service) {
  measure(state, nothing, [&] { service.recommend_history(); });
}

void add_benchmarks(const std::string& name, const std::function<attune::TrainedModel()>& make_model,
                    attune::StateStorage storage = attune::StateStorage::float32) {
  attune::RecommenderOptions options;
  options.cache_budget_bytes = std::size_t{6} << 30;
  options.state_storage = storage;
  static std::string served;
  static std::unique_ptr<Service> service;
  const auto add = [&](const std::string& what, auto body) {
    benchmark::RegisterBenchmark((name + "/" + what).c_str(),
                                 [=](benchmark::State& state) {
                                   if (served != name) {
                                     service.reset();
                                     service = std::make_unique<Service>(make_model(), options);
                                     served = name;
                                   }
                                   body(state, *service);
                                 })
        ->UseManualTime()
        ->Unit(benchmark::kMicrosecond);
  };
  add("warm", ask_warm);
  add("resident", ask_resident);
  if (storage == attune::StateStorage::float32) add("full", ask_in_full);  // which reads no state
}

void add_both(const std::string& name, const std::function<attune::TrainedModel()>& make_model) {
  add_benchmarks(name, make_model);
  add_benchmarks(name + "_bfloat16", make_model, attune::StateStorage::bfloat16);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  // A smoke run is over before many users and the larger catalogues are made.
  const bool smoke = std::getenv("ATTUNE_BENCHMARK_SMOKE") != nullptr;
  const std::size_t users = smoke ? 100 : 20'000;
  for (const std::size_t items : {std::size_t{3'706}, std::size_t{100'000}, std::size_t{1'000'000}}) {
    if (items > 3'706 && smoke) break;
    add_both(std::to_string(items) + "_items", [=] { return make_model(sasrec_small(), items, users); });
  }
  add_both("hstu_large", [=] { return make_model(hstu_large(), 3'706, users / 4); });
  add_both("hstu_50", [=] { return make_model(hstu_50(), 3'706, users / 4); });
  if (const char* directory = std::getenv("ATTUNE_MODEL")) {
    add_both("model", [=] { return attune::TrainedModel::load(directory); });
  }
  benchmark::RunSpecifiedBenchmarks();
}
