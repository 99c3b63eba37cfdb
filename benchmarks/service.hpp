// SPDX-License-Identifier: Apache-2.0
#pragma once

// A recommender as a host has it, with a model of random weights, and the users who ask it.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <attune/model/checkpoint.hpp>
#include <attune/model/count_models.hpp>
#include <attune/recommender.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace service {

constexpr std::size_t kMinute = 60'000;
constexpr std::size_t kSpread = 50;  // histories are up to so many events longer than the shortest

inline attune::EncoderConfig sasrec_small() {
  attune::EncoderConfig config;
  config.inner_dim = config.embedding_dim;
  return config;
}

inline attune::EncoderConfig hstu_large() {
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
inline attune::EncoderConfig hstu_50() {
  attune::EncoderConfig config = hstu_large();
  config.embedding_dim = 50;
  config.feed_forward = false;
  return config;
}

inline attune::Timestamp time_of(std::size_t event) { return static_cast<attune::Timestamp>(event * kMinute); }

// Users have `num_events` events each and up to kSpread - 1 more.
inline std::shared_ptr<attune::Histories> make_histories(std::shared_ptr<const attune::IdMap> items,
                                                         std::size_t num_users, std::size_t num_events) {
  auto users = std::make_shared<attune::IdMap>(attune::IdKind::int64);
  auto histories = std::make_shared<attune::Histories>();
  std::mt19937_64 random(1);
  for (std::size_t u = 0; u < num_users; ++u) {
    users->insert(u);
    for (std::size_t e = 0; e < num_events + u % kSpread; ++e) {
      histories->items.push_back(static_cast<attune::ItemHandle>(random() % items->size()));
      histories->times.push_back(time_of(e));
    }
    histories->offsets.push_back(histories->items.size());
  }
  histories->kinds.resize(histories->items.size());
  histories->values.resize(histories->items.size(), 1.0f);
  histories->user_ids = users;
  histories->item_ids = std::move(items);
  return histories;
}

inline attune::TrainedModel make_model(const attune::EncoderConfig& config, std::size_t num_items,
                                       std::size_t num_users, std::size_t num_events = 200) {
  auto encoder = std::shared_ptr<attune::SequenceEncoder<float>>(attune::make_encoder(config, num_items));
  encoder->initialize(1);
  auto items = std::make_shared<attune::IdMap>(attune::IdKind::int64);
  for (std::size_t i = 0; i < num_items; ++i) items->insert(i);
  const auto histories = make_histories(items, num_users, num_events);
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
inline void measure(benchmark::State& state, auto prepare, auto request) {
  using Clock = std::chrono::steady_clock;
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

// What one thread keeps between its requests.
struct Client {
  attune::Answer answer;
  std::size_t events = 0;
};

class Service {
 public:
  // Users with fewer events than `least` do not ask.
  Service(attune::TrainedModel model, const attune::RecommenderOptions& options, std::size_t least)
      : model_(std::move(model)), recommender_(attune::Recommender::open(model_, options)) {
    for (std::uint32_t i = 0; i < model_.item_ids->size(); ++i) items_.push_back(model_.item_ids->id(i));
    for (std::uint32_t u = 0; u < model_.histories->num_users(); ++u) {
      const attune::HistoryView history = model_.histories->of(u);
      if (history.size() < least) continue;
      users_.push_back({model_.histories->user_ids->id(u), history.times.empty() ? 0 : history.times.back()});
    }
    for (std::size_t e = 0; e < least; ++e) {
      history_.push_back(items_[e * 7919 % items_.size()]);
      times_.push_back(time_of(e));
    }
  }

  std::size_t num_users() const { return users_.size(); }

  // An event of a user. No two threads ask for one user at once.
  void observe(std::size_t user, Client& client) {
    auto& [id, time] = users_[user];
    time += kMinute;
    recommender_.observe({.user = id, .item = items_[++client.events * 7919 % items_.size()], .timestamp = time});
  }
  // Ten items half a minute after his last event.
  void recommend(std::size_t user, Client& client) {
    const auto& [id, time] = users_[user];
    recommender_.recommend({.user = id, .now = time + static_cast<attune::Timestamp>(kMinute / 2)}, client.answer);
    benchmark::DoNotOptimize(client.answer.items.data());
  }
  [[gnu::noinline]] void observe_and_recommend(std::size_t user) {
    observe(user, client_);
    recommend(user, client_);
    ++asked_;
  }
  // The caches of the first users are made once.
  void make_resident(std::size_t most = 20'000) {
    for (; resident_ < std::min(users_.size(), most); ++resident_) observe_and_recommend(resident_);
  }
  // Of a bare history.
  [[gnu::noinline]] void recommend_history() {
    benchmark::DoNotOptimize(recommender_.recommend_history(history_, {}, times_));
    ++asked_;
  }
  // How often either of the last two was called.
  std::size_t asked() const { return asked_; }

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
  std::size_t resident_ = 0, asked_ = 0;
  Client client_;
};

// Four requests for items to one event, of resident users; each thread has users of its own.
inline void ask_mixed(benchmark::State& state, Service& service) {
  const auto threads = static_cast<std::size_t>(state.threads()),
             thread = static_cast<std::size_t>(state.thread_index());
  if (thread == 0) service.make_resident();
  std::mt19937_64 random(3 + thread);
  Client client;
  for (auto _ : state) {
    const std::size_t user = random() % (service.num_users() / threads) * threads + thread;
    if (random() % 5 == 0) {
      service.observe(user, client);
    } else {
      service.recommend(user, client);
    }
  }
  state.counters["requests_per_thread"] = benchmark::Counter(
      static_cast<double>(state.iterations()), benchmark::Counter::kIsRate | benchmark::Counter::kAvgThreads);
}

// The service of a name, made when a benchmark first asks for it and kept until another one is. Threads of a benchmark
// get the same.
inline Service& named(const std::string& name, const std::function<std::unique_ptr<Service>()>& make) {
  static std::mutex mutex;
  static std::string last;
  static std::unique_ptr<Service> service;
  const std::lock_guard lock(mutex);
  if (last != name) {
    service.reset();
    service = make();
    last = name;
  }
  return *service;
}

}  // namespace service
