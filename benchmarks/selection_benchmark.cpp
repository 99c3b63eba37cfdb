// SPDX-License-Identifier: Apache-2.0

// What does a list cost beyond the ten best? One thread asks for ten items of resident users (preset sasrec-small, 64
// elements a vector): plain, page by page, at most two of a creator, diverse, over pools of 100 and 500 candidates, for
// users who dislike three items, and with places given to exploration or to new items.

#include <benchmark/benchmark.h>

#include <attune/recommender.hpp>
#include <attune/serving/cursor.hpp>
#include <attune/serving/exploration.hpp>
#include <attune/serving/policy.hpp>
#include <cstdlib>
#include <string>
#include <vector>

#include "service.hpp"

namespace {

struct Shop {
  explicit Shop(std::size_t items)
      : model(service::make_model(service::sasrec_small(), items, kUsers)),
        recommender(attune::Recommender::open(model, {.item_fields = {{"creator", attune::FieldType::category}},
                                                      .event_kinds = {{"dislike", -1}, {"shown", 0}}})) {
    std::vector<std::string> creators;
    std::vector<attune::Item> upserts;
    for (std::size_t i = 0; i < items; ++i) creators.push_back("creator " + std::to_string(i * 7919 % (items / 20)));
    for (std::size_t i = 0; i < items; ++i) upserts.push_back({.id = i, .fields = {{"creator", creators[i]}}});
    recommender.upsert_items(upserts);
    policy = recommender.compile({.caps = {{"creator", 2}}});
    for (std::size_t user = kUsers / 2; user < kUsers; ++user) {
      for (const auto& best : recommender.recommend({.user = user, .k = 3}).items) {
        recommender.observe({.user = user, .item = best.item, .event = "dislike"});
      }
    }
  }
  static constexpr std::size_t kUsers = 100;
  attune::TrainedModel model;
  attune::Recommender recommender;
  attune::Policy policy;
};

// Of the users the second half dislikes something.
void ask(benchmark::State& state, Shop& shop, attune::Request request, bool pages, bool disliking) {
  attune::Answer answer;
  std::size_t user = 0;
  const auto next = [&] {
    attune::Cursor cursor;
    request.user = user++ % (Shop::kUsers / 2) + (disliking ? Shop::kUsers / 2 : 0);
    if (pages) request.cursor = &cursor;
    shop.recommender.recommend(request, answer);
    benchmark::DoNotOptimize(answer.items.data());
  };
  for (std::size_t u = 0; u < Shop::kUsers; ++u) next();
  service::measure(
      state, [] {}, next);
}

void add_benchmarks(std::size_t items) {
  static std::vector<std::unique_ptr<Shop>> shops;
  shops.push_back(std::make_unique<Shop>(items));
  Shop& shop = *shops.back();
  const auto add = [&](const std::string& what, const attune::Request& request, bool pages = false,
                       bool disliking = false) {
    benchmark::RegisterBenchmark(
        (std::to_string(items) + "_items/" + what).c_str(),
        [&shop, request, pages, disliking](benchmark::State& state) { ask(state, shop, request, pages, disliking); })
        ->Unit(benchmark::kMicrosecond)
        ->UseManualTime();
  };
  add("plain", {});
  add("first_page", {}, true);
  add("dislikes", {}, false, true);
  static const attune::ExplorationOptions uniform{.method = attune::ExplorationMethod::uniform}, thompson{},
      linucb{.method = attune::ExplorationMethod::linucb}, new_items{.share = 0, .new_item_quota = 0.1};
  add("explore/uniform", {.exploration = &uniform});
  add("explore/thompson", {.exploration = &thompson});
  add("explore/linucb", {.exploration = &linucb});
  add("explore/new_items", {.exploration = &new_items});
  add("capped", {.policy = &shop.policy});
  for (const std::size_t pool : {100u, 500u}) {
    for (const auto method : {attune::DiversityMethod::mmr, attune::DiversityMethod::dpp}) {
      add((method == attune::DiversityMethod::mmr ? "mmr/pool:" : "dpp/pool:") + std::to_string(pool),
          {.diversity = 0.5f, .diversity_method = method, .diversity_pool = pool});
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  add_benchmarks(3'706);
  if (std::getenv("ATTUNE_BENCHMARK_SMOKE") == nullptr) add_benchmarks(100'000);
  benchmark::RunSpecifiedBenchmarks();
}
